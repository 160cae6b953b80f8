"""Deep Feature Factorization: what it promises, planted factors found again, and scikit-learn's NMF."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.decomposition import NMF

from funcam import FuncamError
from funcam.methods.factorization import deep_feature_factorization, dff

seeds = st.integers(0, 2**32 - 1)
shapes = hnp.array_shapes(min_dims=3, max_dims=5, min_side=1, max_side=4)  # B, C and one to three dimensions


def random_features(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def error(A, found):
    """The length of what the factors leave of relu(A)."""
    return float((A.relu() - torch.einsum("bf...,fc->bc...", found.maps, found.concepts)).norm())


@settings(max_examples=40)
@given(shapes, st.integers(1, 5), seeds)
def test_factors_are_not_negative_have_unit_length_and_come_strongest_first(shape, factors, seed):
    A = random_features(shape, seed)
    found = deep_feature_factorization(A, factors=factors, iterations=20)
    assert found.maps.shape == (shape[0], factors, *shape[2:])
    assert found.concepts.shape == (factors, shape[1])
    assert (found.maps >= 0).all()
    assert (found.concepts >= 0).all()
    assert torch.isfinite(found.maps).all()
    length = found.concepts.norm(dim=1)
    assert ((length - 1).abs().minimum(length) < 1e-9).all()
    strength = found.maps.transpose(0, 1).flatten(1).norm(dim=1)
    assert (strength.diff() <= 1e-12).all()
    assert error(A, found) <= float(A.relu().norm()) * (1 + 1e-9)


@settings(max_examples=30)
@given(shapes, st.integers(1, 4), seeds)
def test_the_error_never_grows(shape, factors, seed):
    A = random_features(shape, seed)
    errors = [error(A, deep_feature_factorization(A, factors=factors, iterations=n)) for n in (0, 1, 2, 5, 20, 60)]
    assert all(later <= earlier + 1e-7 for earlier, later in itertools.pairwise(errors))


def test_planted_factors_are_found_again_over_several_images():
    """Each concept has a channel and a cell of its own, so that there is only one factorization."""
    rng = np.random.default_rng(0)
    maps, concepts = rng.uniform(size=(2, 3, 4, 4)), rng.uniform(size=(3, 8))
    for f in range(3):
        concepts[:, f] = 0
        concepts[f, f] = 2
        maps[:, :, 0, f] = 0
        maps[:, f, 0, f] = 2
    A = torch.from_numpy(np.einsum("bfhw,fc->bchw", maps, concepts))
    found = deep_feature_factorization(A, factors=3, iterations=2000)
    assert error(A, found) < 1e-4 * float(A.norm())
    lengths = np.linalg.norm(concepts, axis=1)
    likeness = found.concepts.numpy() @ (concepts / lengths[:, None]).T
    match = likeness.argmax(1)
    assert sorted(match) == [0, 1, 2]
    np.testing.assert_allclose(found.concepts, (concepts / lengths[:, None])[match], atol=1e-3)
    np.testing.assert_allclose(found.maps, (maps * lengths[:, None, None])[:, match], atol=1e-2)


@pytest.mark.parametrize("seed", range(4))
def test_the_error_is_no_worse_than_scikit_learns(seed):
    A = random_features((2, 20, 5, 5), seed).relu()
    V = A.movedim(1, -1).reshape(-1, 20).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = NMF(n_components=4, init="nndsvd", solver="cd", max_iter=300).fit(V).reconstruction_err_
    assert error(A, deep_feature_factorization(A, factors=4)) < 1.02 * peer


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [1e-12, 1.0, 1e12])
def test_any_magnitude_in_single_precision(dtype, size):
    A = (torch.rand(1, 6, 4, 4, generator=torch.Generator().manual_seed(0)) * size).to(dtype)
    found = deep_feature_factorization(A, factors=4)
    assert found.maps.dtype == torch.float32
    assert (
        error(A.float() / size, type(found)(found.maps / size, found.concepts)) < 0.35 * float(A.float().norm()) / size
    )


def test_features_of_zero_and_more_factors_than_the_rank_give_zeros():
    found = deep_feature_factorization(-torch.rand(2, 3, 4), factors=2)
    assert torch.equal(found.maps, torch.zeros(2, 2, 4))
    assert torch.equal(found.concepts, torch.zeros(2, 3))
    outer = torch.outer(torch.tensor([1.0, 2.0, 0.5]), torch.tensor([1.0, 0.0, 3.0, 1.0]))[None]
    found = deep_feature_factorization(outer, factors=5)
    assert error(outer, found) < 1e-5
    assert torch.equal(found.maps[0, 1:], torch.zeros(4, 4))


@pytest.mark.parametrize("space", [(6,), (3, 4), (2, 3, 2)])
@pytest.mark.parametrize("chunk", [1, 2, 32])
def test_dff_gives_each_class_the_factor_that_speaks_for_it(space, chunk):
    A = random_features((8, *space), 0)
    rows = torch.randn(3, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = dff(lambda features: features.flatten(2).mean(2) @ rows.T, A, factors=4, chunk=chunk)
    factors = deep_feature_factorization(A[None], factors=4)
    scores = factors.maps[0].flatten(1).mean(1)[:, None] * (factors.concepts @ rows.T)
    for k in range(3):
        torch.testing.assert_close(found[k], factors.maps[0, scores[:, k].argmax()])


def test_dff_passes_over_empty_factors_and_gives_zeros_for_zeros():
    one = torch.outer(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 1.0, 3.0]))
    found = dff(lambda features: -features.sum((1, 2))[:, None], one, factors=3)  # each factor lowers the score
    torch.testing.assert_close(found[0] / found.amax(), torch.tensor([0.0, 1.0, 3.0]) / 3)
    assert torch.equal(dff(lambda features: features.sum(2), torch.zeros(2, 3), factors=3), torch.zeros(2, 3))


def test_counts_less_than_one_are_refused():
    with pytest.raises(FuncamError, match=r"^factors is 0; expected a whole number of at least 1$"):
        deep_feature_factorization(torch.rand(1, 2, 3), factors=0)
    with pytest.raises(FuncamError, match=r"^chunk is 0; expected a whole number of at least 1$"):
        dff(lambda rows: rows, torch.rand(2, 3), chunk=0)
