"""Rescaling and upsampling, against NumPy written out cell by cell."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from funcam.errors import FuncamError
from funcam.maps import rescale, upsample

finite = st.floats(-1e6, 1e6, width=32).filter(lambda x: x == 0 or abs(x) > 1e-20)
per_class = hnp.arrays(np.float32, hnp.array_shapes(min_dims=4, max_dims=4, max_side=4), elements=finite)


@given(per_class)
def test_each_scale_shares_one_divisor_with_what_it_says(maps):
    groups = {
        "none": lambda b, k: 1.0,
        "per-map": lambda b, k: np.abs(maps[b, k]).max(),
        "per-image": lambda b, k: np.abs(maps[b]).max(),
        "per-batch": lambda b, k: np.abs(maps).max(),
    }
    for scale, divisor in groups.items():
        found = rescale(torch.from_numpy(maps), scale).numpy()
        for b, k in itertools.product(*map(range, maps.shape[:2])):
            np.testing.assert_allclose(found[b, k], maps[b, k] / (divisor(b, k) or 1), rtol=1e-6)
        if scale != "none":
            assert np.abs(found).max() <= 1
    np.testing.assert_array_equal(
        rescale(torch.from_numpy(maps[:, 0]), "per-image"), rescale(torch.from_numpy(maps[:, 0]), "per-map")
    )


@pytest.mark.parametrize("scale", ["none", "per-map", "per-image", "per-batch"])
def test_zero_stays_zero_and_types_stay(scale):
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        found = rescale(torch.zeros(2, 3, 4, 5, dtype=dtype), scale)
        assert found.dtype == dtype
        assert torch.equal(found, torch.zeros(2, 3, 4, 5, dtype=dtype))


def test_space_may_have_another_number_of_axes():
    maps = torch.tensor([[1.0, -2.0], [0.0, 4.0]])
    assert rescale(maps, spatial=1).tolist() == [[0.5, -1.0], [0.0, 1.0]]
    assert rescale(torch.full((2, 3, 4, 5), 7.0), spatial=3).unique().tolist() == [1.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (torch.zeros(1, 2, 2), "per-maps"),
            r"unknown scale 'per-maps'; expected one of none, .* \(nearest: 'per-map'",
        ),
        ((torch.zeros(2, 2),), r"shape \[2, 2\]; expected \[B, \*S\]"),
    ],
)
def test_rescale_refuses(arguments, message):
    with pytest.raises(FuncamError, match=message):
        rescale(*arguments)


def linear_numpy(line: np.ndarray, size: int) -> np.ndarray:
    """Linear interpolation with aligned cell centres: sample i lies at (i + 1/2) * old / new - 1/2, clamped."""
    found = []
    for i in range(size):
        place = min(max((i + 0.5) * len(line) / size - 0.5, 0), len(line) - 1)
        low = math.floor(place)
        high = min(low + 1, len(line) - 1)
        found.append(line[low] * (1 - (place - low)) + line[high] * (place - low))
    return np.array(found)


@settings(max_examples=40)
@given(st.integers(1, 3), st.data())
def test_upsampling_is_linear_along_each_axis(axes, data):
    old = data.draw(st.lists(st.integers(1, 4), min_size=axes, max_size=axes))
    new = data.draw(st.lists(st.integers(1, 9), min_size=axes, max_size=axes))
    maps = np.random.default_rng(axes).normal(size=(2, 3, *old))
    want = maps
    for axis, size in enumerate(new):
        want = np.apply_along_axis(linear_numpy, 2 + axis, want, size)
    found = upsample(torch.from_numpy(maps), new)
    assert found.shape == (2, 3, *new)
    np.testing.assert_allclose(found, want, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(upsample(torch.from_numpy(maps[:, 0]), new), want[:, 0], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("shape", "size"),
    [((4, 4), (8, 8)), ((1, 1, 1, 4, 4), (8, 8)), ((1, 4), ()), ((1, 4, 4), (0, 8)), ((1,) * 6, (2,) * 4)],
)
def test_upsample_refuses(shape, size):
    with pytest.raises(FuncamError, match=r"can't be brought to size"):
        upsample(torch.zeros(shape), size)
