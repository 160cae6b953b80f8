"""What a run shows: on a terminal a progress bar and tables, elsewhere plain lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.suite.case import Group
from benchmarks.suite.records import Row
from benchmarks.suite.statistics import Quantiles

HEADINGS = (
    *("case", "p50", "p20 to p80", "n", "ratio", "p20 to p80", "first call", "images/s"),
    *("of the limit", "error", "peak MB", "+MB"),
)


def cells(row: Row) -> list[str]:
    """A row as text, one cell for each heading."""
    name = row.case if row.temperature == "warm" else f"{row.case} ({row.temperature})"
    if row.failed:
        return [name, f"failed: {row.failed}", *[""] * (len(HEADINGS) - 2)]
    assert row.seconds
    return [
        name,
        duration(row.seconds.p50),
        f"{duration(row.seconds.p20)} to {duration(row.seconds.p80)}",
        str(row.seconds.n),
        *_ratio(row.ratio),
        "" if row.first is None else duration(row.first),
        "" if row.images_per_second is None else f"{row.images_per_second:.3g}",
        "" if row.limit_shares is None else " / ".join(f"{share:.1%}" for share in row.limit_shares.values()),
        "" if row.error is None else f"{row.error:.1e}",
        *("" if size is None else f"{size / 1e6:.0f}" for size in (row.peak, row.above_start)),
    ]


def _ratio(ratio: Quantiles | None) -> tuple[str, str]:
    return ("", "") if ratio is None else (f"{ratio.p50:.2f}", f"{ratio.p20:.2f} to {ratio.p80:.2f}")


def duration(seconds: float) -> str:
    """Seconds in the unit that they are read in.

    Example:
        >>> duration(2.5), duration(0.0123), duration(4.56e-05)
        ('2.50 s', '12.3 ms', '45.6 us')
    """
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= scale:
            return f"{_three(seconds / scale)} {unit}"
    return f"{_three(seconds * 1e6)} us"


def _three(number: float) -> str:
    return f"{number:#.3g}".rstrip(".")


class Screen:
    """Where a run tells how far it is and what it found."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )

    def __enter__(self) -> Screen:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def over(self, suite: str, groups: Sequence[Group]) -> Iterator[Group]:
        """The groups of a suite, with a bar for how many of them are done."""
        task = self.progress.add_task(suite, total=len(groups))
        for group in groups:
            self.progress.update(task, description=f"{suite}: {group.title}")
            yield group
            self.progress.advance(task)
        self.progress.remove_task(task)

    def show(self, suite: str, title: str, rows: Sequence[Row]) -> None:
        """A group's rows."""
        if not self.console.is_terminal:
            for row in rows:
                print(suite, title, *filter(None, cells(row)), sep=" | ", flush=True)
            return
        table = Table(title=f"{suite}: {title}", title_justify="left")
        lines = [cells(row) for row in rows]
        used = [place for place in range(len(HEADINGS)) if any(line[place] for line in lines)]
        for place in used:
            table.add_column(HEADINGS[place], justify="right" if place else "left")
        for line in lines:
            table.add_row(*(line[place] for place in used))
        self.console.print(table)
