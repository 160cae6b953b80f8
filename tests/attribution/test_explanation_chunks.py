"""``explain`` in chunks: the same maps, and no more memory than was allowed."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from explanation_cases import HERE, IMAGES, MODEL
from hypothesis import given, settings
from hypothesis import strategies as st

import funcam
from funcam.attribution import dispatch, quantities
from funcam.network.budget import most_images


@cache
def whole(method):
    return funcam.explain(MODEL, IMAGES, "all", method=method, memory=2**30)


@pytest.mark.parametrize("method", HERE)
@pytest.mark.parametrize("memory", [1, 40_000, pytest.param(150_000, marks=pytest.mark.slow)])
def test_chunks_give_the_same(method, memory):
    parts = funcam.explain(MODEL, IMAGES, "all", method=method, memory=memory)
    torch.testing.assert_close(parts.maps, whole(method).maps, rtol=1e-4, atol=1e-5)


@settings(max_examples=25)
@given(memory=st.integers(1, 400_000), batch=st.integers(1, 3))
def test_no_chunk_takes_more_memory_than_was_allowed_unless_it_is_a_single_class(memory, batch):
    sizes = []
    pull = quantities.pull

    def observed(pullback, cotangents):
        sizes.append(len(cotangents))
        (g,) = pull(pullback, cotangents)
        assert g.shape == (len(cotangents), batch, 6, 8, 8)
        assert len(cotangents) == 1 or g.numel() * g.element_size() <= memory
        return (g,)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantities, "pull", observed)
        maps = funcam.explain(MODEL, IMAGES[:batch], "all", memory=memory, layer="blocks.0").maps
    assert maps.shape == (batch, 5, 8, 8)
    assert sum(sizes) == 5
    assert set(sizes[:-1]) <= {sizes[0]}
    assert sizes[-1] <= sizes[0]
    if memory >= 4 * 5 * batch * 6 * 64 * 4:  # everything fits with room for the copies: one pass
        assert sizes == [5]


@pytest.mark.parametrize("method", ["guided-backprop", "ablation-cam", "score-cam"])
@pytest.mark.parametrize("memory", [1, 2**30])
def test_the_chunks_of_other_methods_are_bounded_too(method, memory, monkeypatch):
    chunks = []
    function = dispatch._FUNCTIONS[method]
    monkeypatch.setitem(
        dispatch._FUNCTIONS, method, lambda *args, chunk, **more: chunks.append(chunk) or function(*args, **more)
    )
    funcam.explain(MODEL, IMAGES, "all", method=method, memory=memory)
    assert set(chunks) == ({64 if method == "score-cam" else 32} if memory > 1 else {1})


@pytest.mark.parametrize(("side", "most"), [(224, 8), (448, 8), (112, 32), (32, 64)])
def test_of_large_images_fewer_pass_at_once(side, most):
    assert most_images(torch.device("cpu"), 3 * side * side) == most
    assert most_images(torch.device("cuda"), 3 * side * side) == 64
