"""What the tables share that pages show of the results: which report, its rows by batch, Markdown, and the pages."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from benchmarks import files
from benchmarks.pages import filled
from benchmarks.suite.records import Report, Row


def latest(machines: dict[str, list[Report]], suite: str, device: str) -> Report | None:
    """The report of a suite that a device was measured with whole; of several the last, None where there is none."""
    whole = [one for reports in machines.values() for one in reports if one.suite == suite and not one.quick]
    return next((one for one in reversed(whole) if one.device == device), None)


def put(pages: Iterable[Path], mark: str, table: str) -> list[Path]:
    """Write a table into each page that has its markers; the pages that were written."""
    written = []
    for page in pages:
        text = page.read_text(encoding="utf-8")
        if f"<!-- {mark} -->" in text:
            files.put(page, filled(text, {mark: table}))
            written.append(page)
    return written


def by_batch(report: Report, group: str, has: Callable[[Row], object]) -> dict[int, dict[str, Row]]:
    """The rows of the caches as they were that have a figure, by batch and case.

    Args:
        report: the report.
        group: what groups are called in front of `, batch N`.
        has: the figure.
    """
    found: dict[int, dict[str, Row]] = {}
    for row in report.rows:
        batch = re.fullmatch(rf"{group}, batch (\d+)", row.group)
        if batch and has(row) and row.temperature == "warm":
            found.setdefault(int(batch[1]), {})[row.case] = row
    return dict(sorted(found.items()))


def markdown(head: Sequence[str], lines: Iterable[Sequence[str]], how: str) -> str:
    """A table as Markdown, and below it how it was measured."""
    table = "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines))
    return f"\n{table}\n\n*{how}*\n"
