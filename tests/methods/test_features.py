"""Feature methods against NumPy's singular value decomposition and scikit-learn's kernel PCA, up to the stated sign."""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.decomposition import KernelPCA
from torch.func import vmap

from funcam import FuncamError
from funcam.methods.features import eigen_cam, fem, kpca_cam, random_cam
from funcam.methods.reduce import signed_sum

shapes = hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=5)  # C and one to three dimensions
seeds = st.integers(0, 2**32 - 1)


def turned(want, A):
    """The stated rule: the inner product with the sum over channels is not negative."""
    along = (want * A.sum(0)).sum()
    assume(abs(along) > 1e-6)
    return want * np.sign(along)


@settings(max_examples=80)
@given(shapes, seeds, st.booleans())
def test_eigen_cam_is_the_first_right_singular_vector(shape, seed, centre):
    A = np.random.default_rng(seed).normal(size=shape)
    X = A.reshape(len(A), -1).T
    if centre:
        X = X - X.mean(0)
    values, axes = np.linalg.svd(X, full_matrices=False)[1:]
    assume(len(values) < 2 or values[1] < 0.999 * values[0])
    want = turned((X @ axes[0]).reshape(shape[1:]), A)
    found = eigen_cam(torch.from_numpy(A), centre=centre)
    np.testing.assert_allclose(found, want, atol=1e-7 * (1 + np.abs(want).max()))


@settings(max_examples=30)
@given(shapes, seeds)
def test_eigen_cam_behind_a_relu_is_nowhere_negative(shape, seed):
    A = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).relu()
    assert (eigen_cam(A) >= -1e-7).all()


@settings(max_examples=60)
@given(
    hnp.array_shapes(min_dims=2, max_dims=4, min_side=2, max_side=5),
    seeds,
    st.sampled_from(["sigmoid", "rbf"]),
    st.sampled_from([0.05, 0.5, None]),
)
def test_kpca_cam_is_scikit_learns_kernel_pca(shape, seed, kernel, gamma):
    A = np.random.default_rng(seed).normal(size=shape)
    X = A.reshape(len(A), -1).T
    X = X - X.mean(0)
    known = 1 / (X.shape[1] * X.var(0).mean()) if gamma is None and kernel == "rbf" else gamma
    peer = KernelPCA(n_components=2, kernel=kernel, gamma=known, eigen_solver="dense").fit(X)
    values = peer.eigenvalues_
    assume(values[0] > 1e-6)
    assume(len(values) < 2 or values[1] < 0.99 * values[0])
    want = turned(peer.transform(X)[:, 0].reshape(shape[1:]), A)
    found = kpca_cam(torch.from_numpy(A), kernel=kernel, gamma=gamma)
    np.testing.assert_allclose(found, want, atol=1e-6 * (1 + np.abs(want).max()))


def test_kpca_cam_with_an_unknown_kernel_names_those_it_knows():
    with pytest.raises(FuncamError, match=r"unknown kernel 'sigmoyd'; expected one of sigmoid, rbf \(nearest: 'sigm"):
        kpca_cam(torch.rand(2, 3), kernel="sigmoyd")


@settings(max_examples=80)
@given(shapes, seeds, st.sampled_from([0.5, 1.0, 2.0]))
def test_fem_is_the_k_sigma_rule(shape, seed, k):
    A = np.random.default_rng(seed).normal(size=shape)
    total, nearest = np.zeros(shape[1:]), np.inf
    for A_k in A:
        threshold = A_k.mean() + k * A_k.std()
        if A_k.size > 1:  # a single cell is a constant channel
            nearest = min(nearest, np.abs(A_k - threshold).min())
            total += (A_k > threshold).mean() * A_k
    assume(nearest > 1e-9)
    found = fem(torch.from_numpy(A), k=k, reduce=signed_sum)
    np.testing.assert_allclose(found, total, atol=1e-12)
    np.testing.assert_allclose(fem(torch.from_numpy(A), k=k), np.maximum(total, 0), atol=1e-12)


@pytest.mark.parametrize("constant", [0.1, 1e-3, 7.7, 1 / 3])
@pytest.mark.parametrize("method", [fem, kpca_cam, partial(kpca_cam, kernel="rbf"), partial(eigen_cam, centre=True)])
def test_constant_channels_say_nothing(method, constant):
    """Rounding puts some constants above their own mean and others beside it."""
    A = torch.full((4, 7, 7), constant)
    A[1] = 2 * constant
    assert torch.equal(method(A), torch.zeros(7, 7))


def test_random_cam_weighs_with_what_it_is_given():
    rng = np.random.default_rng(0)
    A, w = rng.normal(size=(5, 2, 3)), rng.uniform(-1, 1, size=5)
    want = np.maximum(np.tensordot(w, A, 1), 0)
    np.testing.assert_allclose(random_cam(torch.from_numpy(A), torch.from_numpy(w)), want, atol=1e-12)


METHODS = [eigen_cam, partial(eigen_cam, centre=True), kpca_cam, partial(kpca_cam, kernel="rbf"), fem]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("space", [(5,), (3, 4), (2, 3, 2)])
def test_every_type_and_zero_features(method, dtype, space):
    A = torch.rand(6, *space, generator=torch.Generator().manual_seed(0)).to(dtype)
    found = method(A)
    assert found.dtype == dtype
    assert found.shape == space
    assert torch.isfinite(found).all()
    assert torch.equal(method(torch.zeros_like(A)), torch.zeros(space, dtype=dtype))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("channels", [3, 40])  # fewer and more than cells
def test_vmap_over_images_is_a_loop(method, channels):
    A = torch.randn(2, 3, channels, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    maps = vmap(vmap(method))(A)
    for k, b in itertools.product(range(2), range(3)):
        torch.testing.assert_close(maps[k, b], method(A[k, b]))


@pytest.mark.parametrize("method", METHODS)
def test_an_active_region_is_bright_whatever_the_channels_order(method):
    """Half of the singular vectors that a library returns point the other way."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(8):
        A = torch.rand(16, 6, 6, generator=generator)
        A[:8, 1:3, 2:4] += 3
        found = method(A[torch.randperm(16, generator=generator)])
        inside = torch.zeros(6, 6, dtype=torch.bool)
        inside[1:3, 2:4] = True
        assert found[inside].min() > found[~inside].max()
