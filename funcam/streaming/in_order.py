"""A stage that runs in worker threads, some items ahead of whoever takes its results, in order.

Threads, not processes: what decodes, draws and encodes lets go of Python's lock, a thread dies with its process, and
nothing has to be copied to it. Torch stays in the thread that takes the results.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

from funcam.streaming.outcome import Outcome, outcome_of

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 16
"""So many items a stage is ahead of the next one, or fewer large ones."""

_MOST_WORKERS = 4

MOST_BYTES = 2**27
"""About so many bytes a stage may be ahead of the next one."""


def worker_count() -> int:
    """How many threads a stage has: one for each processor that the process may use, few enough that they don't wait
    for each other.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(_MOST_WORKERS, usable or 1)


def in_order(
    function: Callable[[T], R],
    items: Iterable[T],
    workers: int,
    *,
    size_of: Callable[[T], int] = lambda _item: 0,
    ahead: int = AHEAD,
    most_bytes: int = MOST_BYTES,
) -> Generator[Outcome[T, R], None, None]:
    """What a function makes of each item, in the items' order.

    Whoever stops taking closes the generator (Ctrl-C does): what has not begun is left, what has is waited for, so
    that no file is half written and no thread is left behind.

    Args:
        function: called in a worker thread; what it raises is the item's error.
        items: taken one by one, in the caller's thread, as there is room.
        workers: how many threads; with none the function is called in the caller's thread, item by item.
        size_of: about how many bytes an item takes until its result is taken.
        ahead: so many items may be under way.
        most_bytes: so many bytes may be; one item always is.

    Example:
        >>> [outcome.value for outcome in in_order(abs, [-3, 2, -1], workers=2)]
        [3, 2, 1]
    """
    if not workers:
        yield from (outcome_of(item, lambda item=item: function(item)) for item in items)  # type: ignore[misc]
        return
    with ThreadPoolExecutor(workers, "funcam") as pool:
        window = _Window(function, pool)
        try:
            for item in items:
                size = size_of(item)
                while window.is_full(size, ahead, most_bytes):
                    yield window.first()
                window.add(item, size)
                if window.has_one:  # one out for one in: the stage stays as far ahead as it is
                    yield window.first()
            while window.waiting:
                yield window.first()
        finally:
            window.finish()


class _Window(Generic[T, R]):
    """What is under way of a stage."""

    def __init__(self, function: Callable[[T], R], pool: ThreadPoolExecutor) -> None:
        self.waiting: deque[tuple[T, int, Future[R]]] = deque()
        self._function, self._pool, self._bytes = function, pool, 0

    @property
    def has_one(self) -> bool:
        """Whether the first is done."""
        return bool(self.waiting) and self.waiting[0][2].done()

    def is_full(self, size: int, ahead: int, most_bytes: int) -> bool:
        """Whether another of this size has no room."""
        return bool(self.waiting) and (len(self.waiting) >= ahead or self._bytes + size > most_bytes)

    def add(self, item: T, size: int) -> None:
        self.waiting.append((item, size, self._pool.submit(self._function, item)))
        self._bytes += size

    def finish(self) -> None:
        """Begin nothing more, and wait for what has begun.

        Another Ctrl-C doesn't hurry it: Python itself would wait for its threads at its end.
        """
        running = [future for _, _, future in self.waiting if not future.cancel()]
        while True:
            try:
                wait(running)
                return
            except KeyboardInterrupt:
                continue

    def first(self) -> Outcome[T, R]:
        item, size, future = self.waiting[0]
        outcome = outcome_of(item, future.result)
        self.waiting.popleft()  # not before: who is interrupted while it waits has to find it there
        self._bytes -= size
        return outcome
