"""A store that was written: its question, and its rows, a shard at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from funcam.errors import FuncamError
from funcam.files import exists, read_bytes
from funcam.sources import Item
from funcam.store.layout import shard_path
from funcam.store.listing import listed_count, listed_run
from funcam.store.query import Condition, kept, parse_query
from funcam.store.question import read_question, sizes_of
from funcam.store.rows import COLUMNS, Row, arrow, read_table, rows_of
from funcam.store.shard import MOST_BYTES

_PLAIN = [*COLUMNS, "top_classes", "top_scores"]


class Store:
    """A store to be read, also while it is written: what is whole of it is there.

    Attributes:
        folder: where it lies.
        question: what it answers.
        count: how many images are listed; 0 where they aren't all yet.
    """

    folder: Path
    question: dict[str, Any]
    count: int

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.folder = Path(path)
        self.question = read_question(self.folder)
        self._sizes = sizes_of(self.question)
        self.count = listed_count(self.folder) or 0
        self._listed: tuple[int, list[Item]] = -1, []

    @property
    def shards(self) -> list[int]:
        """The shards that are there, in the order of the listing."""
        return [number for number in self._numbers if exists(shard_path(self.folder, number))]

    @property
    def missing(self) -> list[int]:
        """The shards that aren't there."""
        return [number for number in self._numbers if not exists(shard_path(self.folder, number))]

    @property
    def whole(self) -> bool:
        """Whether every image has its row."""
        return bool(self.count) and not self.missing

    @property
    def failures(self) -> int:
        """How many images of the shards that are there have an error instead of a map."""
        told = (arrow().parquet.read_metadata(shard_path(self.folder, number)).metadata for number in self.shards)
        return sum(int((words or {}).get(b"failures", 0)) for words in told)

    def rows(
        self, query: Sequence[str] = (), *, maps: bool = True, shards: Sequence[int] | None = None
    ) -> Iterator[Row]:
        """The rows that meet all conditions, in the order of the listing; one shard is in memory.

        Args:
            query: conditions, see `parse_query`.
            maps: whether the maps are read too.
            shards: of which shards; None for all that are there.

        Raises:
            FuncamError: a condition can't be read, at once; a shard is damaged, when it is reached.

        Example:
            >>> for row in open_store("store").rows(["score < 0.5"]):  # doctest: +SKIP
            ...     print(row.path, row.figures.peak)
        """
        conditions = parse_query(query)
        numbers = self.shards if shards is None else shards
        return (row for number in numbers for row in self._rows(number, conditions, maps))

    def item(self, index: int) -> Item:
        """An image of the listing, so that it can be read again.

        Args:
            index: its place.

        Raises:
            FuncamError: there is no such image.
        """
        if not 0 <= index < self.count:
            raise FuncamError(f"there is no image {index:,} in the store; expected 0 to {self.count - 1:,}")
        number, place = divmod(index, self._sizes.shard)
        if self._listed[0] != number:  # whoever reads on reads the same shard's next
            self._listed = number, listed_run(self.folder, number, self._sizes.shard, self.count)
        return self._listed[1][place]

    @property
    def _numbers(self) -> range:
        return range(-(-self.count // self._sizes.shard))

    def _rows(self, number: int, conditions: Sequence[Condition], maps: bool) -> Iterator[Row]:
        path = shard_path(self.folder, number)
        data = read_bytes(path, most=MOST_BYTES)
        table = read_table(data, repr(str(path)), None if maps else _PLAIN)
        if table.column("index").slice(0, 1).to_pylist() != [number * self._sizes.shard]:
            raise FuncamError(
                f"{str(path)!r} holds the rows of another shard; remove it, and the same command makes it again"
            )
        yield from rows_of(kept(table, conditions), self._sizes.map_type)


def open_store(path: str | os.PathLike[str]) -> Store:
    """A store that `funcam batch` wrote, or is writing.

    Args:
        path: its folder.

    Raises:
        FuncamError: it is no store, or one of another version.

    Example:
        >>> store = open_store("store")  # doctest: +SKIP
        >>> sum(row.error is not None for row in store.rows(maps=False))  # doctest: +SKIP
        3
    """
    return Store(path)
