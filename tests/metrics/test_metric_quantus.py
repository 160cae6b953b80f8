"""Quantus on the same maps: where it agrees, and where it measures something else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from metric_cases import Bend, photos

from funcam import metrics

quantus = pytest.importorskip("quantus", reason="quantus is not installed", exc_type=ImportError)

TARGETS = torch.tensor([3, 1])
QUIET = {"disable_warnings": True, "display_progressbar": False}


def masks_of(side: int = 8) -> torch.Tensor:
    masks = torch.zeros(2, 2, side, side, dtype=torch.bool)
    masks[0, 0, :3, 2:5] = masks[0, 1, 2:6, 4:] = masks[1, 0, 5:, :5] = True
    return masks


def of(metric, maps: torch.Tensor, images: torch.Tensor, network: torch.nn.Module, **options):
    """The metric's value for each image, on maps that are given."""
    given = {
        "model": network.eval(),
        "x_batch": images.numpy(),
        "y_batch": TARGETS.numpy(),
        "a_batch": maps[:, None].numpy(),
    }
    return np.array(metric(**given, device="cpu", **options), float)


def test_pointing_game_and_energy_agree():
    for seed in range(5):
        images, maps = photos(seed=seed)
        network, masks = Bend(images[0].numel()), masks_of()
        where = {"s_batch": masks.any(1, keepdim=True).numpy()}
        peer = of(quantus.PointingGame(**QUIET), maps, images, network, **where)
        np.testing.assert_array_equal(metrics.pointing_game(maps, masks), peer)
        peer = of(quantus.RelevanceMassAccuracy(**QUIET), maps, images, network, **where)
        np.testing.assert_allclose(metrics.energy(maps, masks), peer, atol=1e-6)


def test_the_pointing_game_differs_where_maxima_are_equal():
    """Quantus counts a hit if any of several equal maxima is on the object, so that a flat map nearly always hits; here
    the first counts."""
    images, _ = photos()
    maps, masks = torch.ones(2, 8, 8), masks_of()
    maps[:, 7, 7] = 0.5  # Quantus refuses maps of ones
    where = {"s_batch": masks.any(1, keepdim=True).numpy()}
    assert of(quantus.PointingGame(**QUIET), maps, images, Bend(images[0].numel()), **where).tolist() == [1, 1]
    assert metrics.pointing_game(maps, masks).tolist() == [0, 0]


def test_infidelity_agrees_for_one_square_over_the_whole_image():
    """With smaller squares Quantus does not draw them at random: it removes them one after the other and keeps what was
    removed, so that its I grows to the whole image. The definition's I are independent."""
    images, maps = photos()
    images = images - images.amin((1, 2, 3), keepdim=True)  # its black is the image's smallest value
    network = Bend(images[0].numel())
    peer = quantus.Infidelity(perturb_patch_sizes=[8], n_perturb_samples=1, abs=False, normalise=False, **QUIET)
    expected = of(peer, maps, images, network)
    found = metrics.infidelity(
        network, images, maps, TARGETS, perturb=metrics.removed_square(1.0), scaled=False, samples=3
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_ssim_and_rank_correlation_agree():
    _, maps = photos(side=12)
    others = 0.5 * maps + photos(side=12, seed=7)[1]
    pairs = [(one.numpy(), other.numpy()) for one, other in zip(maps, others, strict=True)]
    np.testing.assert_allclose(metrics.ssim(maps, others), [quantus.ssim(*pair) for pair in pairs], atol=1e-5)
    expected = [quantus.correlation_spearman(one.ravel(), other.ravel()) for one, other in pairs]
    np.testing.assert_allclose(metrics.rank_correlation(maps, others), expected, atol=1e-5)


def test_complexity_is_another_thing_there():
    """Quantus' complexity is the entropy of Bhatt et al.; ADCC's is the L1 norm, which an entropy doesn't see."""
    images, maps = photos()
    peer = quantus.Complexity(abs=False, normalise=False, **QUIET)
    network = Bend(images[0].numel())
    full, half = (of(peer, scale * maps, images, network) for scale in (1.0, 0.5))
    np.testing.assert_allclose(full, half, rtol=1e-4)
    np.testing.assert_allclose(metrics.complexity(0.5 * maps), 0.5 * metrics.complexity(maps))


def test_its_complexity_changes_the_maps_that_it_is_given():
    images, maps = photos()
    given = maps.clone()
    of(quantus.Complexity(abs=False, normalise=False, **QUIET), given, images, Bend(images[0].numel()))
    np.testing.assert_allclose(given, maps / maps.sum((1, 2), keepdim=True), rtol=1e-5)


def test_its_road_does_not_take_a_map_for_an_image_of_several_channels():
    images, maps = photos()
    metric = quantus.ROAD(percentages=[50], noise=0.0, abs=False, normalise=False, **QUIET)
    with pytest.raises(IndexError):
        of(metric, maps, images, Bend(images[0].numel()))
    assert metrics.road(Bend(images[0].numel()), images, maps, TARGETS, shares=[0.5]).most.shape == (2,)


@pytest.mark.parametrize("steps", [4, 16])
def test_deletion_is_its_pixel_flipping_at_whole_pixels(steps):
    images, maps = photos()
    network = Bend(images[0].numel())
    metric = quantus.PixelFlipping(
        features_in_step=maps[0].numel() // steps, perturb_baseline=0.0, abs=False, normalise=False, **QUIET
    )
    expected = of(metric, maps, images, network)[:, 2::3]  # it removes the channels of a pixel one by one
    found = metrics.deletion(network, images, maps, TARGETS, steps=steps).scores[:, 1:]
    np.testing.assert_allclose(found, expected, atol=1e-5)
