"""The state of a model as far as a cut depends on it: modules, settings, hooks, and what its code names outside of it.

Weights don't belong to it: a twin shares them. Compared are numbers and words by value, tensors by identity and
version and those of a few numbers by a checksum, arrays by one, code by itself.
"""

from __future__ import annotations

import functools
import itertools
import sys
import types
import weakref
import zlib
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import nn

from funcam.network.fixed import as_bytes
from funcam.network.held import (
    ATOMS,
    LIBRARIES,
    LRU_CACHE,
    PLAIN,
    cells_of,
    container_of,
    fields_of,
    is_plain_object,
    of_library,
)

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_OWN_FIELDS = len(nn.Module().__dict__)  # nn.Module's own fields come first; what follows are a module's settings
_VALUES = frozenset({torch.dtype, torch.device, torch.Size, range, slice})
_MOST_ENTRIES = 64
_DEPTH = 5
_CHECKED_BYTES = 1 << 16
_CHECKED_TENSOR = 1 << 12


def signature(model: nn.Module) -> list[Any]:
    """What a cut depends on: the modules, their settings and hooks, which tensors they hold (not the weights' values).

    Two signatures of one model are equal unless a module, a parameter, a buffer, a hook or a setting (a stride, an
    epsilon, a list of them, a field of a configuration, a tensor that is no weight) was changed in between, or code, an
    attribute of a class or a global that its code names; weights changed in place leave it as it is, since a twin
    shares them.

    Example:
        >>> model = nn.Sequential(nn.ReLU())
        >>> before = signature(model)
        >>> model[0] = nn.GELU()
        >>> signature(model) == before
        False
    """
    return states(model)[0]


def hooks_state(model: nn.Module) -> list[Any]:
    """What the hooks on a model hold, which may change what they do.

    Example:
        >>> model, switch = nn.Sequential(nn.ReLU()), {"on": False}
        >>> _ = model.register_forward_hook(lambda module, given, output: 2 * output if switch["on"] else None)
        >>> before = hooks_state(model)
        >>> switch["on"] = True
        >>> hooks_state(model) == before
        False
    """
    return states(model)[1]


def states(model: nn.Module) -> tuple[list[Any], list[Any]]:
    """A model's `signature` and `hooks_state`, found in one walk: this is done at every call."""
    state, hooked = _walked(model)
    return state.parts, hooked.parts


def reached(model: nn.Module) -> frozenset[int]:
    """The identities of the objects that a model holds and its code names, but for what its hooks alone know."""
    return frozenset(_walked(model)[0].seen)


def _walked(model: nn.Module) -> tuple[_State, _State]:
    state, hooked = _State(), _State()
    parts, pending, seen = state.parts, state.modules, state.seen
    pending.append(model)
    for module in pending:  # grows while it runs
        fields, kind = module.__dict__, type(module)
        parts += (id(module), kind)
        if isinstance(module, torch.jit.ScriptModule):  # keeps all it has elsewhere, and is refused
            continue
        if kind not in state.kinds:
            state.add_class(kind)
        if fields["_modules"]:
            parts += fields["_modules"]
            pending += [child for child in fields["_modules"].values() if child is not None and id(child) not in seen]
        parts += map(id, fields["_parameters"].values())
        parts += map(id, fields["_buffers"].values())
        for name in HOOKS:
            if fields.get(name):  # (the number of a hook is never used twice, the place of a freed one is)
                parts += fields[name]
                parts += map(id, fields[name].values())
                for hook in fields[name].values():
                    hooked.add(hook)
        if len(fields) > _OWN_FIELDS:
            for value in islice(fields.values(), _OWN_FIELDS, None):
                if type(value) in PLAIN:
                    parts.append(value)
                else:
                    state.add(value)
    return state, hooked


class _State:
    """The parts of a signature that were found so far.

    Attributes:
        parts: numbers, words, code: what is compared.
        modules: modules that were met on the way.
        kinds: classes that were looked at.
        seen: what was looked at, by identity.
    """

    parts: list[Any]
    modules: list[nn.Module]
    kinds: set[type]
    seen: set[int]

    def __init__(self) -> None:
        self.parts, self.modules = [], []
        self.kinds, self.seen = set(), set()

    def add(self, value: Any, depth: int = _DEPTH) -> None:
        """Put a value among the parts, with what it holds."""
        kind, parts = type(value), self.parts
        if kind in PLAIN:
            parts.append(value)
        elif kind is tuple:
            parts.append(len(value))
            for part in islice(value, _MOST_ENTRIES):
                if type(part) in PLAIN:
                    parts.append(part)
                else:
                    self.add(part, depth - 1)
        elif kind in ATOMS:
            parts.append(value if kind in _VALUES else id(value))
        elif isinstance(value, torch.Tensor):
            parts += (_TOKENS.of(value), None if value.is_inference() else value._version, _numbers(value))
        elif id(value) not in self.seen and depth:
            self.seen.add(id(value))
            self._add_once(value, kind, depth - 1)

    def _add_once(self, value: Any, kind: type, depth: int) -> None:
        if isinstance(value, nn.Module):
            self.parts.append(id(value))
            self.modules.append(value)
        elif isinstance(value, types.FunctionType):
            self.add_function(value, depth)
        elif kind is types.MethodType:
            self.add(value.__func__, depth)
            self.add(value.__self__, depth)
        elif kind is functools.partial:
            self.add((value.func, value.args, value.keywords), depth)
        elif kind is LRU_CACHE:
            self.add(value.__wrapped__, depth)
        elif isinstance(value, np.ndarray):
            self.parts += (value.shape, value.dtype.str, _checksum(value))
        elif container_of(kind) is not None:
            self._add_container(value, depth)
        else:
            self.parts.append(_TOKENS.of(value))
            if is_plain_object(value):
                self._add_fields(fields_of(value), depth)
                self.add_class(kind)

    def _add_container(self, value: Any, depth: int) -> None:
        self.parts.append(len(value))
        if isinstance(value, dict):
            self._add_fields(dict(islice(value.items(), _MOST_ENTRIES)), depth)
        else:
            for part in islice(value, _MOST_ENTRIES):
                self.add(part, depth)
        if getattr(value, "__dict__", None):
            self._add_fields(vars(value), depth)

    def _add_fields(self, fields: dict[Any, Any], depth: int) -> None:
        for name, value in fields.items():
            self.parts.append(name if type(name) in PLAIN else _TOKENS.of(name))
            self.add(value, depth)

    def add_function(self, function: types.FunctionType, depth: int = _DEPTH) -> None:
        """The code of a function, and what it holds and names."""
        self.parts.append(function.__code__)
        if depth and not of_library(function):
            for cell in cells_of(function):
                self.add(cell.cell_contents, depth)
            for held in (function.__defaults__, function.__kwdefaults__):
                self.add(held, depth)
            self._add_named(function.__globals__, names_in(function.__code__), depth)

    def _add_named(self, namespace: dict[str, Any], names: frozenset[str], depth: int) -> None:
        """What code names in a namespace: the globals of its module, and those of modules that it names."""
        for name in names & namespace.keys():
            value = namespace[name]
            kind = type(value)
            if kind in PLAIN:
                self.parts += (name, value)
            elif kind is types.ModuleType:
                if depth > 1 and not is_known(value):
                    self._add_named(vars(value), names, depth - 1)
            elif isinstance(value, type):
                self._add_constants(value)
            elif kind not in ATOMS and not isinstance(value, nn.Module):
                self.add(value, min(depth, 3))

    def add_class(self, kind: type) -> None:
        """The code of a class that isn't torch's, its attributes, and what its code names."""
        if kind in self.kinds:
            return
        self.kinds.add(kind)
        if of_library(kind):
            forward = getattr(kind, "forward", None)
            self.parts.append(getattr(forward, "__code__", None))
            return
        for base in kind.__mro__:
            if base is kind or not (base in self.kinds or of_library(base)):
                self.kinds.add(base)
                self._add_attributes(base)

    def _add_constants(self, kind: type) -> None:
        if id(kind) not in self.seen and kind not in self.kinds and not of_library(kind):
            self.seen.add(id(kind))
            for name, value in list(vars(kind).items()):
                if not name.startswith("__") and (
                    type(value) in PLAIN or isinstance(value, torch.Tensor | list | dict)
                ):
                    self.parts.append(name)
                    self.add(value, 2)

    def _add_attributes(self, kind: type) -> None:
        for name, value in list(vars(kind).items()):
            held = getattr(value, "__func__", getattr(value, "fget", value))
            if isinstance(held, types.FunctionType):
                self.add_function(held, 4)
            elif not name.startswith("__") and type(held) in PLAIN:
                self.parts += (name, held)
            elif not name.startswith(("__", "_abc_")) and not isinstance(held, type):
                self.add(held, 3)


def is_known(module: types.ModuleType) -> bool:
    """Whether a module is Python's or a library's: what it holds stays as it is."""
    root = module.__name__.partition(".")[0]
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


def _checksum(array: Any) -> int | None:
    if array.dtype.hasobject:
        return None
    step = max(1, array.nbytes // _CHECKED_BYTES)
    return zlib.crc32((array.flat[::step] if step > 1 else array).tobytes())


def _numbers(tensor: torch.Tensor) -> int | None:
    """A checksum of a few numbers: what is written through `data` leaves the version as it is."""
    if type(tensor) is not torch.Tensor or tensor.device.type != "cpu" or not 0 < tensor.nbytes <= _CHECKED_TENSOR:
        return None
    try:
        return zlib.crc32(as_bytes(tensor).numpy().tobytes())
    except (RuntimeError, TypeError):  # it has no numbers of its own
        return None


class _Tokens:
    """A number for each object, which isn't given again when that is gone, as its place in memory is."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[Any, int]] = {}
        self.numbers = itertools.count()

    def of(self, value: Any) -> int | str:
        """The number of an object; the name of its class where it can't be told from others."""
        place = id(value)
        known = self.known.get(place)
        if known is not None and known[0]() is value:
            return known[1]
        number = next(self.numbers)
        try:
            self.known[place] = weakref.ref(value, lambda reference: self._forget(place, reference)), number
        except TypeError:
            return type(value).__qualname__
        return number

    def _forget(self, place: int, reference: Any) -> None:
        known = self.known.get(place)
        if known is not None and known[0] is reference:
            del self.known[place]


_TOKENS = _Tokens()
