"""How much may be computed at once: the memory that a pass takes, guessed, and how many rows of it fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from funcam.network.derivative import pull

MEMORY = 2**28
"""About how many bytes a chunk may take where the caller says nothing."""

# A pass through the whole network takes at most about so many times the memory of its images.
OF_IMAGES = 64
OF_IMAGES_WITHOUT_GRADIENT = 20  # only a few layers' features are alive at a time
# A pass through the rest of the network, its features with their gradients, about so many times that of the features.
OF_FEATURES = 4
OF_TERMS = 3  # of what full-grad takes apart, which are all of the network's features already

MOST_ROWS = 32
"""More rows at once are no faster."""


_USUAL = 3 * 224 * 224


def most_images(device: torch.device, numbers: int = _USUAL) -> int:
    """More images than so many are no faster at once; on a processor slower: they leave its cache.

    Args:
        device: where they are.
        numbers: of which an image consists.

    Example:
        >>> most_images(torch.device("cpu")), most_images(torch.device("cpu"), 3 * 96 * 96)
        (8, 43)
    """
    most = 64
    return most if device.type != "cpu" else min(most, max(8, 8 * _USUAL // max(1, numbers)))


def bytes_of(*tensors: torch.Tensor) -> int:
    """The memory that tensors take."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def chunk_size(memory: int, *each: int, most: int | None = None) -> int:
    """How many rows may be computed at once; at least one, for it can't be helped.

    Args:
        memory: about how many bytes they may take.
        *each: how many bytes one of them takes; the largest where there are several.
        most: never more rows than that.

    Example:
        >>> chunk_size(1000, 300), chunk_size(1000, 300, 400, most=8), chunk_size(1000, 2000)
        (3, 2, 1)
    """
    fitting = memory // max((1, *each))
    return max(1, fitting if most is None else min(most, fitting))


def gradients_in_chunks(pullback: Any, scores: torch.Tensor, each: int, memory: int) -> Iterator[Any]:
    """The gradients of scores `[B, K]`, `[k, B, ...]` of each input, for as many scores at a time as fit.

    Args:
        pullback: cotangents of the scores -> the gradient for each input.
        scores: `[B, K]`.
        each: how many bytes the gradients of one score take.
        memory: about how many bytes those of one chunk may take.
    """
    picks = torch.eye(scores.shape[1], dtype=scores.dtype, device=scores.device)[:, None].expand(-1, len(scores), -1)
    for part in torch.split(picks, chunk_size(memory, each)):
        yield pull(pullback, part)
