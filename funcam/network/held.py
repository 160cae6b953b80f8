"""What objects hold: which of them Python code can write into, and what is in them."""

from __future__ import annotations

import functools
import types
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

PLAIN = frozenset({bool, int, float, complex, str, bytes, type(None)})
ATOMS = PLAIN | {types.BuiltinFunctionType, type, types.ModuleType, torch.dtype, torch.device, torch.Size, range, slice}
LRU_CACHE = type(functools.lru_cache(len))
LIBRARIES = frozenset({"torch", "torchvision", "numpy", "builtins", "typing", "math", "functools", "transformers"})
RESOURCES = frozenset({"threading", "weakref", "logging", "_thread", "multiprocessing", "concurrent", "asyncio"})
_NOT_COPIED = RESOURCES | (LIBRARIES - {"transformers"})  # its configurations are the caller's
_CONTAINERS: tuple[type[Any], ...] = (OrderedDict, defaultdict, dict, list, set, deque)
_OF_MODULES = list(nn.Module().__dict__)
HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class that a `class` statement made, or might have


def of_library(thing: Any) -> bool:
    """Whether a class or a function is torch's, or of a library like it: nothing of the caller's is written there.

    Example:
        >>> of_library(torch.nn.Linear), of_library(of_library)
        (True, False)
    """
    return str(getattr(thing, "__module__", None)).partition(".")[0] in LIBRARIES


def container_of(kind: type) -> type[Any] | None:
    """The container that a class is or is made from, where that is all there is to making one.

    Example:
        >>> container_of(OrderedDict).__name__, container_of(tuple)
        ('OrderedDict', None)
    """
    for base in _CONTAINERS:
        if kind is base or (issubclass(kind, base) and _maker(kind) is _maker(base)):
            return base
    return None


def _maker(kind: type) -> Any:
    return getattr(kind, "__new__", None)


def is_plain_object(value: Any) -> bool:
    """Whether an object is one of a class written in Python, which has all it holds in its fields."""
    kind = type(value)
    if kind is types.SimpleNamespace:
        return True
    root = kind.__module__.partition(".")[0] if isinstance(kind.__module__, str) else "builtins"
    return (
        bool(kind.__flags__ & HEAP_TYPE)
        and _maker(kind) is object.__new__
        and root not in _NOT_COPIED
        and not isinstance(value, type)
        and not hasattr(kind, "__del__")  # a copy would give back what isn't its own
    )


def slots_of(kind: type) -> Iterator[Any]:
    """The descriptors of a class's `__slots__`."""
    for base in kind.__mro__:
        if vars(base).get("__slots__"):
            yield from (value for value in vars(base).values() if isinstance(value, types.MemberDescriptorType))


def fields_of(value: Any) -> dict[str, Any]:
    """What an object holds, in its `__dict__` and its slots."""
    fields = dict(getattr(value, "__dict__", ()))
    for slot in slots_of(type(value)):
        try:
            fields[slot.__name__] = slot.__get__(value)
        except AttributeError:  # not set
            continue
    return fields


def settings_of(module: nn.Module) -> list[str]:
    """The names of a module's fields beside `nn.Module`'s own, wherever they are: some precede `super().__init__()`.

    Example:
        >>> list(settings_of(nn.LeakyReLU(0.1)))
        ['negative_slope', 'inplace']
    """
    fields = list(vars(module))
    if fields[: len(_OF_MODULES)] == _OF_MODULES:  # the usual order, and quick
        return fields[len(_OF_MODULES) :]
    return [name for name in fields if name not in _OF_MODULES]


def set_fields(value: Any, fields: dict[str, Any]) -> None:
    """Give an object what `fields_of` read, and nothing else, whatever its class makes of attributes."""
    left = dict(fields)
    for slot in slots_of(type(value)):
        if slot.__name__ in left:
            slot.__set__(value, left.pop(slot.__name__))
        elif slot.__name__ in fields_of(value):
            slot.__delete__(value)
    own = getattr(value, "__dict__", None)
    if own is not None:
        own.clear()
        own.update(left)


def cells_of(function: types.FunctionType) -> Iterator[types.CellType]:
    """The cells of a function's closure that hold something."""
    return (cell for cell in function.__closure__ or () if is_filled(cell))


def is_filled(cell: types.CellType) -> bool:
    """Whether a variable of a closure has a value yet."""
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
