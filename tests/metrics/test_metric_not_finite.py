"""A map with a NaN or an infinity has no figure, and no image beside it loses its own."""

from __future__ import annotations

import pytest
import torch
from metric_arguments import COUNT, FUNCTIONS, arguments, call, with_parameter

from funcam import metrics

COUNTS = {"pixel_counts": torch.int64}  # whole numbers know no NaN: nothing is counted
MAPS = [(name, p) for p in ("maps", "others", "again", "attributions") for name in with_parameter(p)]
BAD = {"NaN": torch.nan, "infinity": torch.inf, "-infinity": -torch.inf}


def rows(name: str, **changed: object) -> list[torch.Tensor]:
    """What a function gives for each image; a curve's shares are for all of them."""
    return [one for one in call(name, **changed) if one.shape[:1] == (COUNT,)]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize(("name", "parameter"), MAPS)
def test_a_map_that_is_not_finite_has_no_figure_and_the_others_keep_theirs(name, parameter, bad):
    whole = arguments()[parameter]
    spoilt = whole.clone()
    spoilt[1, 3, 4] = BAD[bad]
    found, expected = rows(name, **{parameter: spoilt}), rows(name, **{parameter: whole})
    assert found
    for ours, theirs in zip(found, expected, strict=True):
        if name in COUNTS:
            assert ours.dtype == COUNTS[name]
            assert not ours[1].any()
            assert theirs[1].any()
        elif name == "confidence" and ours is found[0]:
            assert torch.equal(ours, theirs)  # the image's own score has nothing to do with its map
        else:
            assert ours[1].isnan().all()
            assert not theirs[1].isnan().any()
        for other in (0, 2):
            torch.testing.assert_close(ours[other], theirs[other], rtol=0, atol=0)


def test_nothing_is_counted_of_a_map_that_is_not_finite():
    maps, masks = arguments()["maps"].clone(), arguments()["masks"]
    maps[1, 0, 0] = torch.nan
    pixels = metrics.pixel_counts(maps, masks)
    assert metrics.pxap(pixels[1:2]).isnan()
    torch.testing.assert_close(metrics.pxap(pixels), metrics.pxap(pixels[[0, 2]]))


@pytest.mark.parametrize("name", with_parameter("network"))
def test_a_network_that_returns_nan_leaves_nan(name):
    network, images = arguments()["network"], arguments()["images"].clone()
    images[1] += 100.0

    def failing(pixels: torch.Tensor) -> torch.Tensor:
        return torch.where(pixels.flatten(1).amax(1, keepdim=True) > 50, torch.nan, network(pixels))

    found, expected = rows(name, network=failing, images=images), rows(name, images=images)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours[1].isnan().any()
        torch.testing.assert_close(ours[[0, 2]], theirs[[0, 2]])


def test_scores_that_are_nan_are_no_figure():
    values = torch.tensor([0.8, torch.nan, 0.2])
    for metric in (metrics.average_drop, metrics.increase_in_confidence, metrics.average_gain):
        for before, after in ((values, values.flip(0)), (torch.full((3,), 0.5), values), (values, torch.zeros(3))):
            figures = metric(metrics.Confidence(before, after))
            assert figures.isnan().tolist() == [False, True, False], metric


def test_an_overlap_that_is_nan_is_no_error_and_no_hit():
    overlaps = torch.tensor([0.9, torch.nan, 0.1])
    errors = metrics.top1_localisation_error(torch.eye(3), [0, 1, 2], overlaps)
    assert errors[[0, 2]].tolist() == [0.0, 1.0]
    assert errors[1].isnan()
    logits = torch.eye(3)
    logits[0, 1] = torch.nan
    assert metrics.top1_localisation_error(logits, [0, 1, 2], torch.full((3,), 0.9)).isnan().tolist() == [
        True,
        False,
        False,
    ]


def test_every_metric_with_maps_is_here():
    assert {name for name, _ in MAPS} <= set(FUNCTIONS)
    assert len(MAPS) > 20
