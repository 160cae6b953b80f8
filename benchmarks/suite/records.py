"""The results on disk: `results/<machine>/<torch>/<suite>.json`, one report a suite."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from benchmarks.files import put
from benchmarks.suite.statistics import Quantiles

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks/results"
Key = tuple[str, str, str, str]


@dataclass
class Row:
    """A case's figures.

    Attributes:
        group: what it was measured beside.
        case: its name there.
        temperature: `warm` or `cold` caches.
        seconds: of a call; None where it failed.
        ratio: over the baseline right before it.
        first: seconds of the first call, with all that is done once.
        compile: how much of it is compiling; None where nothing compiles.
        images_per_second: at the median.
        limit_shares: the machine's least time for the work over the median, by how operations are fused.
        error: the largest difference from the float32 result, over that result's largest value.
        peak: bytes at the most, of a fresh process (on a GPU of the allocator).
        above_start: how much of that the call added.
        how: `CUDA graph`, `events` or the length of blocks.
        failed: why there are no figures.
        stand_in: a suite for another device ran here: the figures say that it runs, nothing more.
    """

    group: str
    case: str
    temperature: str
    seconds: Quantiles | None = None
    ratio: Quantiles | None = None
    first: float | None = None
    compile: float | None = None
    images_per_second: float | None = None
    limit_shares: dict[str, float] | None = None
    error: float | None = None
    peak: int | None = None
    above_start: int | None = None
    how: str = ""
    failed: str = ""
    stand_in: bool = False


@dataclass
class Report:
    """What a run of one suite found, and everything that is needed to run it again."""

    suite: str
    title: str
    command: str
    quick: bool
    machine: dict[str, Any]
    timer: dict[str, Any]
    rates: dict[str, Any]
    absent: list[str]
    rows: list[Row]

    @property
    def device(self) -> str:
        """The device that was measured."""
        return str(self.timer["device"])

    def by_key(self) -> dict[Key, Row]:
        """The rows by suite, group, case and temperature."""
        return {(self.suite, row.group, row.case, row.temperature): row for row in self.rows}


def path_of(report: Report, root: Path, machine: str) -> Path:
    """Where a report lies; a quick one beside the whole, not over it."""
    torch = report.machine["versions"]["torch"] + ("-quick" if report.quick else "")
    return root / machine / torch / f"{report.suite.replace('/', '-')}.json"


def written(report: Report, path: Path) -> None:
    """Write a report, whole or not at all; what is not known is left out of the rows."""
    document = asdict(report)
    document["rows"] = [_short(row) for row in document["rows"]]
    put(path, json.dumps(document, indent=1) + "\n")


def _short(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _rounded(value) for name, value in row.items() if value not in (None, "", False)}


def _rounded(value: Any) -> Any:
    """Five digits: more are noise, and make every run a difference in every line."""
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return float(f"{value:.5g}") if isinstance(value, float) else value


def read(path: Path) -> Report:
    """A report from its file.

    Raises:
        ValueError: it is no JSON, or another kind of it.
    """
    report = _read(path)
    if report is None:
        raise ValueError(f"{path} is no report of the suite; expected what `python -m benchmarks run` wrote")
    return report


def _read(path: Path) -> Report | None:
    """A report; None where a file holds other JSON."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no report, or not all of one ({error}); run its suite again") from error
    if not isinstance(document, dict) or {field.name for field in fields(Report)} != document.keys():
        return None
    try:
        rows = [Row(**{name: _value(value) for name, value in row.items()}) for row in document["rows"]]
    except (TypeError, AttributeError) as error:
        raise ValueError(f"{path} has rows of another form ({error}); run its suite again") from error
    return Report(**document | {"rows": rows})


def _value(value: Any) -> Any:
    return Quantiles(**value) if isinstance(value, dict) and "p50" in value else value


def reports_in(place: Path) -> list[Report]:
    """The reports in a file, or in a folder and its folders; other JSON in a folder is left alone.

    Raises:
        ValueError: there is none, or one of the files is damaged.
    """
    if place.is_file():
        return [read(place)]
    found = [report for path in sorted(place.rglob("*.json")) if (report := _read(path)) is not None]
    if not found:
        raise ValueError(f"no report lies in {place}; `python -m benchmarks run` writes them")
    return found


def machines_in(root: Path) -> dict[str, list[Report]]:
    """The reports by machine and torch (`<machine>/<torch>`), a quick one only where there is no whole one."""
    folders: dict[str, dict[str, Report]] = {}
    for path in sorted(root.glob("*/*/*.json"), key=lambda path: path.parent.name.endswith("-quick")):
        name = f"{path.parts[-3]}/{re.sub('-quick$', '', path.parts[-2])}"
        report = read(path)
        folders.setdefault(name, {}).setdefault(report.suite, report)
    return {name: [suites[suite] for suite in sorted(suites)] for name, suites in sorted(folders.items())}
