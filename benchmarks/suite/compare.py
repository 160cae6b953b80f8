"""`python -m benchmarks compare A B`: what became slower between two runs on the same machine."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.arguments import positive

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.suite.records import Report, Row
    from benchmarks.suite.statistics import Quantiles

HISTORY = "losses.jsonl"
UNKNOWN = "unknown"
"""What reports from before this was noted say."""


@dataclass(frozen=True)
class Change:
    """A case in two runs.

    Attributes:
        name: suite, group, case and temperature.
        figure: `ratio` where both runs have it (what the machine does meets baseline and case alike), else `seconds`.
        before: the earlier median.
        after: the later.
        apart: whether the middle 60 % of the two samples don't touch.
    """

    name: str
    figure: str
    before: float
    after: float
    apart: bool

    @property
    def factor(self) -> float:
        """How many times as long it takes; above 1 is slower."""
        return self.after / self.before if self.before else float("inf")

    def is_loss(self, fail_above: float) -> bool:
        """Slower by more than a factor, and by more than the noise of either run."""
        return self.factor > fail_above and self.apart


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("before", type=Path, metavar="A", help="a folder of results, or one of its files")
    parser.add_argument("after", type=Path, metavar="B", help="another")
    parser.add_argument(
        "--fail-above", type=positive, default=1.15, metavar="X", help="slower by this factor fails (1.15)"
    )
    parser.add_argument("--all", action="store_true", help="show every case, not only what changed by the factor")
    parser.add_argument("--history", type=Path, metavar="FILE", help=f"where losses are kept ({HISTORY} beside B)")


def main(arguments: argparse.Namespace) -> int:
    """The exit status is 1 where something became slower, 2 where the two can't be compared."""
    from benchmarks.suite.records import reports_in

    try:
        before, after = reports_in(arguments.before), reports_in(arguments.after)
        check_comparable(before, after)
        changes, gone, new = changes_between(before, after)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    losses = [change for change in changes if change.is_loss(arguments.fail_above)]
    for change in sorted(changes, key=lambda change: -change.factor):
        shown = arguments.all or change.factor > arguments.fail_above or change.factor < 1 / arguments.fail_above
        if shown:
            print(_line(change, arguments.fail_above))
    if arguments.all:
        print(*(f"only in A: {name}" for name in gone), *(f"only in B: {name}" for name in new), sep="\n")
    print(
        f"{len(changes)} cases compared, {len(losses)} slower by more than {arguments.fail_above:g}; "
        f"{len(gone)} are only in A, {len(new)} only in B"
    )
    if losses:
        beside = arguments.after if arguments.after.is_dir() else arguments.after.parent
        _keep(arguments.history or beside / HISTORY, losses, before, after)
    return int(bool(losses))


def check_comparable(before: list[Report], after: list[Report]) -> None:
    """Raise for runs of two machines, devices or clocks: their times say nothing about each other.

    Raises:
        ValueError: a suite's two runs differ; the message says in what. Or one side has it twice.
    """
    old, new = _by_suite("A", before), _by_suite("B", after)
    for suite in old.keys() & new.keys():
        for what, one in _kind_of(old[suite]).items():
            other = _kind_of(new[suite])[what]
            if one != other and UNKNOWN not in (one, other):
                raise ValueError(
                    f"A and B differ in {what} ({one}; {other}), by {suite}; compare runs of the same kind"
                )


def _by_suite(side: str, reports: list[Report]) -> dict[str, Report]:
    found: dict[str, Report] = {}
    for report in reports:
        if report.suite in found:
            raise ValueError(
                f"{side} has {report.suite} more than once, of several machines, or quick and whole; "
                "give the folder of one machine and one torch"
            )
        found[report.suite] = report
    return found


def _kind_of(report: Report) -> dict[str, str]:
    """What two runs have to have in common, in words."""
    machine = {name: _told(report.machine.get(name)) for name in ("processor", "cores", "card")}
    machine["instructions"] = report.machine.get("instructions", UNKNOWN)
    timer = {name: report.timer.get(name) for name in ("device", "clock", "threads")}
    return {name: str(value) for name, value in {**machine, **timer, "quick": report.quick}.items()}


def _told(value: object) -> object:
    """Of a card its name: clocks and temperatures differ from run to run."""
    return value.get("name") if isinstance(value, dict) else value


def changes_between(before: list[Report], after: list[Report]) -> tuple[list[Change], list[str], list[str]]:
    """What both have, what only the earlier has, and what only the later.

    Raises:
        ValueError: they have no case in common.
    """
    old, new = _by_key(before), _by_key(after)
    shared = [key for key in old if key in new]
    if not shared:
        raise ValueError("A and B have no case in common; run the same suites")
    changes = [change for key in shared if (change := change_of(" | ".join(key), old[key], new[key]))]
    return changes, _only(old, new), _only(new, old)


def _by_key(reports: Iterable[Report]) -> dict[tuple[str, ...], Row]:
    return {key: row for report in reports for key, row in report.by_key().items() if not row.stand_in and row.seconds}


def _only(some: dict[tuple[str, ...], Row], others: dict[tuple[str, ...], Row]) -> list[str]:
    return [" | ".join(key) for key in some if key not in others]


def change_of(name: str, before: Row, after: Row) -> Change | None:
    """Two rows of the same case; None where one has no figures."""
    figure = "ratio" if before.ratio and after.ratio else "seconds"
    old: Quantiles | None = getattr(before, figure)
    new: Quantiles | None = getattr(after, figure)
    if old is None or new is None:
        return None
    return Change(name, figure, old.p50, new.p50, new.p20 > old.p80 or new.p80 < old.p20)


def _line(change: Change, fail_above: float) -> str:
    word = "slower" if change.is_loss(fail_above) else "" if change.apart else "within the noise"
    return f"{change.factor:6.2f} x  {change.name} ({change.figure} {change.before:.4g} -> {change.after:.4g}) {word}"


def _keep(path: Path, losses: list[Change], before: list[Report], after: list[Report]) -> None:
    """One line for each loss, behind those of earlier comparisons."""
    commits = {"from": before[0].machine.get("commit"), "to": after[0].machine.get("commit")}
    with path.open("a", encoding="utf-8") as lines:
        for loss in losses:
            lines.write(json.dumps(commits | asdict(loss) | {"factor": round(loss.factor, 3)}) + "\n")
    print(f"kept in {path}")
