"""What a pickle of weights may call, and with what: nothing that allocates more than there is. Marks stand in."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import NoneType
from typing import Any

from funcam.errors import FuncamError, shown

_MOST_DIMENSIONS = 64


class Damaged(FuncamError):
    """The file is not what `torch.save` writes. The message begins behind the file's name."""


class Foreign(FuncamError):
    """The pickle holds objects that are neither tensors nor plain containers."""


@dataclass(frozen=True, slots=True)
class Storage:
    """Values of tensors that a pickle claims to lie elsewhere in its file.

    Attributes:
        key: their name.
        item: how many bytes each has; 1 where the type doesn't say.
        count: how many there are.
    """

    key: str
    item: int
    count: int

    @property
    def size(self) -> int:
        """How many bytes in all."""
        return self.item * self.count


@dataclass(frozen=True, slots=True)
class Global:
    """A function or a class by its name."""

    name: str


@dataclass(frozen=True, slots=True)
class Bytes:
    """So many bytes."""

    size: int


class Made(Enum):
    """What stands for something that would be made; a view claims more values than its storage has."""

    DICT = "dict"
    SET = "set"
    TENSOR = "tensor"
    VIEW = "view"
    OTHER = "other"


DICT, SET, TENSOR, VIEW, OTHER = Made
_TENSORS = (TENSOR, VIEW)


_NAMES = frozenset({str, bytes, int, float, bool, Global, NoneType})


def check_key(key: Any) -> None:
    """Do nothing if a value may be a key: when a dict is made, the hash of nested tuples takes two to their depth.

    Args:
        key: the value.

    Raises:
        Damaged: it may not.
    """
    parts = key if type(key) is tuple and len(key) <= _MOST_DIMENSIONS else (key,)
    if not _NAMES.issuperset(map(type, parts)):  # (there may be a million keys)
        raise Damaged("a dict in it has keys that are no names")


def result_of(function: Any, arguments: Any) -> Any:
    """What a call would make, where its arguments are such that it allocates nothing that isn't there.

    Args:
        function: what is called.
        arguments: a tuple of them.

    Raises:
        Foreign: it is none of the functions that make tensors and plain containers.
        Damaged: its arguments are not as torch's.
    """
    if not isinstance(function, Global) or not isinstance(arguments, tuple):
        raise TypeError
    check = CALLS.get(function.name)
    if check is None:
        raise Foreign(function.name)
    made = check(arguments)
    if made is None:
        raise Damaged(f"it calls {function.name} as torch.save does not")
    return made


def copied_by(arguments: Any) -> int:
    """How many bytes a call copies, about: what stands in a pickle once may be copied thousands of times.

    Args:
        arguments: of the call.
    """
    return sum(map(_size_of, arguments))


def _size_of(value: Any) -> int:
    if isinstance(value, list | tuple):
        return _ENTRY * len(value)
    if isinstance(value, str | bytes):
        return len(value)
    return value.size if isinstance(value, Bytes) else 0


_ENTRY = 64
"""Bytes that a value takes in a container."""


def check_state(made: Any, state: Any) -> None:
    """Do nothing if a state may be given to what was made: attributes to a dict; a legacy tensor's storage and shape.

    Args:
        made: what it is given to.
        state: the state.

    Raises:
        Damaged: the tensor reaches over the end of its storage.
    """
    fits = state is DICT if made is DICT else made in _TENSORS and isinstance(state, tuple) and _tensor(state)
    if not fits:
        raise TypeError


def _mapping(arguments: tuple[Any, ...]) -> Made | None:
    if not arguments:
        return DICT
    pairs = arguments[0]
    if len(arguments) != 1 or not isinstance(pairs, list):
        return None
    for pair in pairs:
        check_key(pair[0])
    return DICT


def _counter(arguments: tuple[Any, ...]) -> Made | None:
    return DICT if arguments in ((), (DICT,)) else None


def _set(arguments: tuple[Any, ...]) -> Made | None:
    if len(arguments) != 1 or not isinstance(arguments[0], list | tuple):
        return None
    for value in arguments[0]:
        check_key(value)
    return SET


def _encoded(arguments: tuple[Any, ...]) -> Bytes | None:
    plain = len(arguments) == 2 and isinstance(arguments[0], str) and arguments[1] in ("latin1", "latin-1", "utf-8")
    return Bytes(4 * len(arguments[0])) if plain else None


def _byte_array(arguments: tuple[Any, ...]) -> Bytes | None:
    """Of text; of a number it would be so many bytes."""
    fits = not arguments or isinstance(arguments[0], Bytes | str | bytes)
    return Bytes(copied_by(arguments)) if fits else None


def _numbers(arguments: tuple[Any, ...]) -> Made | None:
    return OTHER if all(isinstance(each, int | float) for each in arguments) else None


def _words(arguments: tuple[Any, ...]) -> Made | None:
    return OTHER if all(isinstance(each, str | int) for each in arguments) else None


def _size(arguments: tuple[Any, ...]) -> tuple[int, ...] | None:
    return tuple(arguments[0]) if len(arguments) == 1 and _shape(arguments[0]) else None


def _shape(values: Any) -> bool:
    fits = isinstance(values, tuple | list) and len(values) <= _MOST_DIMENSIONS
    return fits and all(type(each) is int and 0 <= each < 2**63 for each in values)


def _tensor(arguments: tuple[Any, ...]) -> Made | None:
    """Within its storage; torch would make a storage larger for a tensor that reaches over its end."""
    storage, offset, size, stride = arguments[:4]
    if not isinstance(storage, Storage) or type(offset) is not int or not _shape(size) or not _shape(stride):
        return None
    last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True))
    if 0 not in size and last >= storage.count:
        raise Damaged(f"a tensor reaches over the end of storage {shown(storage.key)}")
    return TENSOR if math.prod(size) <= storage.count else VIEW


def _of_a_tensor(arguments: tuple[Any, ...]) -> Made | None:
    return arguments[0] if arguments and arguments[0] in _TENSORS else None


def _of_a_type(arguments: tuple[Any, ...]) -> Any:
    """A call of another of these, and the class that the tensor gets."""
    return result_of(arguments[0], arguments[2]) if len(arguments) == 4 else None


def _without_values(arguments: tuple[Any, ...]) -> Made | None:
    return TENSOR if len(arguments) == 4 and all(_shape(each) for each in arguments[1:3]) else None


def _sparse(arguments: tuple[Any, ...]) -> Made | None:
    """Of tensors that are all there: torch goes through their values."""
    parts = arguments[1] if len(arguments) == 2 and isinstance(arguments[1], tuple) else ()
    return TENSOR if parts[:2] == (TENSOR, TENSOR) or parts[:3] == (TENSOR, TENSOR, TENSOR) else None


CALLS: Mapping[str, Callable[[tuple[Any, ...]], Any]] = {
    "collections.OrderedDict": _mapping,
    "collections.Counter": _counter,
    "builtins.set": _set,
    "__builtin__.set": _set,
    "builtins.bytearray": _byte_array,
    "__builtin__.bytearray": _byte_array,
    "builtins.complex": _numbers,
    "__builtin__.complex": _numbers,
    "_codecs.encode": _encoded,
    "torch.Size": _size,
    "torch.device": _words,
    "torch.serialization._get_layout": _words,
    "torch.nn.parameter.Parameter": _of_a_tensor,
    "torch._utils._rebuild_parameter": _of_a_tensor,
    "torch._utils._rebuild_parameter_with_state": _of_a_tensor,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor,
    "torch._utils._rebuild_sparse_tensor": _sparse,
    "torch._utils._rebuild_meta_tensor_no_storage": _without_values,
    "torch._tensor._rebuild_from_type_v2": _of_a_type,
}
"""What a file of weights may call, and what checks the arguments and says what is made; None: not as torch does it."""

ITEM_BYTES: Mapping[str, int] = {
    "torch.storage.UntypedStorage": 1,
    "torch.UntypedStorage": 1,
    **{f"torch.{name}Storage": 1 for name in ("Byte", "Char", "Bool", "QInt8", "QUInt8", "QUInt4x2", "QUInt2x4")},
    **{f"torch.{name}Storage": 2 for name in ("Half", "BFloat16", "Short")},
    **{f"torch.{name}Storage": 4 for name in ("Float", "Int", "QInt32")},
    **{f"torch.{name}Storage": 8 for name in ("Double", "Long", "ComplexFloat")},
    "torch.ComplexDoubleStorage": 16,
}
"""Bytes of a value, by the type of a storage."""
