"""Copies of whatever a model's code may write into: containers, plain objects, arrays, the closures of functions.

Depth first, each thing once. Shared stay tensors (unless copies are asked for), functions without a closure, classes,
and what can't be copied: locks, files, objects of classes that aren't written in Python.
"""

from __future__ import annotations

import functools
import sys
import types
import weakref
from collections import defaultdict, deque
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from funcam.network.held import (
    ATOMS,
    LRU_CACHE,
    container_of,
    fields_of,
    is_filled,
    is_plain_object,
    of_library,
    set_fields,
)

_CALLABLES = (types.FunctionType, types.MethodType, functools.partial, LRU_CACHE)
_DEEPEST = 100  # a chain of so many objects that hold one another is shared from there on


class Copies:
    """Copies made so far, by the identity of what was copied.

    Attributes:
        frozen: whether tensors ask for no gradient.
        own_tensors: whether tensors are copied that are neither parameters nor ask for a gradient.
        done: id -> copy.
        lent: tensors that stay in the memory of those that are copied, but for parameters.
        shared: objects that can't be copied, and stay the caller's.
        kinds: the classes of those that were copied.
    """

    frozen: bool
    own_tensors: bool
    done: dict[int, Any]
    lent: list[torch.Tensor]
    shared: list[Any]
    kinds: set[type]

    def __init__(self, frozen: bool = False, own_tensors: bool = False) -> None:
        self.frozen, self.own_tensors = frozen, own_tensors
        self.done = {}
        self.lent = []
        self.shared = []
        self.kinds = set()
        self._depth = 0

    def module(self, module: nn.Module) -> nn.Module:
        """What stands for a module that is held somewhere."""
        return module

    def value(self, value: Any) -> Any:
        """A value whose parts belong to the copy, as far as code could write into them."""
        kind = type(value)
        if kind in ATOMS or (kind is tuple and ATOMS.issuperset(map(type, value))):
            return value
        if id(value) in self.done:
            return self.done[id(value)]
        if isinstance(value, nn.Module):  # hidden in a list, or held without being a child
            return self.module(value)
        if isinstance(value, torch.Tensor):
            return self._tensor(value)
        if kind in _CALLABLES:
            return self.function(value)
        if isinstance(value, tuple):
            return self._tuple(value)
        if kind is np.ndarray:
            return self._kept(value, value.copy())
        if kind is RemovableHandle:
            return self._handle(value)
        if self._depth == _DEEPEST:
            self.shared.append(value)
            return value
        base = container_of(kind)
        self._depth += 1
        try:
            return self._object(value) if base is None else self._container(value, base)
        finally:
            self._depth -= 1

    def function(self, value: Any, closures: bool = True) -> Any:
        """A function, method or partial that holds the copies.

        Args:
            value: the function.
            closures: whether what else its closure holds is copied. Without, only modules are, and a list that it fills
                is read by whoever made it.
        """
        kind = type(value)
        if kind is types.FunctionType:
            return self._function(value, closures)
        if kind is LRU_CACHE:
            own = self.function(value.__wrapped__, closures)
            return value if own is value.__wrapped__ else functools.lru_cache(**value.cache_parameters())(own)
        if kind is types.MethodType:
            owner = self.value(value.__self__)
            return value if owner is value.__self__ else types.MethodType(value.__func__, owner)
        if kind is functools.partial:
            args, keywords = tuple(map(self.value, value.args)), {k: self.value(v) for k, v in value.keywords.items()}
            return functools.partial(self.value(value.func), *args, **keywords)
        return self.value(value)

    def _function(self, function: types.FunctionType, closures: bool) -> Any:
        if id(function) in self.done:
            return self.done[id(function)]
        compiled_from = vars(function).get("_torchdynamo_orig_callable")
        if compiled_from is not None:  # taps, and tensors that are differentiated, can't be compiled
            return self.function(compiled_from, closures)
        cells, defaults, named = function.__closure__ or (), function.__defaults__ or (), function.__kwdefaults__ or {}
        held = [*(cell.cell_contents for cell in cells if is_filled(cell)), *defaults, *named.values()]
        if not any(map(_may_hold_module, held)):
            written = any(type(value) not in ATOMS for value in (*held, *vars(function).values()))
            if not closures or of_library(function) or not (cells or written):
                return function
        made = [self._cell(cell) if closures or _holds(cell) else cell for cell in cells]
        copy = types.FunctionType(function.__code__, function.__globals__, function.__name__, None, tuple(made))
        self.done[id(function)] = copy  # it may hold itself
        own = self.value if closures else self._held
        copy.__defaults__ = tuple(map(own, defaults)) or None
        copy.__kwdefaults__ = {name: own(value) for name, value in named.items()}
        copy.__qualname__, copy.__module__ = function.__qualname__, function.__module__
        for cell, mine in zip(cells, made, strict=True):
            if mine is not cell and is_filled(cell) and not is_filled(mine):
                mine.cell_contents = own(cell.cell_contents)
        vars(copy).update((name, own(value)) for name, value in vars(function).items())
        return copy

    def _cell(self, cell: types.CellType) -> types.CellType:
        """A variable that functions share, as one that their copies share."""
        if id(cell) not in self.done:
            self.done[id(cell)] = types.CellType()
        return self.done[id(cell)]  # type: ignore[no-any-return]

    def _held(self, value: Any) -> Any:
        if type(value) in _CALLABLES:
            return self.function(value, closures=False)
        return self.value(value) if _may_hold_module(value) else value

    def _tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        """A tensor that is no parameter and no buffer: a cache, a list of flat weights."""
        if tensor.is_inference() or (self.frozen and tensor.requires_grad):
            self.lent.append(tensor)
            alias = usable(tensor)
            return self._kept(tensor, alias.detach() if self.frozen else alias)  # type: ignore[no-any-return]
        if self.own_tensors and not tensor.requires_grad:
            return self._kept(tensor, tensor.clone())  # type: ignore[no-any-return]
        self.lent.append(tensor)
        return tensor

    def _kept(self, value: Any, copy: Any) -> Any:
        self.done[id(value)] = copy
        return copy

    def _container(self, value: Any, base: type[Any]) -> Any:
        copy = self._kept(value, _blank(base, type(value)))
        if isinstance(value, deque):
            deque.__init__(copy, maxlen=value.maxlen)
        if isinstance(value, dict):
            if isinstance(value, defaultdict):
                copy.default_factory = value.default_factory
            for key, part in base.items(value):
                base.__setitem__(copy, key, self.value(part))
        elif isinstance(value, set):
            set.update(copy, set.__iter__(value))
        else:
            base.extend(copy, map(self.value, base.__iter__(value)))
        if type(value) is not base:
            set_fields(copy, {name: self.value(part) for name, part in fields_of(value).items()})
        return copy

    def _tuple(self, value: Any) -> Any:
        parts = [self.value(part) for part in value]
        if all(new is old for new, old in zip(parts, value, strict=True)):
            return value
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)

    def _object(self, value: Any) -> Any:
        """A plain object: always copied, since code can write its fields. A mark, `x is MISSING`, stays what it is."""
        if not is_plain_object(value):
            self.shared.append(value)
            return value
        fields = fields_of(value)
        if not fields and _is_global(value):
            return value
        try:
            copy = _blank(type(value), type(value))
        except TypeError:  # of a class that isn't written in Python
            self.shared.append(value)
            return value
        self.done[id(value)] = copy
        self.kinds.add(type(value))
        set_fields(copy, {name: self.value(part) for name, part in fields.items()})
        return copy

    def _handle(self, handle: RemovableHandle) -> RemovableHandle:
        """What removes a hook, so that it removes the copy's."""
        copy = object.__new__(RemovableHandle)
        copy.id = handle.id
        copy.hooks_dict_ref = self._table_ref(handle.hooks_dict_ref)
        copy.extra_dict_ref = tuple(map(self._table_ref, handle.extra_dict_ref))
        return self._kept(handle, copy)  # type: ignore[no-any-return]

    def _table_ref(self, reference: Any) -> Any:
        table = reference()
        return reference if table is None else weakref.ref(self.table(table))

    def table(self, table: Any) -> Any:
        """The copy's own in the place of a table of hooks; it is filled when its module is copied."""
        if id(table) not in self.done:
            self.done[id(table)] = type(table)()
        return self.done[id(table)]


def _blank(base: Any, kind: type) -> Any:
    return base.__new__(kind)


def _holds(cell: types.CellType) -> bool:
    return is_filled(cell) and _may_hold_module(cell.cell_contents)


def _may_hold_module(value: Any) -> bool:
    """Whether something that a function holds is a module, a function, or a container of these."""
    parts = value.values() if isinstance(value, dict) else value if type(value) in (list, tuple) else (value,)
    return any(isinstance(part, (nn.Module, *_CALLABLES)) for part in parts)


def _is_global(value: Any) -> bool:
    module = sys.modules.get(type(value).__module__)
    return module is not None and any(value is one for one in list(vars(module).values()))


def usable(tensor: torch.Tensor) -> torch.Tensor:
    """Autograd can't save a tensor that was made inside `inference_mode`: take a copy of such a weight."""
    if not tensor.is_inference():
        return tensor
    with torch.inference_mode(False):
        return tensor.detach().clone()
