"""The code of functions and classes, what it holds, and what it names: globals, constants of classes and modules."""

from __future__ import annotations

import functools
import sys
import types
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from torch import nn

from funcam.network.held import LIBRARIES, LRU_CACHE, cells_of

if TYPE_CHECKING:
    from funcam.network.values import Values

_OF_METHODS = 4
_OF_GLOBALS = 2
_NO_CONSTANTS = (
    *(types.FunctionType, types.BuiltinFunctionType, classmethod, staticmethod, property, functools.cached_property),
    *(types.ModuleType, type, types.GetSetDescriptorType, types.MemberDescriptorType),
)


class Codes:
    """What is told of code.

    Args:
        values: takes the parts.
    """

    def __init__(self, values: Values) -> None:
        self._values = values
        self._kinds: set[type] = set()
        self._owners: set[int] = set()

    def add_callable(self, value: Any, depth: int) -> bool:
        """Tell of something that is called, with what it holds; whether it is such a thing."""
        add, kind = self._values.add, type(value)
        if isinstance(value, types.FunctionType):
            self.add_function(value, depth)
        elif kind is types.MethodType:
            add((value.__func__, value.__self__), depth)
        elif isinstance(value, functools.partial):
            add((value.func, *value.args), depth)
            for name, argument in value.keywords.items():
                self._values.add_named(name, argument, depth)
        elif kind is LRU_CACHE:
            add(value.__wrapped__, depth)
        elif kind is types.BuiltinFunctionType:
            owner = value.__self__
            add((value.__qualname__, None if isinstance(owner, types.ModuleType) else owner), depth)
        else:
            return False
        return True

    def add_function(self, function: types.FunctionType, depth: int) -> None:
        """The code of a function, and what it holds and names."""
        self._values.parts.append(function.__code__)
        inside = max(0, depth - 1)
        for held in (*cells_of(function), *(function.__kwdefaults__ or {}).items(), function.__defaults__):
            self._values.add(held.cell_contents if isinstance(held, types.CellType) else held, inside)
        if depth and not is_library_code(function):
            self._add_globals(function.__globals__, names_in(function.__code__), inside)

    def _add_globals(self, namespace: dict[str, Any], names: frozenset[str], depth: int) -> None:
        """What code names in a namespace: the globals of its module, and those of modules that it names."""
        for name in [name for name in names if name in namespace]:  # most are attributes of something else
            value = namespace.get(name)
            if isinstance(value, types.ModuleType):
                if depth > 1 and not is_known(value):
                    self._add_globals(vars(value), names, depth - 1)
            elif isinstance(value, type):
                self.add_constants(value)
            elif not isinstance(value, nn.Module | types.BuiltinFunctionType):
                self._values.add_named(name, value, min(depth, _OF_GLOBALS))

    def add_class(self, kind: type) -> None:
        """The code of a class that isn't torch's, its attributes, and what its code names."""
        if kind in self._kinds:
            return
        self._kinds.add(kind)
        if is_library_code(kind):
            forward = getattr(kind, "forward", None)
            self._values.parts.append(getattr(forward, "__code__", None))
            return
        for base in kind.__mro__:
            if base is kind or not (base in self._kinds or is_library_code(base)):
                self._kinds.add(base)
                self._add_attributes(base)

    def add_constants(self, owner: type | types.ModuleType) -> None:
        """The attributes of a class or a module of the caller's that are neither code nor classes."""
        is_library = is_known(owner) if isinstance(owner, types.ModuleType) else is_library_code(owner)
        if id(owner) not in self._owners and owner not in self._kinds and not is_library:
            self._owners.add(id(owner))
            for name, value in list(vars(owner).items()):
                if not name.startswith(("__", "_abc_")) and not isinstance(value, _NO_CONSTANTS):
                    self._values.add_named(name, value, 2)

    def _add_attributes(self, kind: type) -> None:
        for name, value in list(vars(kind).items()):
            held = getattr(value, "__func__", getattr(value, "fget", value))
            if isinstance(held, types.FunctionType):
                if name != "__init__":  # it has run
                    self.add_function(held, _OF_METHODS)
            elif not name.startswith(("__", "_abc_")) and not isinstance(held, type):
                self._values.add_named(name, held, _OF_GLOBALS)


def is_known(module: types.ModuleType) -> bool:
    """Whether a module is Python's or a library's: what it holds stays as it is."""
    return _is_known(module.__name__)


def is_library_code(thing: types.FunctionType | type) -> bool:
    """Whether a function or a class is Python's or a library's.

    Example:
        >>> is_library_code(functools.partial), is_library_code(nn.Linear), is_library_code(is_library_code)
        (True, True, False)
    """
    return _is_known(str(getattr(thing, "__module__", None)))


@lru_cache(maxsize=4096)
def _is_known(name: str) -> bool:
    root = name.partition(".")[0]
    return root in LIBRARIES or root in sys.stdlib_module_names


@lru_cache(maxsize=4096)
def names_in(code: types.CodeType) -> frozenset[str]:
    """The global names and the attributes that code, and the code inside it, names.

    Example:
        >>> sorted(names_in((lambda x: torch.relu(x)).__code__))
        ['relu', 'torch']
    """
    inner = (names_in(constant) for constant in code.co_consts if isinstance(constant, types.CodeType))
    return frozenset(code.co_names).union(*inner)
