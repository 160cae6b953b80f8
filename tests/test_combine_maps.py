"""Maps of several layers as one, against NumPy and against each image and class on its own."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from small import small

import funcam
from funcam import FuncamError, combine_maps, rescale, upsample


def positive(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * torch.arange(1.0, shape[0] + 1).view(
        -1, *[1] * (len(shape) - 1)
    )


def by_hand(maps: list[torch.Tensor], axes: int, how: str) -> np.ndarray:
    """Every image and class alone: cut at zero, divided by its own maximum, brought to the finest grid."""
    finest = max((one.shape[one.ndim - axes :] for one in maps), key=math.prod)
    leading = maps[0].shape[: maps[0].ndim - axes]
    out = np.zeros((*leading, *finest))
    for place in itertools.product(*map(range, leading)):
        parts = []
        for one in maps:
            cell = np.maximum(one[place].double().numpy(), 0)
            cell = cell / (cell.max() or 1)
            for axis, size in enumerate(finest):
                cell = np.apply_along_axis(lambda line, size=size: linear(line, size), axis, cell)
            parts.append(cell)
        out[place] = {"mean": np.mean, "max": np.max, "product": np.prod}[how](parts, axis=0)
    return out


def linear(line: np.ndarray, size: int) -> np.ndarray:
    places = np.clip((np.arange(size) + 0.5) * len(line) / size - 0.5, 0, len(line) - 1)
    return np.interp(places, np.arange(len(line)), line)


@pytest.mark.parametrize("how", ["mean", "max", "product"])
@pytest.mark.parametrize(
    ("coarse", "fine", "axes"),
    [
        ((2, 4, 4), (2, 8, 8), 2),  # result.maps with one class each
        ((2, 4, 3), (2, 8, 3), 2),
        ((3, 2, 4, 5), (3, 2, 8, 10), 2),
        ((4, 4), (8, 6), 2),
        ((1, 4, 4), (1, 8, 8), 2),
        ((5,), (9,), 1),
        ((2, 3, 2, 2), (2, 5, 4, 4), 3),  # volumes, one class each
        ((2, 3, 3, 2, 2), (2, 3, 6, 4, 4), 3),
        ((1, 1, 3), (1, 1, 6), 1),
    ],
)
def test_each_image_and_class_has_its_own_scale(coarse, fine, axes, how):
    maps = [positive(*coarse), positive(*fine, seed=1)]
    want = by_hand(maps, axes, how)
    np.testing.assert_allclose(combine_maps(maps, how), want, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(combine_maps(maps, how, spatial=axes), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("coarse", "fine", "axes"),
    [
        ((2, 3, 8), (2, 3, 4), 1),
        ((2, 8, 8), (2, 8, 8), 2),
        ((2, 8, 8), (2, 8, 4), 2),
        ((2, 8, 8), (2, 8, 8), 1),
        ((4, 4), (4, 2), 2),
        ((2, 6), (2, 3), 1),
        ((3, 4, 4), (5, 8, 8), 3),
    ],
)
def test_shapes_that_could_be_read_in_two_ways_need_to_be_told(coarse, fine, axes):
    maps = [positive(*coarse), positive(*fine, seed=1)]
    with pytest.raises(FuncamError, match=r"don't say which axes are space.*combine_maps\(maps, spatial=2\)"):
        combine_maps(maps)
    np.testing.assert_allclose(combine_maps(maps, spatial=axes), by_hand(maps, axes, "mean"), rtol=1e-5, atol=1e-6)


def test_maps_of_explain_as_they_come():
    model, images = small(), torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    for targets in ([1, 2], [[0, 1], [2, 3]]):
        apart = [funcam.explain(model, images, targets, layer=layer).maps for layer in ("stem", "blocks")]
        together = funcam.explain(model, images, targets, layer=["stem", "blocks"], combine="product").maps
        torch.testing.assert_close(combine_maps(apart, "product"), together, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("how", ["mean", "max", "product"])
@pytest.mark.parametrize("shape", [(2, 4, 4), (2, 3, 4, 4), (4, 4), (5,), (2, 3, 4, 4, 4)])
def test_a_single_map_comes_back_as_it_is(shape, how):
    maps = positive(*shape)
    assert combine_maps([maps], how) is maps
    assert combine_maps(maps, how) is maps
    assert combine_maps((maps,), how, spatial=1) is maps


def test_empty_batches():
    assert combine_maps([torch.zeros(0, 4, 4), torch.zeros(0, 8, 8)]).shape == (0, 8, 8)
    assert upsample(torch.zeros(0, 3, 4, 4), (8, 8)).shape == (0, 3, 8, 8)


def test_what_is_not_a_number_stays_so():
    maps = [positive(2, 4, 4), positive(2, 8, 8)]
    maps[0][1, 0, 0] = math.nan
    found = combine_maps(maps)
    assert found[0].isfinite().all()
    assert found[1].isnan().any()


@pytest.mark.parametrize(
    ("maps", "settings", "message"),
    [
        ([], {}, "no maps were given to combine"),
        (3, {}, "maps are a int; expected a float tensor"),
        ([np.zeros((2, 4, 4))], {}, "maps are a ndarray"),
        ([positive(2, 4, 4), None], {}, "maps are a NoneType"),
        ([positive(2, 4, 4), positive(2, 8, 8).long()], {}, r"type torch.int64; expected floats"),
        ([positive(2, 4, 4) > 0] * 2, {}, "type torch.bool"),
        ([positive(2, 4, 4), positive(3, 8, 8)], {"spatial": 2}, "not of the same images and classes"),
        ([positive(2, 1, 4, 4), positive(3, 1, 8, 8)], {}, "don't say which axes|not of the same images"),
        ([positive(2, 4, 4), positive(2, 1, 8, 8)], {}, "not of the same images and classes"),
        ([positive(2, 4), positive(2, 8)], {"spatial": 3}, "not of the same images and classes"),
        ([positive(2, 4), positive(2, 8)], {"spatial": 0}, "spatial is 0; expected a whole number of at least 1"),
        ([positive(2, 4), positive(2, 8)], {"spatial": True}, "spatial is True"),
        ([positive(2, 4), positive(2, 8)], {"spatial": "2"}, "spatial is '2'"),
        ([positive(2, 4, 4)], {"how": "sum"}, "unknown combination 'sum'"),
        ([positive(2, 4, 4)], {"how": None}, "unknown combination None"),
    ],
)
def test_what_can_not_be_combined(maps, settings, message):
    with pytest.raises(FuncamError, match=message) as caught:
        combine_maps(maps, **settings)
    assert "\n" not in str(caught.value)


def test_an_explanation_is_no_map():
    result = funcam.explain(small(), torch.randn(2, 3, 32, 32))
    for call in (lambda: combine_maps([result]), lambda: rescale(result), lambda: upsample(result, (8, 8))):
        with pytest.raises(FuncamError, match=r"maps are a Explanation; expected a float tensor; give its \.maps"):
            call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rescale(np.zeros((1, 2, 2))), "maps are a ndarray"),
        (lambda: rescale(positive(2, 4, 4) > 0), "type torch.bool"),
        (lambda: rescale(positive(2, 4, 4), spatial=1.5), "spatial is 1.5; expected a whole number"),
        (lambda: rescale(positive(2, 4, 4), spatial=0), "spatial is 0"),
        (lambda: rescale(positive(2, 4, 4), 3), "unknown scale 3"),
        (lambda: rescale(positive(2, 4, 4), None), "unknown scale None"),
        (
            lambda: upsample(positive(2, 4, 4), 8),
            r"size is 8; expected one number for each spatial axis, e.g. \(224, 224\)",
        ),
        (lambda: upsample(positive(2, 4, 4), "88"), "size is '88'"),
        (lambda: upsample(positive(2, 4, 4), (8.0, 8.0)), "a side of size is 8.0; expected a whole number"),
        (lambda: upsample(positive(2, 4, 4).long(), (8, 8)), "type torch.int64; expected floats"),
        (lambda: upsample([[1.0]], (8, 8)), "maps are a list"),
    ],
)
def test_rescale_and_upsample_refuse_other_kinds(call, message):
    with pytest.raises(FuncamError, match=message):
        call()
