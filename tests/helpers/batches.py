"""A store that is written as a batch writes it, with maps that are drawn instead of explained; also as a program.

python tests/helpers/batches.py SOURCE STORE    # goes on where it stopped; a line for each batch that it does
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from funcam.sources import Item, Reader, list_items
from funcam.store import Row, Shard, Writer, content_hash, figures

QUESTION: dict[str, Any] = {
    "net": {"name": "drawn", "weights": "a1"},
    "layer": "last",
    "classes": [3],
    "map_type": "float16",
    "shard_size": 10,
    "batch_size": 4,
}
IDENTITY = ("lock", "log.jsonl")
"""What is no part of what a store is."""


def row_of(index: int, item: Item, reader: Reader, known: set[tuple[str, str | None]]) -> Row:
    """What a network that draws says of an image: its map follows from its bytes."""
    try:
        data = reader.read(item)
    except ValueError as error:
        return Row(index, item.path, item.label, error=str(error))
    content = content_hash(data)
    if (content, item.label) in known:
        return Row(index, item.path, item.label, content)
    known.add((content, item.label))
    drawn = np.random.default_rng(int(content[:15], 16)).standard_normal((1, 7, 7)).astype(np.float32)
    top = ((3, float(drawn[0, 0, 0])), (1, 0.25))
    return Row(index, item.path, item.label, content, 8, 6, top, 3, 0.5, figures(drawn)[0], drawn[0])


def fill(path: str, number: int) -> Iterator[int]:
    """Make a shard; the batches that are done."""
    shard, known = Shard(path, number), set[tuple[str, str | None]]()
    missing = shard.missing()
    with Reader() as reader:
        for batch in range(shard.batches):
            if batch not in missing:
                known |= shard.contents(batch)
                continue
            shard.add(batch, [row_of(index, item, reader, known) for index, item in shard.items(batch)])
            yield batch
    shard.finish()


def write_store(source: str, path: str, question: dict[str, Any] = QUESTION) -> list[tuple[int, int]]:
    """Make a store, or complete it; the batches that were done, each by its shard and number."""
    done = []
    with Writer(path, question) as writer:
        writer.list_items(list_items([source]))
        for number in writer.missing():
            for batch in fill(path, number):
                done.append((number, batch))
                print(number, batch, flush=True)
    return done


def content_of(path: str | Path) -> dict[str, bytes]:
    """What a store is: its files, but for the log and the lock."""
    files = [file for file in sorted(Path(path).rglob("*")) if file.is_file() and file.name not in IDENTITY]
    return {os.fspath(file.relative_to(path)): file.read_bytes() for file in files}


if __name__ == "__main__":
    write_store(sys.argv[1], sys.argv[2])
