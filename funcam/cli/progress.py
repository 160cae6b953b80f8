"""What a terminal shows of a long command. Imported when it is drawn: Rich's progress is slow to load."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from funcam.cli.messages import complain, console

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

    def __init__(self, what: str, total: int, *, every: float = _EVERY, clock: Callable[[], float] = monotonic) -> None:
        self.what, self.total, self.every, self.clock = what, total, every, clock
        self.done, self.began = 0, clock()
        self.told = self.began

    def advance(self, count: int) -> None:
        """So many more are done; a line, if the last one was long ago."""
        self.done += count
        now = self.clock()
        if now - self.told >= self.every and 0 < self.done < self.total:
            self.told = now
            rate = self.done / max(now - self.began, 1e-9)
            left = _duration((self.total - self.done) / rate)
            complain(f"{self.what}: {self.done:,} of {self.total:,} images, {rate:.1f} images/s, {left} left")


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
def explaining_bar(shown: Console, total: int, silent: bool) -> Iterator[Callable[[], None]]:
    """A bar of several images, or lines where there is no terminal; gives what to call when one is done."""
    if not (silent or shown.is_terminal):
        lines = Lines("explaining", total)
        yield lambda: lines.advance(1)
        return
    hidden = silent or total == 1
    columns = (TextColumn("explaining"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=shown, transient=True, disable=hidden) as progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.advance(task)


@contextmanager
def resumable(
    advance: Callable[[int], None], shown: Console, silent: bool, total: int | None = None
) -> Iterator[Callable[[int], None]]:
    """What to call with the number done of work that goes on where an earlier run stopped, and says so.

    Args:
        advance: is called with each number, too.
        shown: where bars are drawn.
        silent: whether nothing is said of an earlier run, whose images are the first number; of Ctrl-C it is.
        total: how many there are; None where nobody knows.
    """
    counts: list[int] = []
    of = "" if total is None else f" of {total:,}"

    def tick(count: int) -> None:
        if count and not counts and not silent:
            print(f"{count:,}{of} images were measured before; going on", flush=True)  # no error; above a bar by Rich
        counts.append(count)
        advance(count)

    try:
        yield tick
    except KeyboardInterrupt:
        if sum(counts):
            complain(f"{sum(counts):,}{of} images are measured; the same command goes on", above=shown)
        raise


@contextmanager
def comparison_bar(total: int, silent: bool) -> Iterator[Callable[[int], None]]:
    """A bar of images and networks, or lines where there is no terminal; gives what to call with the number done."""
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
        advance = (lambda count: progress.advance(task, count)) if drawn or silent else lines.advance
        with resumable(advance, shown, silent, total) as tick:
            yield tick


@contextmanager
def stage_bars(
    stages: Sequence[str], silent: bool
) -> Iterator[tuple[Callable[[int, int, int], None], Callable[[int], None]]]:
    """A bar for each stage of a search, one at a time; elsewhere than on a terminal lines.

    Args:
        stages: their names.
        silent: whether none is drawn.

    Returns:
        What to call at the start of a stage with its number (from 1), its recipes and its images; and what to call with
        the number of images just done.
    """
    shown = bar_console()
    lines: list[Lines] = []
    drawn = shown.is_terminal and not silent
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=shown, transient=True, disable=not drawn) as progress:

        def start(number: int, recipes: int, images: int) -> None:
            lines.append(Lines(f"{stages[number - 1]} ({number})", images))
            for task in progress.task_ids:
                progress.remove_task(task)
            title = f"stage {number} of {len(stages)}"
            if shown.width >= _ROOM:
                title += f", {stages[number - 1]}: {recipes} recipe{'s' * (recipes != 1)}, images"
            progress.add_task(title, total=images)

        def advance(count: int) -> None:
            progress.advance(progress.task_ids[-1], count)
            if not drawn and not silent:
                lines[-1].advance(count)

        with resumable(advance, shown, silent) as tick:
            yield start, tick
