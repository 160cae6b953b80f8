"""Each gradient method against its equation written out in NumPy, in float64, one channel and one cell at a time."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch.func import grad, jvp, vmap

from funcam import grad_cam, grad_cam_pp, grad_cam_pp_normalised, guided_grad_cam
from funcam.methods.gradient import (
    cam,
    eigen_grad_cam,
    element_wise_grad_cam,
    finer_cam,
    hires_cam,
    layer_cam,
    seg_eigen_cam,
    shapley_cam,
    smooth_grad_cam_pp,
    xgrad_cam,
)
from funcam.methods.reduce import signed_sum
from funcam.network.forward_mode import prepare_forward_mode


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


def cam_equation(A, g):
    """arXiv:1512.04150: M = sum_k w_k A_k; behind mean pooling g_k is w_k / cells in every cell."""
    return np.maximum(sum(g_k.sum() * A_k for A_k, g_k in zip(A, g, strict=True)), 0)


def xgrad_equation(A, g):
    """arXiv:2008.02312, Eq. 8: w_k = sum_xy (A_k(x, y) / sum A_k) g_k(x, y)."""
    total = np.zeros(A.shape[1:])
    for A_k, g_k in zip(A, g, strict=True):
        if A_k.sum() != 0:
            total += (A_k / A_k.sum() * g_k).sum() * A_k
    return np.maximum(total, 0)


def hires_equation(A, g):
    """arXiv:2011.08891."""
    return np.maximum(sum(g_k * A_k for A_k, g_k in zip(A, g, strict=True)), 0)


def element_wise_equation(A, g):
    return sum(np.maximum(g_k * A_k, 0) for A_k, g_k in zip(A, g, strict=True))


def layer_equation(A, g):
    """TIP 2021, Eq. 5 to 7: M = relu(sum_k relu(g_k) A_k)."""
    return np.maximum(sum(np.where(g_k > 0, g_k, 0) * A_k for A_k, g_k in zip(A, g, strict=True)), 0)


ORACLES = [
    (grad_cam, grad_cam_equation),
    (grad_cam_pp, equation_19),
    (grad_cam_pp_normalised, authors_code),
    (cam, cam_equation),
    (xgrad_cam, xgrad_equation),
    (hires_cam, hires_equation),
    (element_wise_grad_cam, element_wise_equation),
    (layer_cam, layer_equation),
]

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
@settings(max_examples=80)
@given(data=st.data())
def test_behind_a_relu_a_method_is_its_equation(method, oracle, data):
    A, g = draw(data, behind_relu)
    want = oracle(A, g)
    found = method(torch.from_numpy(A), torch.from_numpy(g))
    assert found.shape == A.shape[1:]
    np.testing.assert_allclose(found, want, rtol=1e-9, atol=1e-9 * (1 + np.abs(want).max()))
    assert (found >= 0).all()


@pytest.mark.parametrize(("method", "oracle"), ORACLES)
@settings(max_examples=80)
@given(data=st.data())
def test_for_signed_features_away_from_a_pole_too(method, oracle, data):
    A, g = draw(data, signed)
    divisor = 2 + A.reshape(len(A), -1).sum(1).reshape(-1, *[1] * (A.ndim - 1)) * np.maximum(g, 0)
    alpha = np.where(g > 0, 1 / np.where(divisor == 0, 1, divisor), 0).reshape(len(A), -1)
    assume(np.abs(divisor).min() > 1e-2)
    total = A.reshape(len(A), -1).sum(1)
    assume((np.abs(total) >= 1e-6 * np.abs(A).reshape(len(A), -1).sum(1)).all())  # XGrad-CAM's pole
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


EVERY = [*(method for method, _ in ORACLES), eigen_grad_cam, seg_eigen_cam]


@pytest.mark.parametrize("method", [method for method, _ in ORACLES])
def test_a_gradient_that_is_nowhere_positive_or_zero_gives_a_map_of_zeros(method):
    A = torch.rand(3, 4, 4)
    assert torch.equal(method(A, torch.zeros(3, 4, 4)), torch.zeros(4, 4))
    assert torch.equal(method(A, -torch.rand(3, 4, 4)), torch.zeros(4, 4))
    assert torch.equal(method(torch.zeros(3, 4, 4), A), torch.zeros(4, 4))


@pytest.mark.parametrize("method", EVERY)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_features_or_gradients_of_zero_give_a_map_of_zeros(method, dtype):
    some, none = torch.rand(3, 2, 4).to(dtype), torch.zeros(3, 2, 4, dtype=dtype)
    for A, g in ((some, none), (none, some), (none, none)):
        found = method(A, g)
        assert found.dtype == dtype
        assert torch.equal(found, torch.zeros(2, 4, dtype=dtype))


@pytest.mark.parametrize("method", EVERY)
@pytest.mark.parametrize("space", [(5,), (3, 4), (2, 3, 2)])
def test_vmap_over_images_and_classes_is_a_loop(method, space):
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(3, 4, *space, generator=generator, dtype=torch.float64)
    g = torch.randn(2, 3, 4, *space, generator=generator, dtype=torch.float64)
    maps = vmap(vmap(method), in_dims=(None, 0))(A, g)
    for k, b in itertools.product(range(2), range(3)):
        torch.testing.assert_close(maps[k, b], method(A[b], g[k, b]))


@pytest.mark.parametrize(
    ("method", "shapes"),
    [
        (smooth_grad_cam_pp, [(6, 3, 4)]),
        (shapley_cam, [(3, 4), (3, 4)]),
        (finer_cam, [(3, 4), (2, 3, 4)]),
    ],
)
def test_vmap_is_a_loop_for_methods_with_more_gradients(method, shapes):
    generator = torch.Generator().manual_seed(0)
    A = torch.rand(2, 3, 4, generator=generator, dtype=torch.float64)
    rest = [torch.randn(5, 2, *shape, generator=generator, dtype=torch.float64) for shape in shapes]
    maps = vmap(vmap(method), in_dims=(None, *[0] * len(rest)))(A, *rest)
    for k, b in itertools.product(range(5), range(2)):
        torch.testing.assert_close(maps[k, b], method(A[b], *(tensor[k, b] for tensor in rest)))


def test_grad_cam_pp_gives_each_of_several_equal_objects_its_weight():
    """The paper's argument for Grad-CAM++: a channel that sees a small object must not weigh less."""
    A, g = torch.zeros(2, 4, 4), torch.zeros(2, 4, 4)
    A[0, :3], g[0, :3] = 1, 1e-4  # a large object
    A[1, 3, 3], g[1, 3, 3] = 1, 1e-4 * 12  # a small one
    assert grad_cam_pp(A, g)[3, 3] == pytest.approx(float(grad_cam_pp(A, g)[0, 0]), rel=0.01)


@settings(max_examples=40)
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


def smooth_equation(A, noisy):
    """arXiv:1908.01224 with alpha = D2 / (2 D2 + sum(A) D3), one cell at a time; also the least |divisor| / D2."""
    total, least = np.zeros(A.shape[1:]), np.inf
    for k, A_k in enumerate(A):
        w = 0.0
        for cell in np.ndindex(A_k.shape):
            g = noisy[(slice(None), k, *cell)]
            D1, D2, D3 = g.mean(), (g**2).mean(), (g**3).mean()
            if D1 > 0:
                divisor = 2 * D2 + A_k.sum() * D3
                least = min(least, abs(divisor) / D2)
                w += D2 / divisor * D1
        total += w * A_k
    return np.maximum(total, 0), least


@settings(max_examples=60)
@given(shapes, st.integers(1, 4), st.integers(0, 2**32 - 1), st.sampled_from([1e-30, 1e-3, 1.0]))
def test_smooth_grad_cam_pp_is_its_equation(shape, n, seed, size):
    rng = np.random.default_rng(seed)
    A, noisy = np.maximum(rng.normal(size=shape), 0), rng.normal(size=(n, *shape)) * size
    want, least = smooth_equation(A, noisy)
    assume(least > 1e-3)  # the mean of cubes may be negative, and then there are poles
    found = smooth_grad_cam_pp(torch.from_numpy(A), torch.from_numpy(noisy))
    np.testing.assert_allclose(found, want, rtol=1e-9, atol=1e-9 * want.max())


def test_smooth_grad_cam_pp_of_one_copy_is_grad_cam_pp_and_keeps_small_gradients():
    generator = torch.Generator().manual_seed(0)
    A, g = torch.rand(8, 5, 5, generator=generator), torch.randn(8, 5, 5, generator=generator) * 1e-15
    torch.testing.assert_close(smooth_grad_cam_pp(A, g[None]), grad_cam_pp(A, g), rtol=1e-5, atol=0)


def test_smooth_grad_cam_pp_leaves_out_a_cell_at_a_pole_and_gives_zeros_for_zeros():
    # D1 = 1, D2 = 5, D3 = -5 and sum(A) = 2, so that 2 D2 + sum(A) D3 vanishes
    noisy = torch.tensor([-2.0, 1.0, 4.0, 1.0]).double()
    D2, D3 = (noisy**2).mean(), (noisy**3).mean()
    A = torch.tensor([[-2 * D2 / D3]]).double()
    assert torch.equal(smooth_grad_cam_pp(A, noisy.view(-1, 1, 1)), torch.zeros(1).double())
    assert torch.equal(smooth_grad_cam_pp(torch.rand(2, 3), torch.zeros(4, 2, 3)), torch.zeros(3))


@settings(max_examples=40)
@given(shapes, st.integers(1, 4), st.integers(0, 2**32 - 1), st.floats(0, 2))
def test_finer_cam_is_grad_cam_of_a_contrast(shape, m, seed, gamma):
    rng = np.random.default_rng(seed)
    A, g, similar = rng.normal(size=shape), rng.normal(size=shape), rng.normal(size=(m, *shape))
    total = np.zeros(shape[1:])
    for k in range(shape[0]):
        contrasts = [g[k].mean() - gamma * d[k].mean() for d in similar]
        total += np.mean(contrasts) * A[k]
    found = finer_cam(*map(torch.from_numpy, (A, g, similar)), gamma=gamma)
    np.testing.assert_allclose(found, np.maximum(total, 0), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("space", [(5,), (3, 4), (2, 3, 2)])
def test_shapley_cam_with_a_hessian_vector_product_is_the_finite_difference(space):
    """H A of a softplus head, which has curvature, is the change of the gradient along A: central differences."""
    generator = torch.Generator().manual_seed(0)
    A = torch.rand(4, *space, generator=generator, dtype=torch.float64)
    inner = torch.randn(6, A.numel(), generator=generator, dtype=torch.float64)
    outer = torch.randn(6, generator=generator, dtype=torch.float64)

    def score(features):
        return outer @ torch.nn.functional.softplus(inner @ features.flatten())

    prepare_forward_mode()
    g, h = jvp(grad(score), (A,), (A,))
    slope = grad(score)
    step = 1e-5
    along = (slope(A * (1 + step)) - slope(A * (1 - step))) / (2 * step)
    w = (slope(A) - along / 2).flatten(1).mean(1).numpy()
    want = np.maximum(np.tensordot(w, A.numpy(), 1), 0)
    assert h.abs().max() > 0.1
    np.testing.assert_allclose(shapley_cam(A, g, h), want, rtol=1e-6, atol=1e-7)


def test_shapley_cam_without_curvature_is_grad_cam():
    A, g = torch.rand(3, 4), torch.randn(3, 4)
    torch.testing.assert_close(shapley_cam(A, g, torch.zeros(3, 4)), grad_cam(A, g))


@pytest.mark.parametrize("space", [(6,), (3, 4), (2, 3, 2)])
def test_cam_averages_to_the_logit_of_a_linear_head(space):
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(5, *space, generator=generator, dtype=torch.float64)
    row = torch.randn(5, generator=generator, dtype=torch.float64)

    def logit(features):
        return row @ features.flatten(1).mean(1)

    found = cam(A, grad(logit)(A), reduce=signed_sum)
    torch.testing.assert_close(found, torch.tensordot(row, A, 1))
    torch.testing.assert_close(found.mean(), logit(A))


def first_axis(terms):
    """The centred matrix cells x channels on its first right singular vector, and how far the second one is."""
    X = terms.reshape(len(terms), -1).T
    X = X - X.mean(0)
    values, axes = np.linalg.svd(X, full_matrices=False)[1:]
    gap = 1 - values[1] / values[0] if len(values) > 1 and values[0] else 1.0
    return (X @ axes[0]).reshape(terms.shape[1:]), gap


@settings(max_examples=60)
@given(shapes, st.integers(0, 2**32 - 1))
def test_the_eigen_methods_are_the_first_singular_vector_with_their_sign(shape, seed):
    rng = np.random.default_rng(seed)
    A, g = rng.normal(size=shape), rng.normal(size=shape)
    for method, terms in ((eigen_grad_cam, g * A), (seg_eigen_cam, np.abs(g) * A)):
        want, gap = first_axis(terms)
        assume(gap > 1e-3)
        if method is eigen_grad_cam:
            evidence = (want * terms.sum(0)).sum()
            assume(abs(evidence) > 1e-6)
            want = want * np.sign(evidence)
        elif abs(want.min()) > abs(want.max()):
            want = -want
        assume(method is eigen_grad_cam or abs(want.max() + want.min()) > 1e-6)
        found = method(torch.from_numpy(A), torch.from_numpy(g))
        np.testing.assert_allclose(found, want, rtol=1e-6, atol=1e-6 * (1 + np.abs(want).max()))


@pytest.mark.parametrize("scale", [1e-6, 1e-15, 1e-25])
def test_eigen_methods_keep_small_gradients_in_single_precision(scale):
    rng = np.random.default_rng(0)
    A = np.maximum(rng.normal(size=(64, 7, 7)), 0)
    A[:, 2:4, 3:6] *= 4
    g = rng.normal(size=(64, 1, 1)) * scale * np.ones_like(A)
    want, _ = first_axis(g * A)
    found = eigen_grad_cam(torch.from_numpy(A).float(), torch.from_numpy(g).float()).numpy()
    want = want * np.sign((want * found).sum())
    np.testing.assert_allclose(found, want, atol=1e-4 * np.abs(want).max())
