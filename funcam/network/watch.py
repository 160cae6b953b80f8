"""Whether a model is what it was: for what was made of copies of its weights, and is stale when they change."""

from __future__ import annotations

import weakref
from collections import defaultdict
from typing import Any

import torch
from torch import nn

from funcam.network.state import signature
from funcam.network.tables import tables_of

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
        self._tensors = [*model.parameters(), *model.buffers()]  # the model's signature has their identities
        self._state, self._tables, self._versions = signature(model), tables_of(model), self._versions_now()
        self._samples = _samples(self._tensors)  # of the tensors' own memory: what is written there is seen
        self._seen = [_bytes(sample) for sample in self._samples]

    def changed(self) -> bool:
        """Whether modules, settings or weights are others than they were; of a model that is gone, the weights."""
        return self.settings_changed() or not all(map(bool, self.same_numbers()))

    def settings_changed(self) -> bool:
        """The same as far as no number of a weight has to be looked at."""
        model = self._model()
        return model is not None and (self._versions != self._versions_now() or not self._holds(model))

    def _holds(self, model: nn.Module) -> bool:
        alike = self._tables is not None and self._tables.hold(model)
        return alike or self._state == signature(model)  # another mode, say, is in the tables alone

    def same_numbers(self) -> list[torch.Tensor]:
        """Whether the numbers that are looked at are what they were: a boolean of each type and device, there."""
        with torch.inference_mode(False), torch.no_grad():
            pairs = zip(self._seen, self._samples, strict=True)
            return [(seen == _bytes(sample)).all() for seen, sample in pairs]

    def _versions_now(self) -> list[Any]:
        return [
            (None if tensor.is_inference() else tensor._version, tensor.data_ptr(), tensor.dtype)
            for tensor in self._tensors
        ]


def _bytes(sample: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat(sample).view(torch.uint8)  # as bytes NaN is equal to itself


def _samples(tensors: list[torch.Tensor]) -> list[list[torch.Tensor]]:
    """A few numbers of each tensor, spread over it, as views; those of one type and device together.

    (A view of one number is contiguous: a GPU puts a hundred of them together at once.)
    """
    kinds: defaultdict[tuple[torch.dtype, torch.device], list[torch.Tensor]] = defaultdict(list)
    with torch.inference_mode(False), torch.no_grad():
        for tensor in tensors:
            flat = tensor.detach()
            flat = flat if flat.is_contiguous() else flat.permute(*_by_stride(flat))
            if flat.numel() and flat.is_contiguous():
                flat = flat.view(-1)
                places = range(0, len(flat), max(1, len(flat) // _SAMPLES))
                kinds[tensor.dtype, tensor.device] += [flat[place : place + 1] for place in places]
    return list(kinds.values())


def _by_stride(tensor: torch.Tensor) -> list[int]:
    """The axes from the slowest to the fastest: in that order channels_last is contiguous."""
    return sorted(range(tensor.ndim), key=tensor.stride, reverse=True)
