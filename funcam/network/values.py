"""Whatever a model holds or is given, told as a list of numbers, words and code: equal as long as it stays what it is.

Breadth first, each thing once; wherever it is met again stands the number that it was given when it was met first. So
two lists of one structure are equal only where each place holds what it held, and the same thing as another place did.
"""

from __future__ import annotations

import functools
import itertools
import types
import weakref
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from funcam.network.codes import Codes
from funcam.network.held import HEAP_TYPE, PLAIN, RESOURCES, fields_of, is_plain_object

VALUES = frozenset({torch.dtype, torch.device, torch.layout, torch.memory_format, range})
"""Told by themselves: they are equal where their values are."""
_NUMBERS_AND_WORDS = (int, float, complex, str, bytes)
_MOST = 1 << 15
"""So many things are looked into; what is further away is told by which one it is."""
_CHECKED = 1 << 24
"""Bytes of an array that are all looked at; of a larger one so many, spread over it."""
_DEPTH = 5
"""Functions and classes that name one another."""

Tell = Callable[[torch.Tensor], Iterable[Any]]


class Values:
    """The parts that were told so far.

    Args:
        tensor: what is told of a tensor.
        places: what isn't looked into: a number for the identity of each.

    Attributes:
        parts: numbers, words, code: what is compared.
        modules: modules that were met on the way; of these nothing more is told here.
        codes: tells of code.
        pending: what was met and not yet looked into, each with how far code is followed from there.

    Example:
        >>> values = Values(lambda tensor: tensor.shape)
        >>> values.add({"scale": 2.0})
        >>> values.finish()
        >>> values.parts
        [<class 'dict'>, 0, 1, 'scale', 2.0]
    """

    parts: list[Any]
    modules: list[nn.Module]
    codes: Codes
    pending: deque[tuple[Any, int]]

    def __init__(self, tensor: Tell, places: Mapping[int, int] = types.MappingProxyType({})) -> None:
        self.parts, self.modules = [], []
        self._tensor = tensor
        self.codes = Codes(self)
        self._places = dict(places)
        self.pending = deque()
        self._made: list[Any] = []  # else something else might come to their place in memory

    @property
    def met(self) -> frozenset[int]:
        """The identities of what was met, but for numbers, words and tensors."""
        return frozenset(self._places)

    def add(self, value: Any, depth: int = _DEPTH) -> None:
        """Put a value among the parts.

        Args:
            value: anything.
            depth: how far code is followed from here.
        """
        kind, parts = type(value), self.parts
        if kind in PLAIN or kind in VALUES:
            parts.append(value)
        elif kind is tuple:
            parts.append(kind)
            self._add_entries(value, depth)
        elif isinstance(value, torch.Tensor):
            parts.append(kind)
            parts += self._tensor(value)
        else:
            parts += (kind, self._place_of(value, depth))

    def add_modules(self, table: Mapping[str, nn.Module | None]) -> None:
        """Put modules among the parts, with their names."""
        places = list(map(id, table.values()))
        self.parts += table
        self.parts += places
        for place, module in zip(places, table.values(), strict=True):
            if place not in self._places and module is not None:
                self._places[place] = len(self._places)
                self.modules.append(module)

    def add_named(self, name: Any, value: Any, depth: int = _DEPTH) -> None:
        """Put a field, an entry or a variable among the parts."""
        self.add(name, depth)
        self.add(value, depth)

    def finish(self) -> None:
        """Look into what was met."""
        while self.pending:
            self._tell(*self.pending.popleft())

    def taken(self) -> list[Any]:
        """The parts and their types, as Python takes 1, 1.0 and True for equal; nothing else is held any more."""
        self.modules.clear()
        self._made.clear()
        return [*self.parts, *map(type, self.parts)]

    def _place_of(self, value: Any, depth: int) -> int:
        place = self._places.get(id(value))
        if place is None:
            place = self._places[id(value)] = len(self._places)
            if place < _MOST:
                self.pending.append((value, depth))
            else:
                self.parts.append(token_of(value))
        return place

    def _add_entries(self, entries: Sequence[Any], depth: int) -> None:
        self.parts.append(len(entries))
        if PLAIN.issuperset(map(type, entries)):
            self.parts += entries
        else:
            for entry in entries:
                self.add(entry, depth)

    def _add_made(self, values: Any, depth: int) -> None:
        self._made.append(values)
        self.add(values, depth)

    def _add_fields(self, fields: Mapping[Any, Any], depth: int) -> None:
        for name, value in list(fields.items()):
            self.add_named(name, value, depth)

    def _tell(self, value: Any, depth: int) -> None:
        kind = type(value)
        if kind in _SEQUENCES or kind is dict:  # the usual ones, and quick
            self._tell_container(value, kind, depth)
        elif isinstance(value, nn.Module):
            self.parts.append(id(value))
            self.modules.append(value)
        elif isinstance(value, type | types.ModuleType):
            self.parts.append(token_of(value))
            self.codes.add_constants(value)
        elif self.codes.add_callable(value, depth):
            self._add_fields(getattr(value, "__dict__", {}), depth)
        elif isinstance(value, weakref.ref):
            self.add(value(), depth)
        elif isinstance(value, np.ndarray | np.generic | np.dtype):
            self._tell_array(value, depth)
        elif not self._tell_container(value, kind, depth):
            self._tell_object(value, kind, depth)

    def _tell_array(self, value: Any, depth: int) -> None:
        kind = value if isinstance(value, np.dtype) else value.dtype
        self.parts.append(str(kind))
        if kind is value:
            return
        self.parts.append(value.shape)
        if kind.hasobject:
            self._add_made(value.tolist(), depth)
        else:
            self.parts.append(_checksum(value))
        self._add_fields(getattr(value, "__dict__", {}), depth)

    def _tell_container(self, value: Any, kind: type, depth: int) -> bool:
        """A container, by what Python itself finds in it: its class's own code isn't run."""
        base: Any = kind if kind in _SEQUENCES else next((base for base in kind.__mro__ if base in _SEQUENCES), None)
        if base is not None:
            self._add_entries(list(base.__iter__(value)), depth)
        elif isinstance(value, dict):
            self.parts.append(dict.__len__(value))
            self._add_fields(dict(dict.items(value)), depth)
        elif isinstance(value, types.MappingProxyType):
            self._add_made(dict(value), depth)
        else:
            return False
        if kind is not base:
            self._add_fields(getattr(value, "__dict__", {}), depth)
        return True

    def _tell_object(self, value: Any, kind: type, depth: int) -> None:
        plain = is_plain_object(value)
        fields = fields_of(value) if plain or _is_written_in_python(kind) else {}
        base = next((base for base in _NUMBERS_AND_WORDS if isinstance(value, base)), None)
        if base is not None:
            self.parts.append(base.__repr__(value))  # of a class made from them: without running its own code
        elif not (plain and fields):  # (a mark, `mode is FULL`, is told by which one it is)
            self._tell_opaque(value, depth, bool(fields))
        self._add_fields(fields, depth)
        if fields:
            self.codes.add_class(kind)

    def _tell_opaque(self, value: Any, depth: int, told: bool) -> None:
        """What Python code can't look into: its bytes, which one it is, or what a copy is made from."""
        try:
            with memoryview(value) as buffer:
                self.parts.append(_checksum(np.frombuffer(buffer, np.uint8)) if buffer.nbytes else 0)
            return
        except (TypeError, ValueError, BufferError):
            pass
        token = token_of(value)
        if token is not None or told:
            self.parts.append(token)
            return
        try:
            made = value.__reduce_ex__(4)
        except Exception:  # whatever its code raises: it has no copies
            self.parts.append(id(value))
        else:
            self._add_made(made, depth)


_SEQUENCES: frozenset[Any] = frozenset({list, tuple, set, frozenset, deque})


def _is_written_in_python(kind: type) -> bool:
    """Whether objects of a class may be looked into, though no copy is made of them."""
    name = str(getattr(kind, "__module__", ""))
    root = name.partition(".")[0]
    told = root != "torch" or name.startswith(("torch.nn.", "torch.distributions."))
    return bool(kind.__flags__ & HEAP_TYPE) and root not in RESOURCES and told


def _checksum(array: Any) -> int:
    step = -(-array.nbytes // _CHECKED)
    return zlib.crc32((array.flat[::step] if step > 1 else array).tobytes())


def numbers_in(tensor: torch.Tensor, most: int) -> int | None:
    """A checksum of a tensor's numbers; None where they are more than so many bytes, or none that can be looked at.

    Example:
        >>> numbers_in(torch.zeros(2), 8) == numbers_in(torch.zeros(2), 8), numbers_in(torch.zeros(3), 8)
        (True, None)
    """
    if tensor.device.type != "cpu" or not 0 < tensor.nbytes <= most:
        return None
    try:
        with torch.inference_mode(False), torch.no_grad():
            copy = tensor.detach().clone().contiguous()
            return zlib.crc32(copy.flatten().view(torch.uint8).numpy().tobytes())
    except (RuntimeError, TypeError):  # it has no numbers of its own
        return None


class _Tokens:
    """A number for each object, which isn't given again when that is gone, as its place in memory is."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[Any, int]] = {}
        self.numbers = itertools.count()

    def of(self, value: Any) -> int | None:
        place = id(value)
        known = self.known.get(place)
        if known is not None and known[0]() is value:
            return known[1]
        number = next(self.numbers)
        try:
            self.known[place] = weakref.ref(value, functools.partial(self._forget, place)), number
        except TypeError:
            return None
        return number

    def _forget(self, place: int, reference: Any) -> None:
        known = self.known.get(place)
        if known is not None and known[0] is reference:
            del self.known[place]


_TOKENS = _Tokens()


def token_of(value: Any) -> int | None:
    """The number of an object, which no other one ever has; None where it can't be told from others.

    Example:
        >>> token_of(nn.ReLU) == token_of(nn.ReLU), token_of(nn.ReLU) == token_of(nn.GELU), token_of(1)
        (True, False, None)
    """
    return _TOKENS.of(value)
