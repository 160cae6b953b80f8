"""A shard while it is made: batch by batch, each written when it is done, and all of them one file in the end."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from funcam.errors import FuncamError, whole_number
from funcam.files import MIB, exists, read_bytes, write_atomically
from funcam.sources import Item
from funcam.store.layout import part_path, shard_path
from funcam.store.listing import listed_count, listed_run
from funcam.store.question import question_letters, read_question, sizes_of
from funcam.store.rows import Row, arrow, read_table, rows_of, table_bytes, table_of

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
        self._parts: dict[int, Any] = {}
        self._known: dict[str, tuple[int, Row]] = {}
        self._halvings: dict[int, int] = {}
        self.whole = is_whole(self.folder, number, self._letters, len(self._items))
        if not self.whole:
            self._take_up()

    def missing(self) -> list[int]:
        """The batches that aren't there yet, in order."""
        return [] if self.whole else [batch for batch in range(self.batches) if batch not in self._parts]

    def items(self, batch: int) -> list[tuple[int, Item]]:
        """The images of a batch, each with its place in the listing."""
        first = batch * self._sizes.batch
        start = self.number * self._sizes.shard + first
        return list(enumerate(self._items[first : first + self._sizes.batch], start=start))

    def known(self, batch: int) -> dict[str, Row]:
        """The rows of earlier batches by their images' content, errors left out: what needs no second computation."""
        return {content: row for content, (place, row) in self._known.items() if place < batch}

    def halvings(self, batch: int) -> int:
        """How often a batch was halved because memory ran out, now or by the run that this one goes on with."""
        return self._halvings.get(batch, 0)

    def halve(self, batch: int) -> None:
        """Record that a batch is halved once more: whoever does it again halves it at once, to the same figures.

        Raises:
            FuncamError: it was halved too often already, or the disk is full.
        """
        times = self.halvings(batch) + 1
        if times > _MOST_HALVINGS:
            raise FuncamError("memory runs out even for one image; choose a smaller network or input")
        write_atomically(self._halved(batch), b"%d\n" % times, links=False)
        self._halvings[batch] = times

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
        self._keep(batch, data)  # as it is read, not as it came: after a kill it is that, too

    def finish(self) -> None:
        """Make one file of the batches, and remove them.

        Raises:
            FuncamError: a batch is missing, or the disk is full.
        """
        if self.missing():
            raise FuncamError(f"shard {self.number} lacks {len(self.missing())} batches; add them first")
        if not self.whole:
            table = arrow().concat_tables([self._parts[batch] for batch in range(self.batches)]).combine_chunks()
            told = {"question": self._letters, "halved": json.dumps(self._halvings, sort_keys=True)}
            write_atomically(shard_path(self.folder, self.number), table_bytes(table, told), links=False)
            self.whole = True
        for batch in range(self.batches):
            for path in (self._part(batch), self._halved(batch)):
                path.unlink(missing_ok=True)
        self._parts.clear()

    def _take_up(self) -> None:
        """What an earlier run wrote of this shard; what is damaged is done again."""
        for batch in range(self.batches):
            with suppress(FuncamError, ValueError):
                if exists(self._halved(batch)):
                    self._halvings[batch] = whole_number("halvings", int(read_bytes(self._halved(batch), most=MIB)), 0)
            with suppress(FuncamError):
                if exists(self._part(batch)):
                    self._keep(batch, read_bytes(self._part(batch), most=MOST_BYTES))

    def _keep(self, batch: int, data: bytes) -> None:
        table = read_table(data, repr(str(self._part(batch))))
        told = (table.schema.metadata or {}).get(b"question", b"").decode(errors="replace")
        if told != self._letters or table.num_rows != len(self.items(batch)):
            return
        rows = list(rows_of(table, self._sizes.map_type))
        self._parts[batch] = table.replace_schema_metadata(None)
        for row in rows:
            if row.content and not row.error and batch < self._known.get(row.content, (batch + 1,))[0]:
                self._known[row.content] = batch, row

    def _part(self, batch: int) -> Path:
        return part_path(self.folder, self.number, batch)

    def _halved(self, batch: int) -> Path:
        return part_path(self.folder, self.number, batch, "halved")


def is_whole(folder: Path, number: int, letters: str, rows: int) -> bool:
    """Whether a shard is there; a damaged one isn't.

    Args:
        folder: the store.
        number: of the shard.
        letters: of the store's question.
        rows: how many it has.

    Raises:
        FuncamError: it answers another question.

    Example:
        >>> is_whole(Path("no-such-store"), 0, "a1", 4096)
        False
    """
    path = shard_path(folder, number)
    if not exists(path):
        return False
    try:
        told = arrow().parquet.read_metadata(path)
    except Exception:  # cut off by a machine that lost its power
        return False
    if (told.metadata or {}).get(b"question", b"").decode(errors="replace") != letters:
        raise FuncamError(f"{str(path)!r} answers another question than the store; remove it, and it is made again")
    return bool(told.num_rows == rows)
