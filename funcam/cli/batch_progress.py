"""How far `funcam batch` is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from funcam.cli.progress import ImagesPerSecond, Lines, bar_console
from funcam.resuming.words import told_before


class Told:
    """What is done in this run: `images`, `failures` among them with an error."""

    def __init__(self, bar: Progress | None = None, lines: Lines | None = None) -> None:
        self.images = self.failures = 0
        self._bar, self._lines = bar, lines

    def add(self, images: int, failures: int) -> None:
        """So many more images are done."""
        self.images += images
        self.failures += failures
        if self._bar is not None:
            failed = f"{self.failures:,} failed" if self.failures else ""
            self._bar.update(self._bar.task_ids[0], advance=images, failed=failed)
        if self._lines is not None:
            self._lines.advance(images, failures)


@contextmanager
def batch_progress(left: int, count: int, quiet: bool, verb: str, how: str, *, what: str = "images") -> Iterator[Told]:
    """What to tell of images that are done.

    Args:
        left: images to do.
        count: images of the store.
        quiet: whether nothing is shown.
        verb: what is done with them.
        how: what was done with those that are.
        what: what comes of it.
    """
    shown = bar_console()
    if quiet or not left:
        yield Told()
        return
    if left < count:
        print(told_before(count - left, count, how, what=what), flush=True)
    if not shown.is_terminal:
        lines = Lines(verb, count)
        lines.skip(count - left)
        yield Told(lines=lines)
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
        yield Told(bar=bar)
