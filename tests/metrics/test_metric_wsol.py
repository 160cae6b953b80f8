"""Boxes from maps without OpenCV (flood fill, areas by counting), and what is best over a data set, in NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from metric_cases import located

from funcam import metrics
from funcam.errors import FuncamError

LEVELS = (0.0, 0.25, 0.5, 0.75)
_sides = st.tuples(st.integers(2, 9), st.integers(2, 9))
_blobs = _sides.flatmap(lambda shape: hnp.arrays(np.float32, shape, elements=st.sampled_from([0, 0.25, 0.5, 0.75, 1])))


def components(mask: np.ndarray, corners: bool) -> list[np.ndarray]:
    """The connected parts, over edges and, if asked for, corners."""
    left, parts = {tuple(pixel) for pixel in np.argwhere(mask)}, []
    while left:
        edge, part = [left.pop()], np.zeros_like(mask)
        while edge:
            y, x = edge.pop()
            part[y, x] = True
            steps = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if corners or a == 0 or b == 0]
            reached = {(y + a, x + b) for a, b in steps} & left
            left -= reached
            edge += reached
        parts.append(part)
    return parts


def filled(part: np.ndarray) -> np.ndarray:
    """A component with its holes."""
    outside = components(np.pad(~part, 1, constant_values=True), corners=False)
    return ~next(one for one in outside if one[0, 0])[1:-1, 1:-1]


def polygon_area(shape: np.ndarray) -> float:
    """The area between the centres of the pixels: squares of four pixels, triangles of three."""
    corners = sum(np.roll(np.pad(shape, 1).astype(int), step, (0, 1)) for step in itertools.product((0, 1), (0, 1)))
    return float((corners == 4).sum() + (corners == 3).sum() / 2)


def outlined(mask: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """Area and box of every outer contour; what lies in another's hole is none."""
    shapes = [filled(part) for part in components(mask, corners=True)]
    outer = [
        one
        for one in shapes
        if not any(other is not one and (other & one).any() and other.sum() > one.sum() for other in shapes)
    ]
    found = []
    for shape in outer:
        pixels = np.argwhere(shape)
        (y0, x0), (y1, x1) = pixels.min(0), pixels.max(0) + 1
        found.append((polygon_area(shape), np.array([x0, y0, x1, y1], float)))
    return found


def overlap(box: np.ndarray, other: np.ndarray) -> float:
    wide = min(box[2], other[2]) - max(box[0], other[0])
    high = min(box[3], other[3]) - max(box[1], other[1])
    shared = max(wide, 0) * max(high, 0)
    return shared / ((box[2] - box[0]) * (box[3] - box[1]) + (other[2] - other[0]) * (other[3] - other[1]) - shared)


@given(_blobs, st.lists(st.tuples(*[st.integers(0, 16)] * 4), min_size=1, max_size=3))
def test_boxes_round_contours(one, corners):
    truth = [np.array([a, b, a + c + 1, b + d + 1]) / 2 for a, b, c, d in corners]
    boxes, valid = metrics.pad_boxes([truth, []])
    found = metrics.box_overlaps(torch.from_numpy(np.stack([one, one])), boxes, valid, levels=LEVELS)
    assert found.largest[1].isnan().all()
    assert found.any[1].isnan().all()
    for index, level in enumerate(LEVELS):
        contours = [(area, max(overlap(box, other) for other in truth)) for area, box in outlined(one > level)]
        if not contours:
            assert found.largest[0, index] == found.any[0, index] == 0
            continue
        assert found.any[0, index] == pytest.approx(max(best for _, best in contours), abs=1e-6)
        largest = max(area for area, _ in contours)
        fitting = [best for area, best in contours if area == largest]  # of equal areas either may be taken
        assert any(found.largest[0, index] == pytest.approx(best, abs=1e-6) for best in fitting)


def test_a_map_of_zeros_overlaps_with_nothing():
    boxes, valid = metrics.pad_boxes([[(0, 0, 8, 8)], [(0, 0, 8, 8)]])
    maps = torch.stack([torch.zeros(8, 8), torch.ones(8, 8)])
    found = metrics.box_overlaps(maps, boxes, valid)
    assert found.largest.shape == (2, len(metrics.LEVELS)) == (2, 20)
    assert (found.largest[0] == 0).all()
    assert (found.largest[1] == 1).all()


_hits = st.tuples(st.integers(1, 6), st.integers(1, 3), st.integers(1, 4)).flatmap(lambda s: hnp.arrays(np.bool_, s))


@given(_hits, st.randoms(use_true_random=False))
def test_the_best_threshold_over_a_data_set_and_its_resamples(hits, random):
    picks = [[random.randrange(len(hits)) for _ in hits] for _ in range(3)]
    counts = torch.tensor([[pick.count(image) for image in range(len(hits))] for pick in picks])
    found = metrics.max_box_acc(torch.from_numpy(hits), counts)
    for row, pick in enumerate(picks):
        accuracies = hits[pick].mean(0)
        np.testing.assert_allclose(found.accuracy[row], accuracies.max(1), atol=1e-6)
        chosen = np.take_along_axis(accuracies, found.level[row].numpy()[:, None], 1)[:, 0]
        np.testing.assert_allclose(chosen, accuracies.max(1), atol=1e-6)
    assert metrics.max_box_acc_v2(torch.from_numpy(hits)) == pytest.approx(hits.mean(0).max(1).mean(), abs=1e-6)


def test_hits_count_from_the_overlap_on():
    hits = metrics.box_hits(torch.tensor([[0.3, 0.5, 0.69], [torch.nan, 0.7, 1.0]]))
    assert hits.int().tolist() == [[[1, 1, 1], [0, 1, 1], [0, 0, 0]], [[0, 1, 1], [0, 1, 1], [0, 1, 1]]]


@given(located(), st.integers(0, 2**32 - 1))
def test_average_precision_of_the_pixels(case, seed):
    """Over all distinct values as thresholds, from the highest down: precision weighted by the recall it gains."""
    maps, masks = case
    ignore = np.random.default_rng(seed).random(maps.shape) < 0.3
    objects = masks.any(1)
    pixels = metrics.pixel_counts(*map(torch.from_numpy, (maps, masks)), ignore=torch.from_numpy(ignore), bins=16)
    used = objects | ~ignore
    expected, recall = 0.0, 0.0
    for level in np.arange(16, -1, -1) / 16:
        above = (maps >= level) & used
        np.testing.assert_array_equal(pixels[:, 0, round(level * 16)], (above & objects).sum((1, 2)))
        np.testing.assert_array_equal(pixels[:, 1, round(level * 16)], (above & ~objects).sum((1, 2)))
        now = (above & objects).sum() / max(objects.sum(), 1)
        expected += (above & objects).sum() / max(above.sum(), 1) * (now - recall)
        recall = now
    found = metrics.pxap(pixels)
    assert found.isnan() if not objects.any() else found == pytest.approx(expected, abs=1e-9)
    np.testing.assert_allclose(metrics.pxap(pixels.sum(0, keepdim=True)), found)
    twice = metrics.pxap(torch.cat([pixels, pixels[:1]]))
    weights = torch.ones(len(maps))
    weights[0] = 2
    np.testing.assert_allclose(metrics.pxap(pixels, weights[None]), twice[None])


def test_bad_shapes_and_counts_are_refused():
    maps, boxes, valid = torch.zeros(1, 4, 4), torch.zeros(1, 2, 4), torch.ones(1, 2, dtype=torch.bool)
    masks = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    with pytest.raises(FuncamError, match=r"expected \[B, M, 4\] and \[B, M\]"):
        metrics.box_overlaps(maps, boxes, valid[:, :1])
    with pytest.raises(FuncamError, match=r"maps have shape \[2, 4, 4\], boxes \[1, 2, 4\]"):
        metrics.box_overlaps(maps.expand(2, 4, 4), boxes, valid)
    with pytest.raises(FuncamError, match=r"at least one image"):
        metrics.max_box_acc(torch.zeros(0, 3, 20, dtype=torch.bool))
    with pytest.raises(FuncamError, match=r"bins is 0"):
        metrics.pixel_counts(maps, masks, bins=0)
    with pytest.raises(FuncamError, match=r"expected \[B, 2, T\]"):
        metrics.pxap(torch.zeros(3, 20))
