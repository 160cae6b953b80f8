"""What a terminal shows of a long command. Imported when it is drawn: Rich's progress is slow to load."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import NamedTuple

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from funcam.cli.messages import complain, console
from funcam.resuming.words import stopped, told_before

MEASURED = "measured"
_EVERY = 10.0  # seconds between the lines that stand for a bar where there is no terminal
_ROOM = 78  # columns in which a bar has room beside a stage's name


class ImagesPerSecond(ProgressColumn):
    """How many images are done in a second; empty until the first ones are, when nobody knows.

    Example:
        >>> from rich.progress import Progress
        >>> progress = Progress()
        >>> task = progress.add_task("comparing")
        >>> ImagesPerSecond().render(progress.tasks[task]).plain
        ''
    """

    def render(self, task: Task) -> Text:
        """The rate as Rich has it at this moment."""
        return Text("" if task.speed is None else f"{task.speed:.1f} images/s", style="progress.data.speed")


def bar_console() -> Console:
    """Where a bar is drawn: standard error, less the two columns in which a terminal echoes Ctrl-C.

    In a row that is full the echo would move the cursor on, and the bar would stay when it is to be gone.
    """
    shown = console(stderr=True)
    shown.width = max(1, shown.width - len("^C"))
    return shown


class Lines:
    """A plain line now and then where no bar can be drawn: how much is done, how fast, and how long it will take."""

    def __init__(
        self,
        what: str,
        total: int,
        *,
        unit: str = "images",
        every: float = _EVERY,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.what, self.total, self.unit, self.every, self.clock = what, total, unit, every, clock
        self.done = self.before = self.failures = 0
        self.began = self.told = clock()

    def skip(self, count: int) -> None:
        """So many were done by an earlier run: they tell nothing of how fast this one is."""
        self.done += count
        self.before += count

    def advance(self, count: int, failures: int = 0) -> None:
        """So many more are done, some of them with an error; a line, if the last one was long ago."""
        self.done += count
        self.failures += failures
        now = self.clock()
        if now - self.told >= self.every and self.before < self.done < self.total:
            self.told = now
            rate = (self.done - self.before) / max(now - self.began, 1e-9)
            left = _duration((self.total - self.done) / rate)
            failed = f", {self.failures:,} failed" if self.failures else ""
            done = f"{self.what}: {self.done:,} of {self.total:,} {self.unit}"
            complain(f"{done}, {rate:.1f} {self.unit}/s, {left} left{failed}")


def _duration(seconds: float) -> str:
    """A time in the unit in which people tell it.

    Example:
        >>> _duration(40), _duration(400), _duration(40000)
        ('40 s', '7 min', '11 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h"


@contextmanager
def explaining_bar(shown: Console, total: int, silent: bool, what: str = "explaining") -> Iterator[Callable[[], None]]:
    """A bar of several images, or lines where there is no terminal; gives what to call when one is done."""
    if not (silent or shown.is_terminal):
        lines = Lines(what, total)
        yield lambda: lines.advance(1)
        return
    hidden = silent or total == 1
    columns = (TextColumn(what), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=shown, transient=True, disable=hidden) as progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.advance(task)


class Ticks(NamedTuple):
    """What to call with numbers of images.

    Attributes:
        tick: so many were done just now.
        earlier: so many were done by an earlier run.
        timed: so many recipes were timed just now, of a stage that has no images.
    """

    tick: Callable[[int], None]
    earlier: Callable[[int], None]
    timed: Callable[[int], None] = lambda _count: None


@contextmanager
def resumable(to: Ticks, shown: Console, silent: bool, total: int | None = None) -> Iterator[Ticks]:
    """What to call with the number done of work that goes on where an earlier run stopped, and says so.

    Args:
        to: is called with each number, too.
        shown: where bars are drawn.
        silent: whether nothing is said of an earlier run; of Ctrl-C it is.
        total: how many there are; None where nobody knows.
    """
    counts: list[int] = []

    def tick(count: int) -> None:
        counts.append(count)
        to.tick(count)

    def earlier(count: int) -> None:
        if count and not counts and not silent:
            print(told_before(count, total, MEASURED), flush=True)  # no error; above a bar by Rich
        counts.append(count)
        to.earlier(count)

    try:
        yield Ticks(tick, earlier, to.timed)
    except KeyboardInterrupt:
        if sum(counts):
            complain(stopped(sum(counts), total, MEASURED), above=shown)
        raise


def skip(progress: Progress, task: TaskID, count: int) -> None:
    """So many more were done before: to advance a bar by them would count as this run's speed."""
    progress.reset(task, completed=int(progress.tasks[progress.task_ids.index(task)].completed) + count)


@contextmanager
def comparison_bar(total: int, silent: bool, quiet: bool) -> Iterator[Ticks]:
    """A bar of images and networks, or lines where none is drawn; gives what to call with the number done.

    Args:
        total: how many there are.
        silent: whether no bar is drawn.
        quiet: whether there are no lines either.
    """
    shown = bar_console()
    columns = (
        TextColumn("comparing"),
        BarColumn(),
        MofNCompleteColumn(),
        ImagesPerSecond(),
        TimeRemainingColumn(),
    )
    drawn = shown.is_terminal and not silent
    with Progress(*columns, console=shown, transient=True, disable=not drawn) as progress:
        task = progress.add_task("", total=total)
        lines = Lines("comparing", total)

        def advance(count: int) -> None:
            progress.advance(task, count)
            if not (drawn or quiet):
                lines.advance(count)

        def earlier(count: int) -> None:
            skip(progress, task, count)
            lines.skip(count)

        with resumable(Ticks(advance, earlier), shown, silent, total) as ticks:
            yield ticks


@contextmanager
def stage_bars(
    stages: Sequence[str], silent: bool, quiet: bool
) -> Iterator[tuple[Callable[[int, int, int], None], Ticks]]:
    """A bar for each stage of a search, one at a time; lines where none is drawn.

    Args:
        stages: their names.
        silent: whether no bar is drawn, and no stage told when it begins.
        quiet: whether there are no lines now and then either.

    Returns:
        What to call at the start of a stage with its number (from 1), its recipes and its images, 0 where they are not
        counted; and with the numbers of images that are done.
    """
    shown = bar_console()
    lines: list[Lines] = []
    drawn = shown.is_terminal and not silent
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=shown, transient=True, disable=not drawn) as progress:

        def start(number: int, recipes: int, images: int) -> None:
            unit, total = ("images", images) if images else ("recipes", recipes)
            lines.append(Lines(f"{stages[number - 1]} ({number})", total, unit=unit))
            for task in progress.task_ids:
                progress.remove_task(task)
            title = f"stage {number} of {len(stages)}"
            whole = f"{title}, {stages[number - 1]}: {recipes} recipe{'s' * (recipes != 1)}"
            if not (drawn or silent):
                complain(f"{whole}, {images:,} images" if images else whole)
            if shown.width >= _ROOM:
                title = f"{whole}, images" if images else whole
            progress.add_task(title, total=total)

        def advance(count: int) -> None:
            progress.advance(progress.task_ids[-1], count)
            if not (drawn or quiet):
                lines[-1].advance(count)

        def earlier(count: int) -> None:
            skip(progress, progress.task_ids[-1], count)
            lines[-1].skip(count)

        with resumable(Ticks(advance, earlier, advance), shown, silent) as ticks:
            yield start, ticks
