"""LeGrad and FullGrad against their equations in NumPy, in float64, one head, layer and channel at a time."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch.func import vmap

from funcam.methods.network import full_grad, le_grad

values = st.one_of(st.just(0.0), st.floats(1e-3, 1e2), st.floats(-1e2, -1e-3))
grids = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4)


def le_grad_equation(layers):
    """The mean over layers of 1/(h n) sum over heads and query tokens of (dS/dA)^+."""
    total = 0.0
    for layer in layers:
        heads, tokens = layer.shape[:2]
        for head in range(heads):
            for row in range(tokens):
                total = total + np.maximum(layer[head, row], 0) / (heads * tokens * len(layers))
    return total


@settings(max_examples=60)
@given(data=st.data(), grid=grids, depth=st.integers(1, 3))
def test_le_grad_is_its_equation(data, grid, depth):
    shapes = [(data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4)), *grid) for _ in range(depth)]
    layers = [data.draw(hnp.arrays(np.float64, shape, elements=values)) for shape in shapes]
    found = le_grad([torch.from_numpy(layer) for layer in layers])
    assert found.shape == grid
    assert (found >= 0).all()
    np.testing.assert_allclose(found, le_grad_equation(layers), rtol=1e-9, atol=1e-12)


def rescaled(term):
    """abs, then minus the minimum and over the maximum of all channels and cells of the layer."""
    term = np.abs(term)
    term = term - term.min()
    return term / term.max() if term.max() > 0 else term


def published(image, biases):
    """``FullGrad.saliency`` of the published code, cells resized as OpenCV does (corners not aligned)."""
    cam = rescaled(image).sum(0)
    for bias in biases:
        if bias.ndim == image.ndim:
            for channel in rescaled(bias):
                cam = cam + cv2.resize(channel, cam.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return cam


@settings(max_examples=60)
@given(data=st.data(), size=st.tuples(st.integers(2, 7), st.integers(2, 7)), depth=st.integers(0, 3))
def test_full_grad_is_the_published_code(data, size, depth):
    image = data.draw(hnp.arrays(np.float64, (3, *size), elements=values))
    biases = [data.draw(hnp.arrays(np.float64, (2,), elements=values))]
    for _ in range(depth):
        shape = (data.draw(st.integers(1, 3)), data.draw(st.integers(1, size[0])), data.draw(st.integers(1, size[1])))
        biases.append(data.draw(hnp.arrays(np.float64, shape, elements=values)))
    found = full_grad(torch.from_numpy(image), [torch.from_numpy(b) for b in biases])
    assert found.shape == size
    assert (found >= 0).all()
    np.testing.assert_allclose(found, published(image, biases), rtol=1e-5, atol=1e-5)  # cv2 weighs in float32


@pytest.mark.parametrize("size", [(6,), (4, 6), (2, 4, 6)])
def test_in_one_to_three_dimensions_a_term_is_stretched_over_the_image(size):
    image = torch.zeros(3, *size, dtype=torch.float64)
    term = torch.zeros(2, *[side // 2 for side in size], dtype=torch.float64)
    term[1][(0,) * len(size)] = -4.0
    found = full_grad(image, [term])
    assert found.shape == size
    assert found[(0,) * len(size)] == 1.0  # rescaled, absolute
    assert found[(-1,) * len(size)] == 0.0
    # halfway between a cell of 1 and one of 0, a quarter of the way along each axis
    assert found[(1,) * len(size)] == pytest.approx(0.75 ** sum(side > 2 for side in size))


def test_terms_that_say_nothing_say_nothing():
    constant = torch.full((2, 3, 3), 5.0)
    assert full_grad(constant, [constant, torch.zeros(2, 1, 1), torch.ones(4)]).tolist() == [[0.0] * 3] * 3


def test_both_are_batched_by_vmap():
    generator = torch.Generator().manual_seed(0)
    layers = [torch.randn(4, 2, 3, 2, 2, generator=generator) for _ in range(2)]
    for b, row in enumerate(vmap(le_grad)(layers)):
        torch.testing.assert_close(row, le_grad([layer[b] for layer in layers]))
    image, biases = torch.randn(4, 3, 6, 6, generator=generator), [torch.randn(4, 2, 3, 3, generator=generator)]
    for b, row in enumerate(vmap(full_grad)(image, biases)):
        torch.testing.assert_close(row, full_grad(image[b], [bias[b] for bias in biases]))
