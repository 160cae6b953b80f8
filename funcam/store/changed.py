"""Images that have changed under their names since their rows were written: found, as `make` finds them, by times."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from funcam.errors import FuncamError
from funcam.files import exists, read_bytes
from funcam.resuming.content import content_hash
from funcam.sources import Item, Reader
from funcam.store.layout import batches_there, part_path, shard_path
from funcam.store.listing import listed_run
from funcam.store.rows import COLUMNS, arrow, read_table
from funcam.store.shard import MOST_BYTES


def changed_shards(folder: Path, count: int, run: int) -> Iterator[int]:
    """The shards, whole or begun, with the row of an image that holds something else by now.

    Only files that were touched after the row was written are read again, and those that could not be read then: a
    disk may have been missing. One that is gone, and what lies at an address, counts as it was.

    Args:
        folder: the store.
        count: images in all.
        run: images of a shard.

    Example:
        >>> list(changed_shards(Path("store"), 100_000, 4096))  # doctest: +SKIP
        [3]
    """
    begun = batches_there(folder)
    with Reader() as reader:
        for number in range(-(-count // run)):
            whole = shard_path(folder, number)
            parts = [part_path(folder, number, part) for shard, part in begun if shard == number]
            written = [whole] if exists(whole) else parts
            items = dict(enumerate(listed_run(folder, number, run, count), number * run)) if written else {}
            if any(_has_changed(path, items, reader) for path in written):
                yield number


def _has_changed(path: Path, items: Mapping[int, Item], reader: Reader) -> bool:
    """Whether one of the images whose rows are in a file has."""
    since = path.stat().st_mtime_ns
    late = {file for file in {item.place.file for item in items.values()} if _touched(file) >= since}
    touched = {index for index, item in items.items() if item.place.file in late}
    if touched or _has_unread(path):
        with suppress(FuncamError):  # a damaged file is found where it is used
            table = read_table(read_bytes(path, most=MOST_BYTES), repr(str(path)), ["index", "content"])
            rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
            asked = ((items[index], content) for index, content in rows if index in touched or content is None)
            return any(_differs(item, content, reader) for item, content in asked)
    return False


def _has_unread(path: Path) -> bool:
    """Whether one of the images whose rows are in a file could not be read; the file's own statistics tell it."""
    with suppress(Exception):  # a damaged file is found where it is used
        told = arrow().parquet.read_metadata(path)
        content = list(COLUMNS).index("content")
        return any(told.row_group(part).column(content).statistics.null_count for part in range(told.num_row_groups))
    return False


def _touched(file: str) -> int:
    """When a file, or the link to it, was last written, renamed or put in its place; 0 where that can't be told."""
    try:
        return max(time for told in (os.stat(file), os.lstat(file)) for time in (told.st_mtime_ns, told.st_ctime_ns))
    except (OSError, ValueError):
        return 0


def _differs(item: Item, content: str | None, reader: Reader) -> bool:
    try:
        return content_hash(reader.read(item)) != content
    except FuncamError:
        return False
