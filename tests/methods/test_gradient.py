"""Each gradient method against its equation written out in NumPy, in float64, one channel and one cell at a time."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch.func import vmap

from funcam import FuncamError, grad_cam, grad_cam_pp, grad_cam_pp_normalised, guided_grad_cam
from funcam.methods import METHODS, find_method


def grad_cam_equation(A, g):
    """arXiv:1610.02391: w_k = 1/Z sum_ij g_k, L = relu(sum_k w_k A_k)."""
    total = np.zeros(A.shape[1:])
    for A_k, g_k in zip(A, g, strict=True):
        total += g_k.sum() / g_k.size * A_k
    return np.maximum(total, 0)


def equation_19(A, g):
    """arXiv:1710.11063, Eq. 19 and 5 as the paper writes them: alpha = g^2 / (2 g^2 + sum_ab A_ab g^3)."""
    total = np.zeros(A.shape[1:])
    for A_k, g_k in zip(A, g, strict=True):
        w = 0.0
        for value in g_k.flatten():
            if value > 0:
                w += value**2 / (2 * value**2 + A_k.sum() * value**3) * value
        total += w * A_k
    return np.maximum(total, 0)


def authors_code(A, g):
    """``grad_CAM_plus`` of the code published with the paper (misc/utils.py), exp(S) left out; [C, *S]."""
    space = tuple(range(1, A.ndim))
    global_sum = A.sum(axis=space, keepdims=True)
    alpha_num = g**2
    alpha_denom = g**2 * 2.0 + global_sum * g**3
    alpha_denom = np.where(alpha_denom != 0.0, alpha_denom, np.ones(alpha_denom.shape))
    alphas = alpha_num / alpha_denom
    weights = np.maximum(g, 0.0)
    alphas_thresholding = np.where(weights, alphas, 0.0)
    constant = alphas_thresholding.sum(axis=space, keepdims=True)
    alphas = alphas / np.where(constant != 0.0, constant, np.ones(constant.shape))
    deep_linearization_weights = (weights * alphas).sum(axis=space, keepdims=True)
    return np.maximum((deep_linearization_weights * A).sum(axis=0), 0)


ORACLES = [(grad_cam, grad_cam_equation), (grad_cam_pp, equation_19), (grad_cam_pp_normalised, authors_code)]

shapes = hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=5)  # C and one to three dimensions
# no subnormals: g^2 and g^3 of the paper's form must not underflow in float64
gradients = st.one_of(st.just(0.0), st.floats(1e-5, 1e2), st.floats(-1e2, -1e-5))
behind_relu = st.one_of(st.just(0.0), st.floats(1e-4, 1e3))
signed = st.one_of(behind_relu, st.floats(-1e3, -1e-4))


def draw(data, values):
    shape = data.draw(shapes)
    return data.draw(hnp.arrays(np.float64, shape, elements=values)), data.draw(
        hnp.arrays(np.float64, shape, elements=gradients)
    )


@pytest.mark.parametrize(("method", "oracle"), ORACLES)
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_behind_a_relu_a_method_is_its_equation(method, oracle, data):
    A, g = draw(data, behind_relu)
    want = oracle(A, g)
    found = method(torch.from_numpy(A), torch.from_numpy(g))
    assert found.shape == A.shape[1:]
    np.testing.assert_allclose(found, want, rtol=1e-9, atol=1e-9 * (1 + np.abs(want).max()))
    assert (found >= 0).all()


@pytest.mark.parametrize(("method", "oracle"), ORACLES)
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_for_signed_features_away_from_a_pole_too(method, oracle, data):
    A, g = draw(data, signed)
    divisor = 2 + A.reshape(len(A), -1).sum(1).reshape(-1, *[1] * (A.ndim - 1)) * np.maximum(g, 0)
    alpha = np.where(g > 0, 1 / np.where(divisor == 0, 1, divisor), 0).reshape(len(A), -1)
    assume(np.abs(divisor).min() > 1e-2)
    assume((np.abs(alpha.sum(1)) >= 1e-6 * np.abs(alpha).sum(1)).all())  # nor where the normalisation has one
    want = oracle(A, g)
    np.testing.assert_allclose(
        method(torch.from_numpy(A), torch.from_numpy(g)), want, rtol=1e-5, atol=1e-6 * (1 + np.abs(want).max())
    )


@pytest.mark.parametrize(("method", "oracle"), ORACLES)
@pytest.mark.parametrize("scale", [1e-3, 1e-6, 1e-12])
def test_small_gradients_in_single_precision_keep_their_digits(method, oracle, scale):
    """Gradients at the last layer are about 1e-3 / cells; their squares vanish beside a constant of 1e-6 or 1e-7."""
    rng = np.random.default_rng(0)
    A = np.maximum(rng.normal(size=(64, 7, 7)), 0).astype(np.float32)
    g = (rng.normal(size=(64, 7, 7)) * scale).astype(np.float32)
    want = oracle(A.astype(np.float64), g.astype(np.float64))
    found = method(torch.from_numpy(A), torch.from_numpy(g))
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5 * want.max())


@pytest.mark.parametrize(("method", "oracle"), ORACLES)
@pytest.mark.parametrize("space", [(5,), (4, 3), (3, 2, 4)])
def test_bfloat16_is_right_to_its_precision(method, oracle, space):
    generator = torch.Generator().manual_seed(0)
    A = torch.rand(8, *space, generator=generator).bfloat16()
    g = (torch.randn(8, *space, generator=generator) * 1e-2).bfloat16()
    want = oracle(A.double().numpy(), g.double().numpy())
    found = method(A, g)
    assert found.dtype == torch.bfloat16
    assert torch.isfinite(found).all()
    np.testing.assert_allclose(found.double(), want, rtol=0.05, atol=0.02 * want.max())


@given(st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0]))
def test_a_cell_exactly_at_a_pole_is_left_out(value):
    """Channel 0 has sum(A) = -2 / g at its first cell, so that 2 + sum(A) g vanishes there and only there."""
    A = np.array([[[-2 / value - 1, 1.0]], [[3.0, 1.0]]])
    g = np.array([[[value, value / 4]], [[0.5, 0.25]]])
    g_without = g.copy()
    g_without[0, 0, 0] = 0
    found = grad_cam_pp(torch.from_numpy(A), torch.from_numpy(g))
    np.testing.assert_allclose(found, equation_19(A, g_without), rtol=1e-12)
    normalised = grad_cam_pp_normalised(torch.from_numpy(A), torch.from_numpy(g))
    assert torch.isfinite(normalised).all()
    # and what is differentiated there is finite as well
    gradient = torch.func.grad(lambda a: grad_cam_pp(a, torch.from_numpy(g)).sum())(torch.from_numpy(A))
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("method", [grad_cam, grad_cam_pp, grad_cam_pp_normalised])
def test_a_gradient_that_is_nowhere_positive_or_zero_gives_a_map_of_zeros(method):
    A = torch.rand(3, 4, 4)
    assert torch.equal(method(A, torch.zeros(3, 4, 4)), torch.zeros(4, 4))
    assert torch.equal(method(A, -torch.rand(3, 4, 4)), torch.zeros(4, 4))
    assert torch.equal(method(torch.zeros(3, 4, 4), A), torch.zeros(4, 4))


@pytest.mark.parametrize("method", [grad_cam, grad_cam_pp, grad_cam_pp_normalised])
@pytest.mark.parametrize("space", [(5,), (3, 4), (2, 3, 2)])
def test_vmap_over_images_and_classes_is_a_loop(method, space):
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(3, 4, *space, generator=generator, dtype=torch.float64)
    g = torch.randn(2, 3, 4, *space, generator=generator, dtype=torch.float64)
    maps = vmap(vmap(method), in_dims=(None, 0))(A, g)
    for k, b in itertools.product(range(2), range(3)):
        torch.testing.assert_close(maps[k, b], method(A[b], g[k, b]))


def test_grad_cam_pp_gives_each_of_several_equal_objects_its_weight():
    """The paper's argument for Grad-CAM++: a channel that sees a small object must not weigh less."""
    A, g = torch.zeros(2, 4, 4), torch.zeros(2, 4, 4)
    A[0, :3], g[0, :3] = 1, 1e-4  # a large object
    A[1, 3, 3], g[1, 3, 3] = 1, 1e-4 * 12  # a small one
    assert grad_cam_pp(A, g)[3, 3] == pytest.approx(float(grad_cam_pp(A, g)[0, 0]), rel=0.01)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.data())
def test_guided_grad_cam_is_a_product_with_the_upsampled_map(axes, data):
    size = data.draw(st.lists(st.integers(1, 8), min_size=axes, max_size=axes))
    grid = data.draw(st.lists(st.integers(1, 4), min_size=axes, max_size=axes))
    generator = torch.Generator().manual_seed(0)
    gradient = torch.randn(3, *size, generator=generator, dtype=torch.float64)
    cam = torch.rand(grid, generator=generator, dtype=torch.float64)
    want = cam.numpy()
    for axis, length in enumerate(size):  # linear along each axis, cell centres aligned
        places = (np.arange(length) + 0.5) * want.shape[axis] / length - 0.5
        want = np.apply_along_axis(lambda line, p=places: np.interp(p, np.arange(len(line)), line), axis, want)
    np.testing.assert_allclose(guided_grad_cam(gradient, cam), gradient.numpy() * want, rtol=1e-6, atol=1e-9)


def test_the_table_leads_to_the_functions():
    homes = {"grad-cam": grad_cam, "grad-cam++": grad_cam_pp, "grad-cam++-normalised": grad_cam_pp_normalised}
    for name, function in homes.items():
        assert find_method(name).function() is function
    for name, method in METHODS.items():
        assert method.name == name
        assert callable(method.function())
        assert method.kind in ("map", "image", "guided")
        assert "arXiv:" in method.paper


def test_an_unknown_method_names_the_nearest():
    with pytest.raises(FuncamError, match=r"unknown method 'gradcam\+\+'; nearest: 'grad-cam\+\+'"):
        find_method("gradcam++")
