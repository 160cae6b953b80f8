"""The localisation metrics, against NumPy that goes through images, objects and pixels one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from metric_cases import located

from funcam import metrics
from funcam.errors import FuncamError


def per_image(oracle, maps, masks):
    """The oracle for each image's map and its objects that have a pixel; NaN where there is none."""
    rows = [(one, [mask for mask in some if mask.any()]) for one, some in zip(maps, masks, strict=True)]
    return [oracle(one.astype(np.float64), objects) if objects else np.nan for one, objects in rows]


def check(found, expected):
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


@given(located(), st.sampled_from([0, 1, 1.5, 3]))
def test_pointing_game(case, tolerance):
    def oracle(one, objects):
        point = np.unravel_index(one.argmax(), one.shape)
        return any(np.hypot(*np.subtract(pixel, point)) <= tolerance for mask in objects for pixel in np.argwhere(mask))

    maps, masks = case
    found = metrics.pointing_game(*map(torch.from_numpy, case), tolerance=tolerance)
    check(found, np.array(per_image(oracle, maps, masks), float))


def test_a_maximum_at_just_the_tolerance_hits():
    maps, masks = torch.zeros(1, 9, 9), torch.zeros(1, 1, 9, 9, dtype=torch.bool)
    maps[0, 1, 2] = masks[0, 0, 4, 6] = 1  # 3 rows and 4 columns away
    hits = [metrics.pointing_game(maps, masks, tolerance=tolerance).item() for tolerance in (4.9, 5, 15)]
    assert hits == [0, 1, 1]


@given(located())
def test_energy(case):
    def oracle(one, objects):
        return one[np.any(objects, axis=0)].sum() / one.sum() if one.any() else 0.0

    check(metrics.energy(*map(torch.from_numpy, case)), per_image(oracle, *case))


@given(located(), st.sampled_from([0.0, 0.25, 0.5]))
def test_overlap_at_a_level(case, level):
    def oracle(one, objects):
        ours = {tuple(pixel) for pixel in np.argwhere(one > level)}
        theirs = {tuple(pixel) for mask in objects for pixel in np.argwhere(mask)}
        return len(ours & theirs) / len(ours | theirs)

    check(metrics.iou_at(*map(torch.from_numpy, case), level=level), per_image(oracle, *case))


@given(located(), st.sampled_from([0.0, 0.25, 0.5]))
def test_objects_are_covered_hit_and_evenly(case, level):
    def shares(one, objects):
        return np.array([(one[mask] > level).mean() for mask in objects])

    def even(one, objects):
        found = shares(one, objects)
        if len(found) < 2:
            return np.nan
        parts = [share / found.sum() for share in found if share > 0]
        return -sum(part * np.log(part) for part in parts) / np.log(len(found))

    given_ = [torch.from_numpy(one) for one in case]
    check(metrics.coverage(*given_, level=level), per_image(lambda *one: shares(*one).mean(), *case))
    check(metrics.hit_share(*given_, level=level), per_image(lambda *one: (shares(*one) > 0).mean(), *case))
    check(metrics.evenness(*given_, level=level), per_image(even, *case))


@given(located())
def test_padding_and_the_order_of_objects_make_no_difference(case):
    maps, masks = map(torch.from_numpy, case)
    padded = torch.cat([torch.zeros_like(masks[:, :1]), masks.flip(1)], 1)
    for metric in (metrics.pointing_game, metrics.energy, metrics.iou_at, metrics.coverage, metrics.evenness):
        check(metric(maps, padded), metric(maps, masks).numpy())


def test_a_uniform_map_has_the_energy_of_the_objects_share():
    masks = torch.zeros(1, 2, 10, 10, dtype=torch.bool)
    masks[0, 0, :5, :5] = masks[0, 1, 4:6, 4:6] = True
    assert metrics.energy(torch.full((1, 10, 10), 0.3), masks).item() == pytest.approx(0.28)


def test_top1_localisation_error():
    logits = torch.tensor([[0.0, 2.0], [3.0, 2.0], [0.0, 2.0]])
    overlaps = torch.tensor([[0.5, 0.1], [0.9, 0.9], [0.49, 1.0]])
    found = metrics.top1_localisation_error(logits, torch.tensor([1, 1, 1]), overlaps)
    assert found.tolist() == [[0, 1], [1, 1], [1, 0]]
    single = metrics.top1_localisation_error(logits, torch.tensor([1, 1, 1]), overlaps[:, 0])
    assert single.tolist() == [0, 1, 1]


def test_shapes_that_do_not_belong_together_are_refused():
    maps, masks = torch.zeros(2, 4, 4), torch.zeros(2, 1, 4, 5, dtype=torch.bool)
    for metric in (metrics.pointing_game, metrics.energy, metrics.coverage, metrics.pixel_counts):
        with pytest.raises(FuncamError, match=r"maps have shape \[2, 4, 4\], masks \[2, 1, 4, 5\]"):
            metric(maps, masks)
        with pytest.raises(FuncamError, match=r"float32"):
            metric(maps, masks[..., :4].float())
    with pytest.raises(FuncamError, match=r"expected \[B, N\], \[B\]"):
        metrics.top1_localisation_error(torch.zeros(2, 3), torch.zeros(3), torch.zeros(3))
