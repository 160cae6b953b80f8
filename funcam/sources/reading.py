"""The bytes of items: those of a shard that follow one another are read in one pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import BinaryIO

from funcam.errors import FuncamError
from funcam.files import MIB, parsing, read_bytes
from funcam.sources.item import Item, Place
from funcam.sources.places import is_address, opened_place
from funcam.sources.tables import Table, table_bytes
from funcam.sources.tars import MOST_BYTES


class Reader:
    """Reads items, and keeps the shard that the last one was in open. One for each worker: it is not thread-safe.

    Example:
        >>> with Reader() as reader:  # doctest: +SKIP
        ...     data = [reader.read(item) for item in list_items(["train-0000.tar"])]
    """

    def __init__(self) -> None:
        self._open = ExitStack()
        self._file: str | None = None
        self._stream: BinaryIO | None = None
        self._rows: Iterator[bytes | None] = iter(())
        self._next = 0

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the shard that is open."""
        self._open.close()
        self._file = None

    def read(self, item: Item) -> bytes:
        """The bytes of an item's image.

        Args:
            item: the item.

        Raises:
            FuncamError: the item has a problem, or what it names can't be read or is larger than 256 MiB.
        """
        if item.problem:
            raise FuncamError(item.problem)
        with parsing(f"{item.path!r} can't be read", "check it"):
            data = self._data(item.place)
        if not data:
            raise FuncamError(f"{item.path!r} is empty (0 bytes); leave it out or save it again")
        return data

    def _data(self, place: Place) -> bytes | None:
        if place.start is None:
            return _whole(place.file)
        return self._row(place) if place.size is None else self._slice(place.file, place.start, place.size)

    def _slice(self, file: str, start: int, size: int) -> bytes:
        if size > MOST_BYTES:
            raise FuncamError(_TOO_LARGE)
        if self._file != file:
            self._stream = self._opened(file)
        assert self._stream is not None
        self._stream.seek(start)
        data = self._stream.read(size)
        if len(data) < size:
            raise FuncamError(f"{file!r} ends before the image does; make it anew")
        return data

    def _row(self, place: Place) -> bytes | None:
        if self._file != place.file or place.start != self._next:
            self.close()
            self._rows = table_bytes(Table(self._opened(place.file), place.file), place.start or 0)
        try:
            data = next(self._rows)
        except StopIteration:
            self.close()
            raise FuncamError(f"{place.file!r} ends before row {place.start}; make it anew") from None
        except BaseException:
            self.close()
            raise
        self._next = (place.start or 0) + 1
        if data is not None and len(data) > MOST_BYTES:
            raise FuncamError(_TOO_LARGE)
        return data

    def _opened(self, file: str) -> BinaryIO:
        self.close()
        stream = self._open.enter_context(opened_place(file))
        self._file = file
        return stream


_TOO_LARGE = f"it is larger than {MOST_BYTES // MIB} MiB; make it smaller first"


def _whole(file: str) -> bytes:
    if not is_address(file):
        return read_bytes(file, most=MOST_BYTES, advice="make it smaller first")
    with opened_place(file) as stream:
        data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise FuncamError(f"{file!r} is larger than {MOST_BYTES // MIB} MiB; make it smaller first")
    return data
