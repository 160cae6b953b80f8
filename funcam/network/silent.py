"""Weights so small that they hide what they multiply: a head of zeros before training, a branch that is scaled away.

Behind them a wrong graph and a right one say the same, and so do a mean and what only looks like one: what was found
out of a model then may be wrong when they have grown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from funcam.network.fixed import is_captured
from funcam.network.tracing import untracked

_SMALL = 1e-4
"""Above what branches are scaled by at first (LayerScale: 1e-5, 1e-6), below the largest of any random numbers."""
_ADDED = ("bias", "running_mean")
"""What is added hides nothing."""


def silent(model: nn.Module) -> list[Tensor]:
    """The weights and buffers of a model that hide what they multiply.

    Example:
        >>> silent(nn.Sequential(nn.Linear(2, 2), nn.PReLU(init=0.0)))
        [Parameter containing:
        tensor([0.], requires_grad=True)]
    """
    return [tensor for tensor in _multiplied(model) if _is_small(tensor.flatten()[:1]) and _is_small(tensor)]


def grown(tensors: Iterable[Tensor]) -> bool:
    """Whether one of some weights that were `silent` hides nothing any more."""
    return not all(_is_small(tensor) for tensor in tensors if not is_captured(tensor))


def _multiplied(model: nn.Module) -> Iterator[Tensor]:
    for path, tensor in (*model.named_parameters(), *model.named_buffers()):
        plain = type(tensor) in (nn.Parameter, Tensor) and tensor.layout == torch.strided and not tensor.is_meta
        if plain and tensor.is_floating_point() and tensor.numel() and not path.endswith(_ADDED):
            yield tensor


def _is_small(tensor: Tensor) -> bool:
    with torch.inference_mode(False), torch.no_grad():
        return not bool((untracked(tensor).abs() > _SMALL).any())
