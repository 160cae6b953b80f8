"""The engine that needs nothing else: shard after shard, in this process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from funcam.bulk.asked import Asked
from funcam.bulk.ready import Images
from funcam.bulk.record import logged
from funcam.bulk.rows import Rows
from funcam.bulk.work import make_shard
from funcam.store import Shard, Writer

_MOST_WORKERS = 8


def run_local(asked: Asked, writer: Writer, done: Callable[[int, int], None], workers: int | None = None) -> None:
    """Make every shard that is missing.

    Args:
        asked: what is asked of every image.
        writer: the store.
        done: called with how many images of a batch are written, and how many of them have an error.
        workers: threads that read and decode; None for one a processor.

    Raises:
        FuncamError: the disk is full, or memory runs out even for one image.
    """
    threads = min(os.cpu_count() or 1, _MOST_WORKERS) if workers is None else workers
    rows = Rows(asked)
    with Images(asked.net, asked.fit, threads) as images:
        for number in writer.missing():
            started = time.monotonic()
            make_shard(images, rows, Shard(writer.folder, number), done)
            writer.log(logged("local", number, time.monotonic() - started))
