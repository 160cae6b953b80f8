"""How far `funcam batch` is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from funcam.cli.progress import ImagesPerSecond, bar_console

_EVERY = 30.0
"""Seconds between two lines."""


class Told:
    """What is done in this run: `images`, `failures` among them with an error."""

    def __init__(self, left: int, bar: Progress | None = None, lines: bool = False) -> None:
        self.images = self.failures = 0
        self._left, self._bar, self._lines = left, bar, lines
        self._started = self._last = time.monotonic()

    def add(self, images: int, failures: int) -> None:
        """So many more images are done."""
        self.images += images
        self.failures += failures
        if self._bar is not None:
            failed = f"{self.failures:,} failed" if self.failures else ""
            self._bar.update(self._bar.task_ids[0], advance=images, failed=failed)
        elif self._lines and time.monotonic() - self._last >= _EVERY:
            self._last = time.monotonic()
            print(self._line(), file=sys.stderr, flush=True)

    def _line(self) -> str:
        rate = self.images / max(time.monotonic() - self._started, 1e-9)
        minutes = (self._left - self.images) / max(rate, 1e-9) / 60
        failed = f", {self.failures:,} failed" if self.failures else ""
        return f"funcam: {self.images:,} of {self._left:,}, {rate:.1f} images/s, {minutes:.0f} min left{failed}"


@contextmanager
def batch_progress(
    left: int, count: int, quiet: bool, verb: str = "explaining", what: str = "images"
) -> Iterator[Told]:
    """What to tell of images that are done.

    Args:
        left: images to do.
        count: images of the store.
        quiet: whether nothing is shown.
        verb: what is done with them.
        what: what comes of it.
    """
    shown = bar_console()
    if quiet or not left:
        yield Told(left)
        return
    if left < count:
        shown.print(f"funcam: {count - left:,} of {count:,} {what} are there; going on", markup=False, soft_wrap=True)
    if not shown.is_terminal:
        yield Told(left, lines=True)
        return
    columns = (
        TextColumn(verb),
        BarColumn(),
        MofNCompleteColumn(),
        ImagesPerSecond(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failed]}"),
    )
    with Progress(*columns, console=shown, transient=True) as bar:
        bar.add_task("", total=left, failed="")
        yield Told(left, bar=bar)
