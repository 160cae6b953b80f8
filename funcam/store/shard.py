"""A shard while it is made: batch by batch, each written when it is done, and all of them one file in the end."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from funcam.errors import FuncamError, whole_number
from funcam.files import MIB, exists, read_bytes, write_atomically
from funcam.resuming.question import question_letters
from funcam.sources import Item
from funcam.store.layout import part_path, shard_path
from funcam.store.listing import listed_count, listed_run
from funcam.store.question import read_question, sizes_of
from funcam.store.rows import Row, arrow, read_table, repeated, rows_of, table_bytes, table_of

MOST_BYTES = 2048 * MIB
_MOST_HALVINGS = 16


class Shard:
    """A fixed run of the listing in fixed batches, made by one worker, on whatever machine sees the folder.

    Example:
        >>> shard = Shard("store", 3)  # doctest: +SKIP
        >>> for batch in shard.missing():  # doctest: +SKIP
        ...     shard.add(batch, [explained(index, item) for index, item in shard.items(batch)])
        >>> shard.finish()  # doctest: +SKIP
    """

    def __init__(self, path: str | os.PathLike[str], number: int) -> None:
        self.folder, self.number = Path(path), number
        self.question = read_question(self.folder)
        self._sizes, self._letters = sizes_of(self.question), question_letters(self.question)
        count = listed_count(self.folder)
        if count is None:
            raise FuncamError(f"the images of {str(path)!r} aren't listed yet; list them first")
        self._items = listed_run(self.folder, number, self._sizes.shard, count)
        self.batches = -(-len(self._items) // self._sizes.batch)
        self.whole = is_whole(self.folder, number, self._letters, number * self._sizes.shard, len(self._items))

    def missing(self) -> list[int]:
        """The batches that aren't there yet, in order."""
        return [] if self.whole else [batch for batch in range(self.batches) if batch not in self._parts]

    def items(self, batch: int) -> list[tuple[int, Item]]:
        """The images of a batch, each with its place in the listing."""
        first = batch * self._sizes.batch
        start = self.number * self._sizes.shard + first
        return list(enumerate(self._items[first : first + self._sizes.batch], start=start))

    def contents(self, batch: int) -> set[tuple[str, str | None]]:
        """The contents of the images of a batch that is there, each with the class that the source tells."""
        told = self._parts[batch].select(["content", "label"]).to_pylist()
        return {(cells["content"], cells["label"]) for cells in told if cells["content"]}

    def halvings(self, batch: int) -> int:
        """How often a batch was halved because memory ran out, now or by the run that this one goes on with."""
        path = self._halved(batch)
        with suppress(FuncamError, ValueError):  # what is damaged is found out anew
            return whole_number("halvings", int(read_bytes(path, most=MIB)), 0) if exists(path) else 0
        return 0

    def halve(self, batch: int) -> None:
        """Record that a batch is halved once more: whoever does it again halves it at once, to the same figures.

        Raises:
            FuncamError: it was halved too often already, or the disk is full.
        """
        times = self.halvings(batch) + 1
        if times > _MOST_HALVINGS:
            raise FuncamError("memory runs out even for one image; choose a smaller network or input")
        write_atomically(self._halved(batch), b"%d\n" % times, links=False)

    def add(self, batch: int, rows: Sequence[Row]) -> None:
        """Write the rows of a batch, all of them or none.

        Args:
            batch: its number.
            rows: a row for each of `items(batch)`, in their order.

        Raises:
            FuncamError: they are other rows, a map can't be kept, or the disk is full.
        """
        expected = [index for index, _ in self.items(batch)]
        if [row.index for row in rows] != expected or not expected:
            raise FuncamError(f"batch {batch} of shard {self.number} was given other rows; expected {len(expected)}")
        data = table_bytes(table_of(rows, self._sizes.map_type), {"question": self._letters})
        write_atomically(self._part(batch), data, links=False)
        if "_parts" in self.__dict__:  # who only adds need not read what others added
            self._parts[batch] = self._table(batch, data)  # as it is read, not as it came: after a kill it is that, too

    def finish(self) -> None:
        """Make one file of the batches, and remove them.

        Raises:
            FuncamError: a batch is missing, or the disk is full.
        """
        if self.missing():
            raise FuncamError(f"shard {self.number} lacks {len(self.missing())} batches; add them first")
        if not self.whole:
            table = repeated(arrow().concat_tables([self._parts[batch] for batch in range(self.batches)]))
            failures = len(table) - table.column("error").null_count
            halved = {batch: times for batch in range(self.batches) if (times := self.halvings(batch))}
            told = {"question": self._letters, "halved": json.dumps(halved), "failures": str(failures)}
            write_atomically(shard_path(self.folder, self.number), table_bytes(table, told), links=False)
            self.whole = True
        for batch in range(self.batches):
            for path in (self._part(batch), self._halved(batch)):
                path.unlink(missing_ok=True)
        self._parts.clear()

    @cached_property
    def _parts(self) -> dict[int, Any]:
        """The batches that are there, of this run and of one that it goes on with; what is damaged is done again."""
        found: dict[int, Any] = {}
        for batch in range(self.batches if not self.whole else 0):
            with suppress(FuncamError):
                if exists(self._part(batch)):
                    found[batch] = self._table(batch, read_bytes(self._part(batch), most=MOST_BYTES))
        return found

    def _table(self, batch: int, data: bytes) -> Any:
        """A batch as it was written.

        Raises:
            FuncamError: it is damaged, or another one.
        """
        table = read_table(data, repr(str(self._part(batch))))
        told = (table.schema.metadata or {}).get(b"question", b"").decode(errors="replace")
        if told != self._letters or table.column("index").to_pylist() != [index for index, _ in self.items(batch)]:
            raise FuncamError(f"{str(self._part(batch))!r} is of another store; remove it, and it is made again")
        list(rows_of(table, self._sizes.map_type))  # none of which is damaged
        return table.replace_schema_metadata(None)

    def _part(self, batch: int) -> Path:
        return part_path(self.folder, self.number, batch)

    def _halved(self, batch: int) -> Path:
        return part_path(self.folder, self.number, batch, "halved")


def is_whole(folder: Path, number: int, letters: str, first: int, rows: int) -> bool:
    """Whether a shard is there; a damaged one isn't, nor one that holds another's rows.

    Args:
        folder: the store.
        number: of the shard.
        letters: of the store's question.
        first: the place of its first image in the listing.
        rows: how many it has.

    Raises:
        FuncamError: it answers another question.

    Example:
        >>> is_whole(Path("no-such-store"), 0, "a1", 0, 4096)
        False
    """
    path = shard_path(folder, number)
    if not exists(path):
        return False
    try:
        told = arrow().parquet.read_metadata(path)
        begins = told.row_group(0).column(0).statistics.min
    except Exception:  # cut off by a machine that lost its power
        return False
    if (told.metadata or {}).get(b"question", b"").decode(errors="replace") != letters:
        raise FuncamError(f"{str(path)!r} answers another question than the store; remove it, and it is made again")
    return bool(told.num_rows == rows and begins == first)
