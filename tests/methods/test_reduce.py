"""Sums and eigen smoothing against NumPy's sums and singular value decomposition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch.func import vmap

from funcam import FuncamError
from funcam.methods import features, gradient, perturbation
from funcam.methods.reduce import eigen_smoothed, first_component, oriented, positive_sum, principal_map, signed_sum

shapes = hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=5)  # C and one to three dimensions
seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=60)
@given(shapes, seeds)
def test_sums_are_sums(shape, seed):
    rng = np.random.default_rng(seed)
    A, w = rng.normal(size=shape), rng.normal(size=shape[0])
    weighted = sum(w_k * A_k for w_k, A_k in zip(w, A, strict=True))
    terms, weights = torch.from_numpy(A), torch.from_numpy(w)
    np.testing.assert_allclose(signed_sum(terms, weights), weighted, atol=1e-12)
    np.testing.assert_allclose(positive_sum(terms, weights), np.maximum(weighted, 0), atol=1e-12)
    np.testing.assert_allclose(signed_sum(terms), A.sum(0), atol=1e-12)
    np.testing.assert_allclose(positive_sum(terms), np.maximum(A.sum(0), 0), atol=1e-12)


@settings(max_examples=80)
@given(shapes, seeds, st.booleans(), st.booleans())
def test_the_first_component_is_numpys(shape, seed, weighted, centre):
    rng = np.random.default_rng(seed)
    A, w = rng.normal(size=shape), rng.normal(size=shape[0])
    terms = A * w.reshape(-1, *[1] * (A.ndim - 1)) if weighted else A
    X = terms.reshape(len(terms), -1).T
    centred = X - X.mean(0)
    values, axes = np.linalg.svd(centred if centre else X, full_matrices=False)[1:]
    assume(len(values) < 2 or values[1] < 0.999 * values[0])
    want = ((centred if centre else X) @ axes[0]).reshape(shape[1:])
    found = principal_map(torch.from_numpy(terms), centre=centre).numpy()
    sign = np.sign((found * want).sum()) or 1.0
    np.testing.assert_allclose(found, sign * want, atol=1e-7 * (1 + np.abs(want).max()))
    if centre:
        smooth = first_component(torch.from_numpy(A), torch.from_numpy(w) if weighted else None).numpy()
        along = (want * terms.sum(0)).sum()
        assume(abs(along) > 1e-6)
        np.testing.assert_allclose(smooth, np.sign(along) * want, atol=1e-7 * (1 + np.abs(want).max()))


@settings(max_examples=60)
@given(shapes, seeds, st.sampled_from([torch.float64, torch.float32, torch.bfloat16]))
def test_eigen_smoothing_points_the_way_of_the_sum(shape, seed, dtype):
    generator = torch.Generator().manual_seed(seed)
    A = torch.randn(shape, generator=generator).to(dtype)
    w = torch.randn(shape[0], generator=generator).to(dtype)
    found = first_component(A, w)
    assert found.dtype == dtype
    assert found.shape == shape[1:]
    along = (found.double() * signed_sum(A.double(), w.double())).sum()
    assert along >= -1e-2 * (A.abs().amax() * w.abs().amax()).double() ** 2


def test_a_map_without_evidence_is_turned_to_its_larger_maximum():
    found = torch.tensor([1.0, -3.0, 1.0])
    assert torch.equal(oriented(found, torch.zeros(3)), -found)
    assert torch.equal(oriented(-found, torch.zeros(3)), -found)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e-3, 7.7])
@pytest.mark.parametrize("shape", [(6, 7, 7), (60, 5)])
def test_constant_channels_have_no_component(constant, shape):
    """Less their mean they are rounding noise, which would be brought to full brightness."""
    assert torch.equal(first_component(torch.full(shape, constant)), torch.zeros(shape[1:]))


def test_zero_terms_or_weights_give_zeros():
    A = torch.rand(3, 4, 4)
    for found in (first_component(torch.zeros(3, 4, 4), torch.ones(3)), first_component(A, torch.zeros(3))):
        assert torch.equal(found, torch.zeros(4, 4))


@pytest.mark.parametrize("reduce", [positive_sum, signed_sum, first_component])
@pytest.mark.parametrize("space", [(5,), (3, 4), (2, 3, 2)])
def test_vmap_over_images_and_classes_is_a_loop(reduce, space):
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(2, 4, *space, generator=generator, dtype=torch.float64)
    w = torch.randn(3, 2, 4, generator=generator, dtype=torch.float64)
    maps = vmap(vmap(reduce), in_dims=(None, 0))(A, w)
    for k in range(3):
        for b in range(2):
            torch.testing.assert_close(maps[k, b], reduce(A[b], w[k, b]))


def test_many_classes_never_hold_the_weighted_channels():
    """The largest tensor that the sum makes for 50 classes is no larger than what comes in or goes out."""
    sizes = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            found = function(*args, **(kwargs or {}))
            sizes.append(found.numel())
            return found

    A, w = torch.rand(64, 5, 5), torch.rand(50, 64)
    with Watch():
        vmap(positive_sum, in_dims=(None, 0))(A, w)
    assert max(sizes) <= max(A.numel(), w.numel(), 50 * 25)


def test_eigen_smoothed_takes_every_method_with_weights():
    A, g = torch.rand(4, 3, 3), torch.randn(4, 3, 3)
    w = g.flatten(1).mean(1)
    assert torch.equal(eigen_smoothed(gradient.grad_cam)(A, g), first_component(A, w))
    assert torch.equal(eigen_smoothed(gradient.hires_cam)(A, g), first_component(g * A))
    rows = perturbation.ablation_cam(lambda x: x.sum((2, 3))[:, :2], A, reduce=first_component)
    assert torch.equal(eigen_smoothed(perturbation.ablation_cam)(lambda x: x.sum((2, 3))[:, :2], A), rows)


@pytest.mark.parametrize("method", [features.eigen_cam, gradient.eigen_grad_cam, gradient.guided_grad_cam])
def test_eigen_smoothed_refuses_a_method_without(method):
    with pytest.raises(FuncamError, match=f"^{method.__name__} has no weighted channels to smooth; .*grad_cam$"):
        eigen_smoothed(method)
