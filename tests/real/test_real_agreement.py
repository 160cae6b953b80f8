"""The prepared function over photos: its maps are the eager ones, to the figures that benchmarks/NOTES.md states."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from agreement import agreement_over
from compiled import COMPILER
from photos import NETWORKS, network_input
from torch import nn

# The lowest correlation and the largest difference that are stated, over all photos.
STATED: dict[torch.dtype | None, tuple[float, float]] = {None: (0.99999, 1e-4), torch.bfloat16: (0.99, 0.15)}


@pytest.fixture(scope="module")
def images(assets: Path) -> torch.Tensor:
    """Photos of every kind that there is."""
    folder = assets / "photos"
    counts = {"seed": 5, "coco": 10, "ilsvrc": 9}
    kinds = {kind: sorted((folder / kind).glob("*.*[gG]"))[:count] for kind, count in counts.items()}
    assert {kind: len(paths) for kind, paths in kinds.items()} == counts
    return torch.cat([network_input(path) for paths in kinds.values() for path in paths])


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *((name, None) for name in NETWORKS),
        ("shufflenet_v2_x1_0", torch.bfloat16),  # which a processor computes slowly
        *(pytest.param(name, torch.bfloat16, marks=pytest.mark.slow) for name in ("mobilenet_v2", "squeezenet1_1")),
    ],
)
@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_the_maps_of_photos_are_those_of_explain(
    name: str, dtype: torch.dtype | None, every: int, images: torch.Tensor, real_network: Callable[[str], nn.Module]
) -> None:
    _check(real_network(name), images[::every], dtype, None)


@pytest.mark.slow
@pytest.mark.skipif(not COMPILER, reason="torch.compile needs a C++ compiler and Python's headers")
@pytest.mark.parametrize("dtype", STATED)
@pytest.mark.parametrize("name", NETWORKS)
def test_compiled_they_are_too(
    name: str, dtype: torch.dtype | None, images: torch.Tensor, real_network: Callable[[str], nn.Module]
) -> None:
    _check(real_network(name), images, dtype, "inductor")


def _check(model: nn.Module, images: torch.Tensor, dtype: torch.dtype | None, backend: str | None) -> None:
    correlations, differences = agreement_over(model, images, dtype, backend)
    lowest, largest = STATED[dtype]
    assert len(correlations) == len(images)
    assert correlations.min() >= lowest
    assert differences.max() <= largest
    if dtype is not None:
        assert correlations.min() < 1, "it is of another type"
