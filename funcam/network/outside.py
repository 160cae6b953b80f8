"""What a model's code can write outside of a twin: classes, globals, closures of methods; put back after a trace.

A tracer's proxies and `torch.func`'s wrappers mean nothing once the trace, or the derivative, is over. Left in a cache
that is reached by a name, they would be found there by the caller's own next call.
"""

from __future__ import annotations

import gc
import types
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import fx, nn
from torch._subclasses.fake_tensor import FakeTensor

from funcam.network.codes import is_known, names_in
from funcam.network.copies import Copies
from funcam.network.held import ATOMS, LRU_CACHE, container_of, fields_of, is_plain_object, of_library, set_fields
from funcam.network.walking import parts_of, reachable

_MOST = 2000
_MOST_ENTRIES = 4096
_MISSING = object()


class Outside:
    """What can be reached from the classes of a model's modules, and what it held when this was made."""

    def __init__(self, made: Copies) -> None:
        """Look at what a twin's code can reach by name, and what the twin shares with the model.

        Args:
            made: the twin.
        """
        self.kept: list[tuple[Any, Any, Any]] = []
        self.seen: set[int] = set()
        self.pending: list[Any] = []
        for kind in made.kinds:
            for base in kind.__mro__:
                if not of_library(base):
                    self._keep_class(base, True)
        self.pending += made.shared
        while self.pending:
            self._look(self.pending.pop())

    def restore(self) -> bool:
        """Put back what was held where something now is that means nothing any more; whether there was such a thing."""
        found = False
        for holder, access, before in self.kept:
            if access.escaped(holder, before):
                access.put(holder, before)
                found = True
        return found

    def _is_new(self, value: Any) -> bool:
        if id(value) in self.seen or len(self.seen) >= _MOST:
            return False
        self.seen.add(id(value))
        return True

    def _keep_class(self, kind: type, follow: bool) -> None:
        if self._is_new(kind):
            self.kept.append((kind, _Class, dict(vars(kind))))
            for name, value in list(vars(kind).items()):
                held = getattr(value, "__func__", getattr(value, "fget", value))
                if isinstance(held, types.FunctionType):
                    if follow:
                        self._keep_function(held)
                elif not name.startswith("__"):
                    self.pending.append(held)

    def _keep_function(self, function: types.FunctionType) -> None:
        """What a function holds, and the globals that it names."""
        if of_library(function) or not self._is_new(function):
            return
        for cell in function.__closure__ or ():
            if self._is_new(cell):
                self.kept.append((cell, _Cell, _Cell.contents(cell)))
        self.pending += parts_of(function)
        self._keep_named(function.__globals__, names_in(function.__code__))

    def _keep_named(self, namespace: dict[str, Any], names: frozenset[str]) -> None:
        named = {name: namespace.get(name, _MISSING) for name in names}
        self.kept.append((namespace, _Names, named))
        for value in named.values():
            if isinstance(value, types.ModuleType):
                if not is_known(value) and self._is_new(value):
                    self._keep_named(vars(value), names)
            else:
                self.pending.append(value)

    def _look(self, value: Any) -> None:
        """What a value holds, unless it is a part of a model, which a twin has for itself."""
        if isinstance(value, type):
            if not of_library(value):
                self._keep_class(value, False)
        elif type(value) in ATOMS or value is _MISSING or isinstance(value, nn.Module | torch.Tensor):
            return
        elif isinstance(value, types.FunctionType):
            self._keep_function(value)
        elif type(value) is LRU_CACHE:
            if self._is_new(value):
                self.kept.append((value, _Cache, value.cache_info()))
                self.pending.append(value.__wrapped__)
        elif container_of(type(value)) is not None or is_plain_object(value) or isinstance(value, tuple):
            self._keep_parts(value)

    def _keep_parts(self, value: Any) -> None:
        if not self._is_new(value):
            return
        if container_of(type(value)) is not None and len(value) <= _MOST_ENTRIES:
            self.kept.append((value, _Container, _Container.contents(value)))
        elif not isinstance(value, tuple):
            self.kept.append((value, _Object, fields_of(value)))
        self.pending += parts_of(value)


def is_escaped(value: Any) -> bool:
    """Whether something stands for a value inside a trace or a derivative.

    Example:
        >>> is_escaped(torch.zeros(2)), is_escaped(fx.Proxy(fx.Graph().placeholder("x")))
        (False, True)
    """
    if isinstance(value, torch.Tensor):
        return isinstance(value, FakeTensor) or torch._C._functorch.is_functorch_wrapped_tensor(value)
    return isinstance(value, fx.Proxy | fx.Node)


def _new(parts: Iterable[Any], before: Iterable[Any]) -> bool:
    """Whether something among parts, or held by them, has escaped that wasn't there before."""
    known = set(map(id, before))
    fresh = [part for part in parts if type(part) not in ATOMS and id(part) not in known]
    return any(is_escaped(value) for value in reachable(fresh, _MOST))


class _Container:
    """Dicts, lists, sets and deques."""

    @staticmethod
    def contents(value: Any) -> Any:
        return list(value.items()) if isinstance(value, dict) else list(value)

    @staticmethod
    def escaped(value: Any, before: Any) -> bool:
        if isinstance(value, dict):
            return _new((*value, *value.values()), (part for item in before for part in item))
        return _new(list(value), before)

    @staticmethod
    def put(value: Any, before: Any) -> None:
        base = container_of(type(value))
        assert base is not None
        base.clear(value)
        if isinstance(value, dict):
            for key, part in before:
                base.__setitem__(value, key, part)
        elif isinstance(value, list | deque):
            value.extend(before)
        else:
            base.update(value, before)


class _Object:
    """Plain objects."""

    @staticmethod
    def escaped(value: Any, before: dict[str, Any]) -> bool:
        return _new(fields_of(value).values(), before.values())

    @staticmethod
    def put(value: Any, before: dict[str, Any]) -> None:
        set_fields(value, before)


class _Class:
    """Attributes of classes."""

    @staticmethod
    def escaped(kind: type, before: dict[str, Any]) -> bool:
        return _new(list(vars(kind).values()), before.values())

    @staticmethod
    def put(kind: type, before: dict[str, Any]) -> None:
        for name, value in list(vars(kind).items()):
            if before.get(name, _MISSING) is not value:
                if name in before:
                    setattr(kind, name, before[name])
                else:
                    delattr(kind, name)


class _Names:
    """The globals that code names."""

    @staticmethod
    def escaped(namespace: dict[str, Any], before: dict[str, Any]) -> bool:
        return _new((namespace.get(name) for name in before), before.values())

    @staticmethod
    def put(namespace: dict[str, Any], before: dict[str, Any]) -> None:
        for name, value in before.items():
            if value is not _MISSING:
                namespace[name] = value
            else:
                namespace.pop(name, None)


class _Cell:
    """Variables that functions share."""

    @staticmethod
    def contents(cell: types.CellType) -> Any:
        try:
            return cell.cell_contents
        except ValueError:
            return _MISSING

    @staticmethod
    def escaped(cell: types.CellType, before: Any) -> bool:
        return _new((_Cell.contents(cell),), (before,))

    @staticmethod
    def put(cell: types.CellType, before: Any) -> None:
        if before is _MISSING:
            del cell.cell_contents
        else:
            cell.cell_contents = before


class _Cache:
    """Functions under `functools.lru_cache`: nobody can take out a part of what they keep."""

    @staticmethod
    def escaped(cache: Any, before: Any) -> bool:
        return cache.cache_info() != before and any(map(is_escaped, _Cache.entries(cache)))

    @staticmethod
    def put(cache: Any, _: Any) -> None:
        cache.cache_clear()

    @staticmethod
    def entries(cache: Any) -> Iterator[Any]:
        tables = [held for held in gc.get_referents(cache) if isinstance(held, dict)]
        kept = [part for table in tables for item in table.items() for part in item]
        yield from reachable(kept, _MOST)
        for one in kept:
            yield from gc.get_referents(one)
