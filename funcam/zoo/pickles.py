"""A pickle looked through before anybody unpickles it: what it would build, call and allocate. Nothing is built.

torch's own unpickler for weights runs no foreign code, but it believes sizes: `bytearray(2**33)`, a storage of a
terabyte, a key that takes a lifetime to hash.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from funcam.errors import FuncamError, shown
from funcam.files import MIB
from funcam.zoo.pickle_calls import (
    CALLS,
    DICT,
    ITEM_BYTES,
    SET,
    Damaged,
    Foreign,
    Global,
    Storage,
    check_key,
    check_state,
    copied_by,
    result_of,
)

MOST_BYTES = 32 * MIB
"""A pickle of a state dict has some hundred bytes for each tensor."""

_MOST_STEPS = 500_000

_MOST_COPIED = 2 * MOST_BYTES
"""Calls copy their arguments: text that is in the pickle becomes bytes, and these an array of bytes."""


class Found(NamedTuple):
    """What was found.

    Attributes:
        end: where the pickle ends.
        storages: the claimed storages, by key.
        value: what it holds if it is a plain value, a list or a tuple, else an opaque mark.
    """

    end: int
    storages: dict[str, Storage]
    value: Any


def look_through(data: Any, start: int = 0) -> Found:
    """What the pickle in a buffer would make.

    Args:
        data: bytes, or a mapped file.
        start: where the pickle begins.

    Raises:
        Foreign: it holds other objects than tensors and plain containers.
        Damaged: it is damaged, has more than half a million steps, or claims what no state dict needs.

    Example:
        >>> import pickle
        >>> look_through(pickle.dumps([1, "a"], protocol=2)).value
        [1, 'a']
    """
    try:
        return _Reader(data, start).run()
    except FuncamError:
        raise
    except Exception as error:  # an empty stack, an unknown memo, a call of what can't be called, ...
        raise Damaged(f"its pickle is damaged ({type(error).__name__})") from None


_STACKED = 1024
"""So many marks may be open at once."""


class _Reader:
    """The steps that torch's unpickler for weights knows, on marks instead of objects."""

    def __init__(self, data: Any, start: int) -> None:
        self.data, self.at = data, start
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}
        self.copied = 0

    def run(self) -> Found:
        first = self.at
        for _ in range(_MOST_STEPS):
            if self.at - first > MOST_BYTES:
                raise Damaged(f"its pickle is larger than {MOST_BYTES // MIB} MiB")
            code = self.data[self.at]
            self.at += 1
            if code == 0x2E:
                return Found(self.at, self.storages, self.stack.pop())
            step = _STEPS.get(code)
            if step is None:
                raise Damaged(f"its pickle has a step {bytes([code])!r}, which torch.save does not write")
            step(self)
        raise Damaged(f"its pickle has more than {_MOST_STEPS:,} steps")

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if self.at + count > len(self.data):
            raise Damaged("its pickle is cut off")
        taken = bytes(self.data[self.at : self.at + count])
        self.at += count
        return taken

    def skip(self, count: int) -> None:
        self.at += count

    def line(self) -> str:
        """The rest of the line: the name of a module, function or class."""
        piece = bytes(self.data[self.at : self.at + 512])
        length = piece.index(b"\n") if b"\n" in piece else 512
        self.at += length + 1
        return piece[:length].decode("utf-8")

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def tuple_of(self, count: int) -> None:
        values = tuple(self.stack[len(self.stack) - count :]) if count else ()
        if len(values) < count:
            raise IndexError
        del self.stack[len(self.stack) - count :]
        self.push(values)

    def mark(self) -> None:
        if len(self.marks) >= _STACKED:
            raise Damaged("its pickle is nested too deeply")
        self.marks.append(self.stack)
        self.stack = []

    def behind_mark(self) -> list[Any]:
        values, self.stack = self.stack, self.marks.pop()
        return values

    def append(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise TypeError
        self.stack[-1].extend(values)

    def set_items(self, values: list[Any]) -> None:
        if self.stack[-1] is not DICT or len(values) % 2:
            raise TypeError
        for key in values[::2]:
            check_key(key)

    def last(self) -> list[Any]:
        return [self.stack.pop()]

    def last_two(self) -> list[Any]:
        value, key = self.stack.pop(), self.stack.pop()
        return [key, value]

    def call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self.copied += copied_by(arguments)
        if self.copied > _MOST_COPIED:
            raise Damaged("it makes more of what it holds than torch.save does")
        self.push(result_of(function, arguments))

    def build(self) -> None:
        state = self.stack.pop()
        check_state(self.stack[-1], state)

    def load_storage(self) -> None:
        storage = _storage(self.stack.pop())
        known = self.storages.setdefault(storage.key, storage)
        if known.size < storage.size:
            self.storages[storage.key] = storage
        self.push(storage)

    def load_global(self) -> None:
        name = f"{self.line()}.{self.line()}"
        if (name not in CALLS and name not in ITEM_BYTES and not name.startswith("torch.")) or "\\" in name:
            raise Foreign(name.removeprefix("builtins.").removeprefix("__builtin__."))
        self.push(Global(name))


_STEPS: Mapping[int, Callable[[_Reader], None]] = {
    ord("\x80"): lambda reader: reader.skip(1),
    ord("("): _Reader.mark,
    ord("N"): lambda reader: reader.push(None),
    0x88: lambda reader: reader.push(True),
    0x89: lambda reader: reader.push(False),
    ord(")"): lambda reader: reader.push(()),
    ord("]"): lambda reader: reader.push([]),
    ord("}"): lambda reader: reader.push(DICT),
    0x8F: lambda reader: reader.push(SET),
    ord("J"): lambda reader: reader.push(reader.number("<i")),
    ord("K"): lambda reader: reader.push(reader.number("<B")),
    ord("M"): lambda reader: reader.push(reader.number("<H")),
    ord("G"): lambda reader: reader.push(reader.number(">d")),
    ord("X"): lambda reader: reader.push(str(reader.take(reader.number("<I")), "utf-8", "surrogatepass")),
    ord("U"): lambda reader: reader.push(reader.take(reader.number("<B"))),
    0x8A: lambda reader: reader.push(int.from_bytes(reader.take(reader.number("<B")), "little", signed=True)),
    ord("h"): lambda reader: reader.push(reader.memo[reader.number("<B")]),
    ord("j"): lambda reader: reader.push(reader.memo[reader.number("<I")]),
    ord("q"): lambda reader: reader.memo.update({reader.number("<B"): reader.stack[-1]}),
    ord("r"): lambda reader: reader.memo.update({reader.number("<I"): reader.stack[-1]}),
    0x85: lambda reader: reader.tuple_of(1),
    0x86: lambda reader: reader.tuple_of(2),
    0x87: lambda reader: reader.tuple_of(3),
    ord("t"): lambda reader: (lambda values: reader.push(tuple(values)))(reader.behind_mark()),
    ord("a"): lambda reader: reader.append(reader.last()),
    ord("e"): lambda reader: reader.append(reader.behind_mark()),
    ord("s"): lambda reader: reader.set_items(reader.last_two()),
    ord("u"): lambda reader: reader.set_items(reader.behind_mark()),
    ord("c"): _Reader.load_global,
    ord("R"): _Reader.call,
    0x81: _Reader.call,
    ord("b"): _Reader.build,
    ord("Q"): _Reader.load_storage,
}
"""The steps by their code, as in Python's `pickletools`."""


def _storage(claim: Any) -> Storage:
    """`("storage", type, key, device, count[, part of another])`."""
    if isinstance(claim, tuple) and len(claim) > 1 and _word(claim[0]) == "module" and isinstance(claim[1], Global):
        raise Foreign(claim[1].name)
    if not isinstance(claim, tuple) or len(claim) not in (5, 6) or _word(claim[0]) != "storage":
        raise Damaged("its pickle refers to something that is no storage")
    kind, key, count = claim[1], _word(claim[2]), claim[4]
    item = ITEM_BYTES.get(kind.name) if isinstance(kind, Global) else None
    if item is None or type(count) is not int or count < 0:
        raise Damaged(f"storage {shown(key)} in it is of no known type and size")
    return Storage(key, item, count)


def _word(value: Any) -> str:
    if isinstance(value, bytes):  # Python 2 wrote it
        value = value.decode("ascii")
    if not isinstance(value, str):
        raise TypeError
    return value
