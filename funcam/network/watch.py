"""Whether a model is what it was: for what was made of copies of its weights, and is stale when they change."""

from __future__ import annotations

import weakref
from collections import defaultdict
from itertools import chain
from typing import Any

import torch
from torch import nn

from funcam.network.state import signature

_SAMPLES = 4
"""So many numbers of each tensor are compared themselves."""


class Watch:
    """A model as it was when the watch was made.

    Told by its signature, and by the version counter and the place in memory of each parameter and buffer. What is
    written through `.data` moves no counter: a few numbers of each tensor are compared besides.

    Example:
        >>> model = nn.Linear(2, 2)
        >>> watch = Watch(model)
        >>> watch.changed()
        False
        >>> _ = model.weight.data.mul_(2)
        >>> watch.changed()
        True
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = weakref.ref(model)
        self._state, self._versions = signature(model), _versions(model)
        self._views = _views(model)  # of the tensors' own memory: what is written there is seen
        self._seen = [torch.cat(views) for views in self._views]

    def changed(self) -> bool:
        """Whether modules, settings or weights are others than they were; of a model that is gone, the weights."""
        model = self._model()
        if model is not None and (self._state != signature(model) or self._versions != _versions(model)):
            return True
        return any(not _same(seen, torch.cat(views)) for seen, views in zip(self._seen, self._views, strict=True))


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.equal(one.nan_to_num(), other.nan_to_num())


def _tensors(model: nn.Module) -> list[torch.Tensor]:
    return list(chain(model.parameters(), model.buffers()))


def _versions(model: nn.Module) -> list[Any]:
    return [
        (id(tensor), None if tensor.is_inference() else tensor._version, tensor.data_ptr(), tensor.dtype)
        for tensor in _tensors(model)
    ]


def _views(model: nn.Module) -> list[list[torch.Tensor]]:
    """A few numbers of each tensor, spread over it, as views; those of one type and device together."""
    kinds: defaultdict[tuple[torch.dtype, torch.device], list[torch.Tensor]] = defaultdict(list)
    with torch.inference_mode(False), torch.no_grad():
        for tensor in _tensors(model):
            flat = tensor.detach()
            flat = flat if flat.is_contiguous() else flat.permute(*_by_stride(flat))
            if flat.numel() and flat.is_contiguous():
                flat = flat.view(-1)
                kinds[tensor.dtype, tensor.device].append(flat[:: max(1, len(flat) // _SAMPLES)])
    return list(kinds.values())


def _by_stride(tensor: torch.Tensor) -> list[int]:
    """The axes from the slowest to the fastest: in that order channels_last is contiguous."""
    return sorted(range(tensor.ndim), key=tensor.stride, reverse=True)
