"""Whether a model is what it was: for what was made of copies of its weights, and is stale when they change."""

from __future__ import annotations

import weakref
from collections import defaultdict
from operator import attrgetter
from typing import Any

import torch
from torch import nn

from funcam.network.state import signature
from funcam.network.tables import tables_of

_SAMPLES = 4
"""So many places of each tensor are compared themselves (of a short one all)."""
_PLACE = 16
"""Bytes of a place, which begins at a multiple of them: a GPU puts such places together ten times as fast as others."""


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
        self._counting = [tensor for tensor in self._tensors if not tensor.is_inference()]
        self._state, self._tables, self._versions = signature(model), tables_of(model), self._versions_now()
        self._samples = _samples(self._tensors)  # of the tensors' own memory: what is written there is seen
        self._seen = [torch.cat(sample) for sample in self._samples]

    def changed(self) -> bool:
        """Whether modules, settings or weights are others than they were; of a model that is gone, the weights."""
        return self.settings_changed() or not all(map(bool, self.same_numbers()))

    def settings_changed(self) -> bool:
        """The same as far as no number of a weight has to be looked at."""
        model = self._model()
        return model is not None and (self._versions != self._versions_now() or not self._holds(model))

    def _holds(self, model: nn.Module) -> bool:
        if self._tables is not None and self._tables.hold(model):
            return True
        if self._state != signature(model):
            return False
        self._tables = tables_of(model)  # another mode, say, or hooks that came and went, is in the tables alone
        return True

    def same_numbers(self) -> list[torch.Tensor]:
        """Whether the numbers that are looked at are what they were: a boolean of each device, there."""
        with torch.inference_mode(False), torch.no_grad():
            pairs = zip(self._seen, self._samples, strict=True)
            return [(seen == torch.cat(sample)).all() for seen, sample in pairs]

    def _versions_now(self) -> list[Any]:
        """Counters, places and types: each read of all tensors at once, which takes half the time."""
        tensors = self._tensors
        versions = list(map(_VERSION, self._counting))
        return [versions, list(map(torch.Tensor.data_ptr, tensors)), list(map(_DTYPE, tensors))]


_VERSION, _DTYPE = attrgetter("_version"), attrgetter("dtype")


def _samples(tensors: list[torch.Tensor]) -> list[list[torch.Tensor]]:
    """A few numbers of each tensor, at places spread over it, as views; those of one device together.

    (As integers, whatever they are: NaN is equal to itself, and a GPU puts all of them together at once.)
    """
    kinds: defaultdict[tuple[torch.dtype, torch.device], list[torch.Tensor]] = defaultdict(list)
    with torch.inference_mode(False), torch.no_grad():
        for tensor in tensors:
            flat = tensor.detach()
            flat = flat if flat.is_contiguous() else flat.permute(*_by_stride(flat))
            if flat.numel() and flat.is_contiguous():
                for place in _places(flat.view(-1).view(torch.uint8)):
                    whole = place.data_ptr() % 4 == len(place) % 4 == 0
                    kinds[torch.int32 if whole else torch.uint8, tensor.device].append(place)
        return [[place.view(kind) for place in places] for (kind, _), places in kinds.items()]


def _places(numbers: torch.Tensor) -> list[torch.Tensor]:
    """Some places of bytes `[n]`."""
    count = max(1, len(numbers) // _PLACE)
    return [numbers[place * _PLACE : (place + 1) * _PLACE] for place in range(0, count, max(1, count // _SAMPLES))]


def _by_stride(tensor: torch.Tensor) -> list[int]:
    """The axes from the slowest to the fastest: in that order channels_last is contiguous."""
    return sorted(range(tensor.ndim), key=tensor.stride, reverse=True)
