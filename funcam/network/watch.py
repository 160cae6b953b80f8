"""Whether a model is what it was: for what was made of copies of its weights, and is stale when they change."""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Iterable
from itertools import chain
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
        with torch.inference_mode(False), torch.no_grad():
            everything = [each for each in map(_in_memory, self._tensors) if each is not None]
            self._numbers = _Numbers(chain.from_iterable(map(_places, everything)))

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
            return self._numbers.same()

    def _versions_now(self) -> list[Any]:
        """Counters, places and types: each read of all tensors at once, which takes half the time."""
        tensors = self._tensors
        versions = list(map(_VERSION, self._counting))
        return [versions, list(map(torch.Tensor.data_ptr, tensors)), list(map(_DTYPE, tensors))]


_VERSION, _DTYPE = attrgetter("_version"), attrgetter("dtype")


class _Numbers:
    """What stands at some places in the tensors' own memory, and stood there when this was made.

    (As integers, whatever they are: NaN is equal to itself, and a GPU puts all of them together at once.)
    """

    def __init__(self, places: Iterable[torch.Tensor]) -> None:
        kinds: defaultdict[tuple[torch.dtype, torch.device], list[torch.Tensor]] = defaultdict(list)
        for place in places:
            kind = torch.int32 if place.data_ptr() % 4 == len(place) % 4 == 0 else torch.uint8
            kinds[kind, place.device].append(place.view(kind))
        self._places = list(kinds.values())
        self._seen = list(map(torch.cat, self._places))

    def same(self) -> list[torch.Tensor]:
        """Whether they still do: a boolean of each kind and device, there."""
        pairs = zip(self._seen, self._places, strict=True)
        return [(seen == torch.cat(places)).all() for seen, places in pairs]


def _in_memory(tensor: torch.Tensor) -> torch.Tensor | None:
    """A tensor's bytes `[n]` as they lie in its memory; None where they don't lie together, or there are none."""
    tensor = tensor.detach()
    flat = tensor if tensor.is_contiguous() else tensor.permute(*_by_stride(tensor))
    return flat.view(-1).view(torch.uint8) if flat.numel() and flat.is_contiguous() else None


def _places(numbers: torch.Tensor) -> list[torch.Tensor]:
    """Some places of bytes `[n]`, spread over them."""
    count = max(1, len(numbers) // _PLACE)
    return [numbers[place * _PLACE : (place + 1) * _PLACE] for place in range(0, count, max(1, count // _SAMPLES))]


def _by_stride(tensor: torch.Tensor) -> list[int]:
    """The axes from the slowest to the fastest: in that order channels_last is contiguous."""
    return sorted(range(tensor.ndim), key=tensor.stride, reverse=True)
