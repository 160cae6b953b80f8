"""How many rows fit into a budget, and that chunks of gradients are the whole by autograd."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.func import vjp

from funcam.network.budget import bytes_of, chunk_size, gradients_in_chunks


@given(memory=st.integers(1, 10**9), each=st.integers(0, 10**6), most=st.none() | st.integers(1, 64))
def test_as_many_rows_as_fit_and_no_more(memory: int, each: int, most: int | None) -> None:
    size = chunk_size(memory, each, most=most)
    assert size == 1 or size * each <= memory
    assert size == most or (size + 1) * max(1, each) > memory


def test_the_largest_row_counts_and_without_one_a_row_is_a_byte() -> None:
    assert chunk_size(100, 3, 50, 7) == 2
    assert chunk_size(100) == 100


def test_tensors_are_counted_by_their_types() -> None:
    tensors = torch.zeros(2, 3), torch.zeros(5, dtype=torch.float64), torch.zeros(0)
    assert bytes_of(*tensors) == 2 * 3 * 4 + 5 * 8


@pytest.mark.parametrize(("memory", "chunks"), [(1, [1] * 5), (200, [2, 2, 1]), (10**6, [5])])
def test_gradients_come_in_chunks(memory: int, chunks: list[int]) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    weights = torch.randn(4, 5, generator=generator, dtype=torch.float64)
    scores, pullback = vjp(lambda x: x.square() @ weights, x)
    parts = [gradient for (gradient,) in gradients_in_chunks(pullback, scores, bytes_of(x), memory)]
    assert list(map(len, parts)) == chunks
    torch.testing.assert_close(torch.cat(parts), 2 * x * weights.T[:, None])
