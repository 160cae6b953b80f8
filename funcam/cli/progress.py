"""What a terminal shows of a long command. Imported when it is drawn: Rich's progress is slow to load."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from funcam.cli.messages import console

_ROOM = 80  # columns of the terminal in which a bar has room beside a stage's name


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


@contextmanager
def comparison_bar(total: int, silent: bool) -> Iterator[Callable[[int], None]]:
    """A bar of images and networks, on a terminal; gives what to call with the number just done."""
    shown = console(stderr=True)
    if silent or not shown.is_terminal:
        yield lambda _count: None
        return
    columns = (
        TextColumn("comparing"),
        BarColumn(),
        MofNCompleteColumn(),
        ImagesPerSecond(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=shown, transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda count: progress.advance(task, count)


@contextmanager
def stage_bars(
    stages: Sequence[str], silent: bool
) -> Iterator[tuple[Callable[[int, int, int], None], Callable[[int], None]]]:
    """A bar for each stage of a search, one at a time, on a terminal.

    Args:
        stages: their names.
        silent: whether none is drawn.

    Returns:
        What to call at the start of a stage with its number (from 1), its recipes and its images; and what to call with
        the number of images just done.
    """
    shown = console(stderr=True)
    if silent or not shown.is_terminal:
        yield lambda _number, _recipes, _images: None, lambda _count: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=shown, transient=True) as progress:

        def start(number: int, recipes: int, images: int) -> None:
            for task in progress.task_ids:
                progress.remove_task(task)
            title = f"stage {number} of {len(stages)}"
            if shown.width >= _ROOM:
                title += f", {stages[number - 1]}: {recipes} recipe{'s' * (recipes != 1)}, images"
            progress.add_task(title, total=images)

        yield start, lambda count: progress.advance(progress.task_ids[-1], count)
