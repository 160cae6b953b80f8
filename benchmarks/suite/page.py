"""The page of results: for each machine and torch what was measured, with tables, plots and the commands."""

from __future__ import annotations

from benchmarks.suite.plots import Bar, chart
from benchmarks.suite.records import Report, Row
from benchmarks.suite.run import is_of_peer
from benchmarks.suite.table import HEADINGS, cells

PLOTS = "plots"
HEAD = """# What was measured

Written by `python -m benchmarks report` from the files in `results/`; the commands stand above the tables. What each
suite measures, and how, says [README.md](README.md). Times are medians (p50) with the middle 60 % (p20 to p80) of n
repeats; a ratio is over the baseline, run right before. "Of the limit" is the machine's least time for the arithmetic
and the traffic over the time that was taken; of a forward pass eager / pointwise fused / fully fused. "Error" is the
largest difference from the float32 result over its largest value. A bar is a median, the line over it the middle 60 %;
peers are grey.
"""


def page_of(machines: dict[str, list[Report]]) -> tuple[str, dict[str, str]]:
    """The page, and its plots by file name."""
    parts, plots = [HEAD], {}
    for machine, reports in machines.items():
        parts.append(f"## {machine}\n\n{_machine(reports)}")
        for report in reports:
            rows = [row for row in report.rows if not row.stand_in]
            if rows:
                parts.append(_suite(machine, report, rows, plots))
    return "\n".join(parts), plots


def _machine(reports: list[Report]) -> str:
    first = reports[0]
    told = {name: first.machine.get(name) for name in ("processor", "cores", "memory_gb", "card", "python")}
    lines = [f"- {name}: {_words(value)}" for name, value in told.items() if value]
    lines.append(f"- versions: {_words(first.machine['versions'])}")
    for dtype, rates in _rates(reports).items():
        told = f"{rates['flops'] / 1e9:.0f} GFLOP/s, {rates['bytes'] / 1e9:.0f} GB/s"
        lines.append(f"- {dtype}, measured on the spot: {told}")
    if first.absent:
        lines.append(f"- peers that were not installed: {', '.join(first.absent)}")
    if any(report.quick for report in reports):
        lines.append(
            "- **of a quick run** where a table says so: small networks and images, few repeats; indicative only"
        )
    return "\n".join(lines) + "\n"


def _rates(reports: list[Report]) -> dict[str, dict[str, float]]:
    """The rates by type, of the first report that has them."""
    return {dtype: rates for report in reversed(reports) for dtype, rates in report.rates.items()}


def _words(value: object) -> str:
    return ", ".join(f"{name} {inner}" for name, inner in value.items()) if isinstance(value, dict) else str(value)


def _suite(machine: str, report: Report, rows: list[Row], plots: dict[str, str]) -> str:
    quick = " (quick)" if report.quick else ""
    parts = [f"### {report.suite}{quick}: {report.title}\n\n`{report.command}`\n\n{_when(report)}\n"]
    for group in dict.fromkeys(row.group for row in rows):
        members = [row for row in rows if row.group == group]
        parts.append(f"**{group}**\n\n{table(members)}\n")
        if bars := _bars(members):
            name = f"{slug(machine)}-{slug(report.suite)}-{slug(group)}.svg"
            plots[name] = chart(group, bars, "times the baseline" if _by_ratio(members) else "milliseconds")
            parts.append(f"![{group}]({PLOTS}/{name})\n")
    return "\n".join(parts)


def _when(report: Report) -> str:
    """By which clock, at which commit, and beside how much other work: of each suite, as they are run one by one."""
    told = {name: report.machine.get(name) for name in ("instructions", "commit", "load")}
    return ", ".join([_words(report.timer), *(f"{name} {value}" for name, value in told.items() if value is not None)])


def table(rows: list[Row]) -> str:
    """Rows as Markdown, without columns that are empty."""
    lines = [cells(row) for row in rows]
    used = [place for place in range(len(HEADINGS)) if any(line[place] for line in lines)]
    head = [" | ".join(HEADINGS[place] for place in used), " | ".join("---" for _ in used)]
    body = [" | ".join(line[place].replace("|", "\\|") for place in used) for line in lines]
    return "\n".join(f"| {line} |" for line in (*head, *body))


def _bars(rows: list[Row]) -> list[Bar]:
    """Warm rows with figures of one kind; a single bar says nothing."""
    by_ratio = _by_ratio(rows)
    bars = []
    for row in rows:
        figure = row.ratio if by_ratio else row.seconds and row.seconds.times(1000)
        if figure and row.temperature == "warm" and not row.failed:
            bars.append(Bar(row.case, figure, is_of_peer(row.case)))
    return bars if len(bars) > 1 else []


def _by_ratio(rows: list[Row]) -> bool:
    """Whether every row that has figures has a ratio."""
    return all(row.ratio for row in rows if row.seconds)


def slug(text: str) -> str:
    """A text as a part of a file's name.

    Example:
        >>> slug("e2e/grad, batch 8")
        'e2e-grad-batch-8'
    """
    return "-".join("".join(char if char.isalnum() or char in ".+" else " " for char in text.lower()).split())
