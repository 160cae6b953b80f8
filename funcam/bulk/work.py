"""What makes a shard of a store: read, explain, write, all three at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing

from funcam.bulk.ready import Images, Ready
from funcam.bulk.rows import OutOfMemory, Rows
from funcam.store import Row, Shard
from funcam.streaming.in_order import in_order


def make_shard(images: Images, rows: Rows, shard: Shard, done: Callable[[int, int], None]) -> None:
    """Make what is missing of a shard, and the shard of it.

    While a batch is before the network, images of the next ones are read and decoded, and the one before is
    written.

    Args:
        images: reads.
        rows: explains.
        shard: what is made.
        done: called with how many images of a batch are written, and how many of them have an error.

    Raises:
        FuncamError: the disk is full, or memory runs out even for one image.
    """

    def write(batch: tuple[int, list[Row]]) -> Sequence[Row]:
        shard.add(*batch)
        return batch[1]

    explained = ((batch, explain_batch(rows, shard, batch, read)) for batch, read in images.missing_of(shard))
    with closing(in_order(write, explained, workers=1, ahead=1)) as outcomes:  # Ctrl-C: what is begun is written
        for outcome in outcomes:
            written = outcome.get()
            done(len(written), sum(row.error is not None for row in written))
    shard.finish()


def explain_batch(rows: Rows, shard: Shard, batch: int, images: Sequence[Ready]) -> list[Row]:
    """The rows of a batch, halved until memory is enough for a part: then, and whenever it is made again.

    Args:
        rows: explains.
        shard: where it is kept how often the batch was halved.
        batch: its number.
        images: its images.

    Raises:
        FuncamError: memory runs out even for one image.
    """
    while True:
        try:
            return rows.of(images, 2 ** shard.halvings(batch))
        except OutOfMemory:
            shard.halve(batch)
