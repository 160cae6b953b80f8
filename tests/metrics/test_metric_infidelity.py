"""Infidelity and sensitivity-n, against captum on the same perturbations, linear networks, and all sets of pixels."""

from __future__ import annotations

import itertools

import captum.metrics
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_cases import Bend, photos

from funcam import metrics
from funcam.errors import FuncamError

TARGETS = torch.tensor([3, 1])


def gradient(network: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    return torch.func.grad(lambda x: network(x)[range(2), TARGETS].sum())(images).detach()


@pytest.mark.parametrize("scaled", [False, True])
def test_infidelity_agrees_with_captum(scaled):
    images, _ = photos()
    network = Bend(images[0].numel())
    attributions = gradient(network, images)
    taken = torch.randn(16, *images.shape, generator=torch.Generator().manual_seed(4))
    turns = itertools.count()

    def ours(image, generator):
        index, sample = divmod(next(turns), 16)
        return taken[sample, index]

    def theirs(rows):  # captum repeats each image for its samples, image by image
        drawn = taken.transpose(0, 1).reshape(rows.shape)
        return drawn, rows - drawn

    found = metrics.infidelity(network, images, attributions, TARGETS, perturb=ours, samples=16, scaled=scaled)
    expected = captum.metrics.infidelity(
        network, theirs, images, attributions, target=TARGETS, n_perturb_samples=16, normalize=scaled
    )
    np.testing.assert_allclose(found, expected.detach(), rtol=1e-4)


def linear(images: torch.Tensor) -> tuple[torch.nn.Module, torch.Tensor]:
    """A linear network, and the gradients of the targets."""
    weight = torch.randn(5, images[0].numel(), generator=torch.Generator().manual_seed(2))
    return lambda rows: rows.flatten(1) @ weight.T, weight[TARGETS].view_as(images)


@settings(max_examples=20)
@given(st.integers(0, 99), st.floats(0.1, 10))
def test_the_gradient_of_a_linear_network_has_no_infidelity_in_any_unit(seed, factor):
    images, _ = photos(seed=seed)
    network, weights = linear(images)
    for perturb in (metrics.removed_square(0.4), metrics.gaussian_noise()):
        exact = metrics.infidelity(network, images, weights, TARGETS, perturb=perturb, scaled=False, seed=seed)
        assert exact.max() < 1e-6
        scaled = metrics.infidelity(network, images, factor * weights, TARGETS, perturb=perturb, seed=seed)
        assert scaled.max() < 1e-6
    wrong = metrics.infidelity(network, images, -weights, TARGETS, scaled=False)
    assert wrong.min() > 1e-3


def test_maps_hold_for_all_channels_and_zero_maps_explain_nothing():
    images, maps = photos()
    network = Bend(images[0].numel())
    per_channel = maps[:, None].expand_as(images)
    found = metrics.infidelity(network, images, maps, TARGETS)
    assert torch.equal(found, metrics.infidelity(network, images, per_channel, TARGETS))
    for scaled in (True, False):
        nothing = metrics.infidelity(network, images, 0 * maps, TARGETS, scaled=scaled)
        assert (nothing >= found - 1e-6).all()  # the best factor is at least as good as 0


def test_squares_are_taken_from_the_image():
    image = photos()[0][0]
    taken = metrics.removed_square(0.5, baseline=2.0)(image, torch.Generator().manual_seed(1))
    rows, columns = (set((taken != 0).any(0).nonzero()[:, axis].tolist()) for axis in (0, 1))
    assert len(rows) == len(columns) == 4
    left = image - taken
    assert (left[:, min(rows) : max(rows) + 1, min(columns) : max(columns) + 1] - 2).abs().max() < 1e-6
    assert (left == image).sum() == image.numel() - 3 * 16


@settings(max_examples=20)
@given(st.integers(1, 63), st.integers(0, 99))
def test_the_shares_of_a_linear_network_are_perfectly_sensitive(n, seed):
    images, _ = photos(seed=seed)
    network, weights = linear(images)
    shares = weights * images
    found = metrics.sensitivity_n(network, images, shares, TARGETS, n=n, samples=20, seed=seed)
    np.testing.assert_allclose(found, 1, atol=1e-4)
    np.testing.assert_allclose(
        metrics.sensitivity_n(network, images, -shares.sum(1), TARGETS, n=n, samples=20), -1, atol=1e-4
    )


@given(st.integers(1, 64))
def test_n_pixels_are_replaced_with_all_their_channels(n):
    images, maps = photos()
    seen = []

    def network(rows):
        seen.append(rows.clone())
        return rows.flatten(1)

    metrics.sensitivity_n(network, images, maps, TARGETS, n=n, samples=9)
    gone = (seen[0] == 0).view(2, 9, 3, 64)
    assert (gone.all(2).sum(2) == n).all()
    assert (gone.any(2) == gone.all(2)).all()
    if 2 < n < 62:
        assert len(gone.all(2).flatten(0, 1).unique(dim=0)) > 15  # of 18 sets


def test_sensitivity_n_nears_the_correlation_over_all_sets():
    """No peer measures this: Quantus' SensitivityN removes pixels in the map's own order, not at random, sums the last
    ones only while it keeps all removed, and correlates over images instead of over sets."""
    images, maps = photos(side=3)
    network, baseline = Bend(images[0].numel()), torch.tensor(0.5)
    found = metrics.sensitivity_n(network, images, maps, TARGETS, n=2, samples=4000, baseline=baseline, chunk=500)
    for index, target in enumerate(TARGETS.tolist()):
        said, lost = [], []
        whole = network.in_numpy(images[index].numpy())[target]
        for pixels in itertools.combinations(range(9), 2):
            image = images[index].numpy().reshape(3, 9).copy()
            image[:, pixels] = 0.5
            said.append(maps[index].numpy().ravel()[list(pixels)].sum())
            lost.append(whole - network.in_numpy(image)[target])
        assert found[index].item() == pytest.approx(np.corrcoef(said, lost)[0, 1], abs=0.05)


@given(st.integers(1, 40))
def test_random_numbers_are_its_own_whatever_the_chunk(chunk):
    images, maps = photos()
    network = Bend(images[0].numel())
    state = torch.get_rng_state()
    for metric, options in ((metrics.infidelity, {}), (metrics.sensitivity_n, {"n": 5})):
        found = metric(network, images, maps, TARGETS, samples=9, chunk=chunk, **options)
        whole = metric(network, images, maps, TARGETS, samples=9, **options)
        np.testing.assert_allclose(found, whole, rtol=1e-4, atol=1e-5)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_number_that_is_none_of_pixels_is_refused():
    images, maps = photos()
    for n in (0, 65):
        with pytest.raises(FuncamError, match=f"n is {n}; expected 1 to 64"):
            metrics.sensitivity_n(Bend(images[0].numel()), images, maps, TARGETS, n=n)
