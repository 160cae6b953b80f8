"""Metrics of signals and volumes: those of images where an axis of one is added, and others' figures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt, gaussian_filter1d
from skimage.metrics import structural_similarity

from funcam import FuncamError, metrics
from funcam.metrics.checks import baseline_for

G = torch.Generator().manual_seed(0)
SHAPES = {1: (12,), 3: (5, 6, 7)}


def sums(rows):
    """Three numbers of an image in which every pixel counts differently."""
    flat = rows.flatten(1)
    weights = torch.linspace(-1, 1, 3 * flat.shape[1], dtype=flat.dtype).view(flat.shape[1], 3).sin()
    return flat @ weights


def case(axes):
    shape = SHAPES[axes]
    masks = torch.zeros(2, 2, *shape, dtype=torch.bool)
    masks[:, 0, ..., :3] = masks[0, 1, ..., 4:6] = True
    return torch.randn(2, 3, *shape, generator=G), torch.rand(2, *shape, generator=G), masks


def flat(values, lead):
    """With an axis more or one less, so that it is an image: a signal of height 1, a volume as a wide image."""
    return values.reshape(*values.shape[:lead], values.shape[lead:].numel() // values.shape[-1], values.shape[-1])


@pytest.mark.parametrize("axes", SHAPES)
@pytest.mark.parametrize(
    "metric",
    ["energy", "iou_at", "object_shares", "coverage", "hit_share", "evenness", "pointing_game", "pixel_counts"],
)
def test_where_objects_are(metric, axes):
    _, maps, masks = case(axes)
    torch.testing.assert_close(
        getattr(metrics, metric)(maps, masks), getattr(metrics, metric)(flat(maps, 1), flat(masks, 2)), equal_nan=True
    )


@pytest.mark.parametrize("axes", SHAPES)
@pytest.mark.parametrize("tolerance", [0, 1, 2.3])
def test_the_pointing_games_tolerance_is_a_distance(axes, tolerance):
    maps = torch.rand(40, *SHAPES[axes], generator=G)
    masks = torch.rand(40, 1, *SHAPES[axes], generator=G) > 0.97
    masks[:, 0].flatten(1)[:, 0] = True
    got = metrics.pointing_game(maps, masks, tolerance=tolerance)
    for one, truth, said in zip(maps.numpy(), masks[:, 0].numpy(), got, strict=True):
        distance = distance_transform_edt(~truth)[np.unravel_index(one.argmax(), one.shape)]
        assert float(said) == float(distance <= tolerance)


@pytest.mark.parametrize("axes", SHAPES)
def test_confidence_insertion_and_deletion(axes):
    images, maps, _ = case(axes)
    network = sums
    plain = [metrics.confidence(network, images, maps, 1).after]
    wide = [metrics.confidence(network, flat(images, 2), flat(maps, 1), 1).after]
    for metric in (metrics.insertion, metrics.deletion):
        plain.append(metric(network, images, maps, 1, steps=7, baseline=[0.1, 0.2, 0.3]).scores)
        wide.append(metric(network, flat(images, 2), flat(maps, 1), 1, steps=7, baseline=[0.1, 0.2, 0.3]).scores)
    for one, other in zip(plain, wide, strict=True):
        torch.testing.assert_close(one, other)
    assert metrics.insertion(network, images, maps, None, steps=3).area.isfinite().all()


def test_patches_of_signals_and_volumes():
    signal = torch.tensor([[0.0, 1.0, 5.0, 5.0, 9.0]])
    images = torch.ones(1, 1, 5)
    network = lambda rows: rows.flatten(1)  # noqa: E731
    kept = metrics.deletion(network, images, signal, 4, steps=3, patch=2, score=metrics.identity).scores
    assert kept.tolist() == [[1.0, 0.0, 0.0, 0.0]]  # the last patch, of one sample, goes first
    volume = torch.zeros(1, 4, 4, 4)
    volume[0, 2:, :2, 2:] = 1
    seen = metrics.deletion(network, torch.ones(1, 1, 4, 4, 4), volume, 34, steps=8, patch=2, score=metrics.identity)
    assert seen.scores[0].tolist() == [1.0] + [0.0] * 8  # pixel (2, 0, 2)


@pytest.mark.parametrize("axes", SHAPES)
def test_infidelity_and_sensitivity(axes):
    images, maps, _ = case(axes)
    for metric, own in ((metrics.infidelity, {"perturb": metrics.gaussian_noise()}), (metrics.sensitivity_n, {"n": 4})):
        wide = metric(sums, flat(images, 2), flat(maps, 1), 1, **own)
        torch.testing.assert_close(metric(sums, images, maps, 1, **own), wide, rtol=1e-3, atol=1e-3)
    assert metrics.infidelity(sums, images, maps, 1).isfinite().all()
    taken = metrics.removed_square(1.0)(images[0], torch.Generator())
    cube = min(SHAPES[axes]) ** axes
    assert int((taken[0] != 0).sum()) == cube


def test_what_the_blur_and_the_mean_colour_of_a_volume_are():
    images = torch.rand(2, 3, 8, 9, 10, generator=G, dtype=torch.float64)
    want = images.numpy()
    for axis in (2, 3, 4):
        want = gaussian_filter1d(want, 1.5, axis=axis, mode="nearest", radius=3)
    np.testing.assert_allclose(metrics.blurred(images, side=7, sigma=1.5), want)
    torch.testing.assert_close(metrics.mean_colour(images)[..., 0, 0, 0], images.flatten(2).mean(2))
    assert baseline_for(torch.zeros(2, 3, 9), [1.0, 2.0, 3.0])[1, :, 4].tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("axes", SHAPES)
def test_similarity_of_maps(axes):
    maps, others = (torch.rand(2, *[9] * axes, generator=G, dtype=torch.float64) for _ in range(2))
    for one, other, got in zip(maps.numpy(), others.numpy(), metrics.ssim(maps, others, window=3), strict=True):
        extent = max(one.max(), other.max()) - min(one.min(), other.min())
        padded = structural_similarity(one, other, win_size=3, data_range=extent, full=True)[1]
        assert float(got) == pytest.approx(padded[(slice(1, -1),) * axes].mean())


@pytest.mark.parametrize("axes", SHAPES)
def test_maps_are_prepared_on_their_own_axes(axes):
    maps = torch.randn(2, *[3] * axes, generator=G)
    size = (7,) * axes
    mode = {1: "linear", 3: "trilinear"}[axes]
    positive = maps.relu() / maps.relu().flatten(1).amax(1).view(-1, *[1] * axes)
    want = torch.nn.functional.interpolate(positive[:, None], size, mode=mode)[:, 0]
    torch.testing.assert_close(metrics.prepared(maps, size), want)
    if axes == 3:
        torch.testing.assert_close(metrics.prepared(maps[:, None], size), want[:, None])


def test_what_has_no_meaning_there_is_refused():
    images, maps, _ = case(3)
    with pytest.raises(FuncamError, match="in a plane"):
        metrics.road(sums, images, maps, 1)
    for wrong in (torch.rand(2, 3, 4, 4, 4, 4), torch.rand(2, 3)):
        with pytest.raises(FuncamError, match="expected"):
            metrics.confidence(sums, wrong, wrong[:, 0], 1)
    for size in ((), (2,) * 4, (3,)):
        with pytest.raises(FuncamError, match="expected"):
            metrics.prepared(torch.rand(2, 3, 3), size)
