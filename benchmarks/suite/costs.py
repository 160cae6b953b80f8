"""The short table of costs in the README and the documentation, of what `e2e/grad` measured on ResNet-50."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.pages import filled
from benchmarks.suite.peers import FORWARD
from benchmarks.suite.records import Report, Row

SUITE, NET = "e2e/grad", "resnet50"
MARK = "costs"
TITLES = {
    "Grad-CAM": "**funcam Grad-CAM**",
    "Grad-CAM++": "**funcam Grad-CAM++**",
    "Grad-CAM, 100 classes": "funcam, 100 classes at once",
    "Grad-CAM, 1000 classes": "funcam, all 1,000 classes",
    "torchcam Grad-CAM": "torchcam Grad-CAM",
    "captum Grad-CAM": "captum Grad-CAM (and the forward pass that finds the class)",
    "grad-cam Grad-CAM": "pytorch-grad-cam Grad-CAM",
}


def put_into(pages: list[Path], machines: dict[str, list[Report]]) -> list[Path]:
    """Write the table into each page that has its markers; the pages that were written.

    Nothing is written where the suite was measured whole on no processor. Of several machines the last is told.
    """
    whole = [one for reports in machines.values() for one in reports if one.suite == SUITE and not one.quick]
    report = next((one for one in reversed(whole) if one.device == "cpu"), None)
    if report is None:
        return []
    written = []
    for page in pages:
        text = page.read_text(encoding="utf-8")
        if f"<!-- {MARK} -->" in text:
            page.write_text(filled(text, {MARK: costs(report)}), encoding="utf-8")
            written.append(page)
    return written


def costs(report: Report) -> str:
    """Time by batch and working memory of the largest, over the forward pass's, and how it was measured."""
    batches = _batches(report)
    memory = _working_memory(batches[max(batches)])
    head = ["", *(f"time, batch {batch}" for batch in batches)]
    head += [f"working memory, batch {max(batches)}"] * bool(memory)
    lines = [head, ["---"] * len(head)]
    for case, title in TITLES.items():
        times = [_over(rows[case]) if case in rows else "" for rows in batches.values()]
        if any(times):
            lines.append([title, *times, *([memory.get(case, "")] if memory else [])])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"\n{table}\n\n*{_how(report)}*\n"


def _batches(report: Report) -> dict[int, dict[str, Row]]:
    """The rows that have figures, by batch and case."""
    found: dict[int, dict[str, Row]] = {}
    for row in report.rows:
        group = re.fullmatch(rf"{NET}, batch (\d+)", row.group)
        if group and row.ratio and row.temperature == "warm":
            found.setdefault(int(group[1]), {})[row.case] = row
    return dict(sorted(found.items()))


def _over(row: Row) -> str:
    assert row.ratio
    return f"{row.ratio.p50:.2f} ({row.ratio.p20:.2f} to {row.ratio.p80:.2f})"


def _working_memory(rows: dict[str, Row]) -> dict[str, str]:
    whole = rows[FORWARD].above_start if FORWARD in rows else None
    return {case: f"{row.above_start / whole:.2f}" for case, row in rows.items() if whole and row.above_start}


def _how(report: Report) -> str:
    machine, timer = report.machine, report.timer
    clock = {"cpu": "processor time", "wall": "wall time"}[timer["clock"]]
    on = f"torch {machine['versions']['torch']} on {machine['cores']} cores of an {machine['processor']}"
    return f"`{report.command}`: {on}, {clock}, threads {timer['threads']}; the median, and the middle 60 %."
