"""Gradients of the image against finite differences and against NumPy's average over the same noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from funcam import FuncamError
from funcam.methods.pixels import gradient, input_x_gradient, smooth_grad

seeds = st.integers(0, 2**32 - 1)
shapes = hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=3)  # channels and one to three dimensions


def random_network(shape, classes, seed):
    """A network with a hidden layer, and its gradient written out in NumPy, ``[K, channels, *size]``."""
    rng = np.random.default_rng(seed)
    inner, outer = rng.normal(size=(6, int(np.prod(shape)))), rng.normal(size=(classes, 6))

    def network(rows):
        W, V = (torch.from_numpy(matrix).to(rows.dtype) for matrix in (inner, outer))
        return (rows.flatten(1) @ W.T).tanh() @ V.T

    def slope(image):
        hidden = np.tanh(inner @ image.flatten())
        return ((outer * (1 - hidden**2)) @ inner).reshape(classes, *shape)

    return network, slope


@settings(max_examples=40)
@given(shapes, st.integers(1, 5), seeds, st.sampled_from([1, 2, 32]), st.booleans())
def test_gradients_are_the_derivative(shape, classes, seed, chunk, recording):
    image = np.random.default_rng(seed).normal(size=shape)
    network, slope = random_network(shape, classes, seed)
    with torch.set_grad_enabled(recording):
        found = gradient(network, torch.from_numpy(image), chunk=chunk)
        product = input_x_gradient(network, torch.from_numpy(image), chunk=chunk)
    np.testing.assert_allclose(found, slope(image), atol=1e-9)
    np.testing.assert_allclose(product, slope(image) * image, atol=1e-9)


def test_the_derivative_is_the_finite_difference():
    shape = (2, 3, 3)
    network, _ = random_network(shape, 2, 0)
    image = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = gradient(network, image)
    for place in ((0, 0, 0), (1, 2, 1)):
        step = torch.zeros(shape, dtype=torch.float64)
        step[place] = 1e-6
        want = (network((image + step)[None]) - network((image - step)[None]))[0] / 2e-6
        torch.testing.assert_close(found[:, *place], want, rtol=1e-6, atol=1e-8)


@settings(max_examples=40)
@given(shapes, st.integers(1, 3), seeds, st.integers(1, 7), st.sampled_from([1, 2, 3, 32]))
def test_smooth_grad_is_the_mean_over_noisy_copies(shape, classes, seed, samples, chunk):
    image = np.random.default_rng(seed).normal(size=shape)
    network, slope = random_network(shape, classes, seed)
    generator = torch.Generator().manual_seed(5)
    total = np.zeros((classes, *shape))
    for _ in range(samples):
        drawn = torch.randn(shape, generator=generator).double().numpy()
        total += slope(image + 0.2 * (image.max() - image.min()) * drawn)
    found = smooth_grad(network, torch.from_numpy(image), samples=samples, noise=0.2, seed=5, chunk=chunk)
    np.testing.assert_allclose(found, total / samples, atol=1e-9)


def test_smooth_grad_depends_on_the_seed_alone_and_without_noise_is_the_gradient():
    network, _ = random_network((2, 4, 4), 3, 0)
    image = torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(0))
    before = torch.get_rng_state()
    found = smooth_grad(network, image, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert torch.equal(smooth_grad(network, image, seed=3), found)
    assert not torch.allclose(smooth_grad(network, image, seed=4), found)
    torch.testing.assert_close(smooth_grad(network, image, noise=0.0), gradient(network, image))


def test_no_more_than_a_chunk_of_noisy_images_is_built():
    seen = []

    def network(rows):
        seen.append(len(rows))
        return rows.flatten(1)[:, :2]

    smooth_grad(network, torch.rand(1, 4, 4), samples=10, chunk=4)
    assert seen == [4, 4, 2]


@pytest.mark.parametrize("method", [gradient, input_x_gradient, smooth_grad])
@pytest.mark.parametrize("classes", [1, 3])
def test_a_network_of_zeros_gives_zeros_in_every_type(method, classes):
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        image = torch.rand(3, 4, 4).to(dtype)
        found = method(lambda rows: 0 * rows.flatten(1)[:, :classes], image)
        assert found.dtype == dtype
        assert torch.equal(found, torch.zeros(classes, 3, 4, 4, dtype=dtype))


def test_counts_less_than_one_are_refused():
    with pytest.raises(FuncamError, match=r"^samples is 0; expected a whole number of at least 1$"):
        smooth_grad(lambda rows: rows.flatten(1), torch.rand(1, 4, 4), samples=0)
    with pytest.raises(FuncamError, match=r"^chunk is -1; expected"):
        gradient(lambda rows: rows.flatten(1), torch.rand(1, 4, 4), chunk=-1)
