"""Imputation and ROAD, against a dense system in NumPy and against grad-cam's on the same pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_cases import Bend, photos
from pytorch_grad_cam.metrics.perturbation_confidence import PerturbationConfidenceMetric, RemoveMostRelevantFirst
from pytorch_grad_cam.metrics.road import NoisyLinearImputer, RemoveLeastRelevantFirst

from funcam import metrics
from funcam.errors import FuncamError

TARGETS = torch.tensor([3, 1])


def imputed_in_numpy(plane: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Each missing pixel is the weighted mean of the neighbours that there are: one row of a dense system each."""
    height, width = plane.shape
    matrix, right = np.eye(plane.size), plane.astype(np.float64).ravel().copy()
    for y, x in np.argwhere(missing):
        row = y * width + x
        near = [(a, b) for a in (y - 1, y, y + 1) for b in (x - 1, x, x + 1) if (a, b) != (y, x)]
        near = [(a, b) for a, b in near if 0 <= a < height and 0 <= b < width]
        weights = np.array([1 / 6 if a == y or b == x else 1 / 12 for a, b in near])
        right[row] = 0
        for (a, b), weight in zip(near, weights / weights.sum(), strict=True):
            matrix[row, a * width + b] -= weight
    return np.linalg.solve(matrix, right).reshape(plane.shape)


@settings(max_examples=30)
@given(st.integers(1, 13), st.integers(2, 13), st.integers(0, 999), st.sampled_from([0.1, 0.5, 0.9]))
def test_imputed_pixels_are_the_mean_of_their_neighbours(height, width, seed, share):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(2, 2, height, width, generator=generator)
    missing = torch.rand(2, height, width, generator=generator) < share
    missing[:, 0, 0] = False  # something must be known
    found = metrics.impute(images, missing, noise=0)
    for image in range(2):
        for channel in range(2):
            expected = imputed_in_numpy(images[image, channel].numpy(), missing[image].numpy())
            np.testing.assert_allclose(found[image, channel], expected, atol=1e-3)
    assert torch.equal(found[~missing[:, None].expand_as(found)], images[~missing[:, None].expand_as(images)])


@pytest.mark.parametrize("size", [(64, 64), (50, 71)])
def test_large_holes_agree_with_grad_cams_imputer(size):
    image = torch.randn(3, *size, generator=torch.Generator().manual_seed(0))
    missing = torch.ones(size, dtype=torch.bool)
    missing[:3] = missing[:, -2:] = False
    peer = NoisyLinearImputer(noise=0)(image.clone(), (~missing).float())
    found = metrics.impute(image[None], missing[None], noise=0)[0]
    assert (found - peer).abs().max() < 2e-3  # measured: 3e-5, at 224x224 1e-4; the noise that ROAD adds is 1e-2


def test_a_whole_image_that_is_missing_becomes_zeros():
    images, _ = photos()
    whole = torch.ones(2, 8, 8, dtype=torch.bool)
    assert metrics.impute(images, whole, noise=0).abs().max() == 0
    assert metrics.impute(images[..., :1, :1], whole[..., :1, :1], noise=0).abs().max() == 0


def test_noise_has_its_spread_and_leaves_torchs_random_numbers_alone():
    images, _ = photos(side=32)
    missing = torch.zeros(2, 32, 32, dtype=torch.bool)
    missing[:, ::2] = True
    state = torch.get_rng_state()
    noisy = metrics.impute(images, missing, noise=0.5)
    assert torch.equal(torch.get_rng_state(), state)
    change = (noisy - metrics.impute(images, missing, noise=0))[missing[:, None].expand_as(images)]
    assert change.std().item() == pytest.approx(0.5, rel=0.1)
    assert abs(change.mean().item()) < 0.05
    assert torch.equal(noisy, metrics.impute(images, missing, noise=0.5))


@pytest.mark.parametrize("percentile", [20, 50, 90])
def test_road_agrees_with_grad_cam(percentile):
    """Its percentile p is what stays of the most relevant, or goes of the least: the share 1 - p of the pixels."""
    images, maps = photos(side=10)
    network = Bend(images[0].numel())
    place = [lambda out, index=index: out.softmax(-1)[index] for index in TARGETS.tolist()]
    kept = int(np.ceil(percentile / 100 * (maps[0].numel() - 1)))  # as np.percentile counts, without ties
    found = metrics.road(network, images, maps, TARGETS, shares=[1 - kept / maps[0].numel()], noise=0)
    for order, scores in ((RemoveMostRelevantFirst, found.most), (RemoveLeastRelevantFirst, found.least)):
        peer = PerturbationConfidenceMetric(order(percentile, NoisyLinearImputer(noise=0)))
        expected = peer(images, maps.numpy(), place, network, return_diff=False)
        np.testing.assert_allclose(scores, expected, atol=1e-4)  # measured: 1e-6


def test_where_a_fifth_of_a_map_is_zero_grad_cam_removes_the_whole_image():
    """Its 20th percentile is zero, and nothing is below that; funcam removes the share that was asked for."""
    images, maps = photos(side=10)
    maps = (maps - 0.3).relu()
    kept = RemoveMostRelevantFirst(20, lambda _, mask: mask)(images[0], maps[0])
    assert kept.sum() == 0
    seen = []

    def network(rows):
        seen.append(rows.clone())
        return Bend(images[0].numel())(rows)

    metrics.road(network, images[:1], maps[:1], TARGETS[:1], shares=[0.8], noise=0)
    assert ((seen[0][0] == images[0]).all(0).sum()) == 20


@settings(max_examples=20)
@given(st.integers(1, 40), st.integers(0, 9))
def test_road_does_not_depend_on_the_chunk(chunk, seed):
    images, maps = photos()
    network = Bend(images[0].numel())
    state = torch.get_rng_state()
    found = metrics.road(network, images, maps, TARGETS, shares=(0.2, 0.7), seed=seed, chunk=chunk)
    whole = metrics.road(network, images, maps, TARGETS, shares=(0.2, 0.7), seed=seed)
    assert torch.equal(torch.get_rng_state(), state)
    for one, other in zip(found, whole, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    np.testing.assert_allclose(found.most, found.most_curve.mean(1))
    np.testing.assert_allclose(found.combined, (found.least_curve - found.most_curve).mean(1) / 2, atol=1e-6)


def test_a_map_and_its_opposite_change_places():
    images, maps = photos()
    network = Bend(images[0].numel())
    found = metrics.road(network, images, maps, TARGETS, noise=0)
    opposite = metrics.road(network, images, -maps, TARGETS, noise=0)
    np.testing.assert_allclose(found.most, opposite.least, atol=1e-4)
    np.testing.assert_allclose(found.combined, -opposite.combined, atol=1e-4)


def test_bad_input_is_refused():
    images, maps = photos()
    for shares in ([], [0.5, 1.5], [-0.1]):
        with pytest.raises(FuncamError, match="each from 0 to 1"):
            metrics.road(Bend(images[0].numel()), images, maps, TARGETS, shares=shares)
    with pytest.raises(FuncamError, match=r"bool \[n, H, W\]"):
        metrics.impute(images, torch.zeros(2, 8, 8))
