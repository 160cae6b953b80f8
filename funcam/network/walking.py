"""Walks over whatever can be reached from a model or its code: through containers, objects, closures and modules."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import torch
from torch import nn

from funcam.network.held import ATOMS, HEAP_TYPE, LRU_CACHE, cells_of, container_of, fields_of, is_plain_object

_MOST = 20_000
_MOST_ENTRIES = 4096


def parts_of(value: Any) -> Iterator[Any]:
    """What a value holds: keys, entries, fields, variables of closures."""
    kind = type(value)
    if kind in ATOMS or isinstance(value, torch.Tensor):
        return
    if isinstance(value, nn.Module):
        yield from vars(value).values()
    elif isinstance(value, tuple):
        yield from value
    elif kind is types.FunctionType:
        yield from (cell.cell_contents for cell in cells_of(value))
        yield from (*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values(), *vars(value).values())
    elif kind is types.MethodType:
        yield value.__self__
    elif kind is functools.partial:
        yield from (value.func, *value.args, *value.keywords.values())
    elif kind is LRU_CACHE:
        yield value.__wrapped__
    elif container_of(kind) is not None:
        yield from islice(value, _MOST_ENTRIES)
        if isinstance(value, dict):
            yield from islice(value.values(), _MOST_ENTRIES)
        if kind.__flags__ & HEAP_TYPE:
            yield from fields_of(value).values()
    elif is_plain_object(value):
        yield from fields_of(value).values()


def reachable(roots: Iterable[Any], most: int = _MOST) -> Iterator[Any]:
    """All that can be reached from some values, themselves among it, each thing once; so many at most."""
    seen: set[int] = set()
    pending = list(roots)
    while pending and len(seen) < most:
        value = pending.pop()
        if type(value) not in ATOMS and id(value) not in seen:
            seen.add(id(value))
            yield value
            pending += parts_of(value)


def tensors_of(model: nn.Module) -> Iterator[torch.Tensor]:
    """Every tensor that a model holds, its parameters, its buffers and others.

    Example:
        >>> [list(tensor.shape) for tensor in tensors_of(nn.Linear(2, 3))]
        [[3], [3, 2]]
    """
    return (value for value in reachable([model]) if isinstance(value, torch.Tensor))
