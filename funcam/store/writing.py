"""A store while it is written: the one process that may, the question that it answers, the images, the log."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from funcam.errors import FuncamError, json_text
from funcam.files import append, exists
from funcam.resuming.question import question_letters
from funcam.sources import Item
from funcam.store.changed import changed_shards
from funcam.store.layout import batches_there, locked, remove_parts, remove_shard, shard_path
from funcam.store.listing import listed_count, settle_listing
from funcam.store.question import settle_question, sizes_of
from funcam.store.rows import arrow
from funcam.store.shard import is_whole


class Writer:
    """A store to be written: begun, or gone on with where an earlier run stopped.

    Example:
        >>> with Writer("store", question) as writer:  # doctest: +SKIP
        ...     writer.list_items(list_items(["photos"]))
        ...     for number in writer.missing():
        ...         make(Shard("store", number))
    """

    def __init__(self, path: str | os.PathLike[str], question: Mapping[str, Any]) -> None:
        """Take a folder for a store.

        Args:
            path: the folder; it is made where there is none.
            question: everything that the rows depend on, as JSON can say it, with `map_type`, `shard_size` and
                `batch_size`.

        Raises:
            FuncamError: another process writes to it, it answers another question, or is no store.
        """
        arrow()
        self._sizes, self._letters = sizes_of(question), ""
        self._lock = ExitStack()
        self.folder = self._lock.enter_context(locked(Path(path)))
        try:
            settle_question(self.folder, question)
            self._letters = question_letters(question)
            self.count = listed_count(self.folder) or 0
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Let others write."""
        self._lock.close()

    def list_items(self, items: Iterable[Item] | None) -> None:
        """List the images of the source, or find that they are those that are listed.

        Args:
            items: the images; None for those that are listed.

        Raises:
            FuncamError: the source has changed since it was listed, there is none, or the disk is full.
        """
        if items is not None:
            self.count = settle_listing(self.folder, items, self._sizes.shard)
        elif not self.count:
            raise FuncamError(f"the images of {str(self.folder)!r} aren't all listed yet; give the source")

    def forget_changed(self) -> int:
        """Remove the shards of images that have changed since, so that they are made anew.

        Returns:
            How many there were.
        """
        found = list(changed_shards(self.folder, self.count, self._sizes.shard))
        for number in found:
            remove_shard(self.folder, number)
        return len(found)

    @property
    def shards(self) -> int:
        """How many shards there are to be."""
        return -(-self.count // self._sizes.shard)

    def missing(self) -> list[int]:
        """The shards that aren't whole yet.

        Raises:
            FuncamError: one answers another question.
        """
        run, whole = self._sizes.shard, set()
        for number in range(self.shards):
            first = number * run
            if is_whole(self.folder, number, self._letters, first, min(run, self.count - first)):
                whole.add(number)
        remove_parts(self.folder, whole)
        return [number for number in range(self.shards) if number not in whole]

    def written(self) -> int:
        """How many images have their row, in shards that are whole and in batches of others: files are counted."""
        run, batch = self._sizes.shard, self._sizes.batch
        whole = {number for number in range(self.shards) if exists(shard_path(self.folder, number))}
        images = sum(min(run, self.count - number * run) for number in whole)
        for number, part in batches_there(self.folder):
            if number not in whole:
                images += max(0, min(batch, run - part * batch, self.count - number * run - part * batch))
        return images

    def log(self, told: Mapping[str, Any]) -> None:
        """Write a line to the log, which is no part of what the store is.

        Args:
            told: what JSON can say: seconds, a host, retries.

        Raises:
            FuncamError: the disk is full.
        """
        append(self.folder / "log.jsonl", f"{json_text(dict(told))}\n".encode(errors="backslashreplace"))
