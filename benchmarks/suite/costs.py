"""The short table of costs in the README and the documentation, of what `e2e/grad` measured on ResNet-50."""

from __future__ import annotations

from pathlib import Path

from benchmarks.suite.peers import FORWARD
from benchmarks.suite.records import Report, Row
from benchmarks.suite.shown import by_batch, latest, markdown, put

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
    report = latest(machines, SUITE, "cpu")
    return [] if report is None else put(pages, MARK, costs(report))


def costs(report: Report) -> str:
    """Time by batch and working memory of the largest, over the forward pass's, and how it was measured."""
    batches = by_batch(report, NET, lambda row: row.ratio)
    memory = _working_memory(batches[max(batches)])
    head = ["", *(f"time, batch {batch}" for batch in batches)]
    head += [f"working memory, batch {max(batches)}"] * bool(memory)
    lines = []
    for case, title in TITLES.items():
        times = [_over(rows[case]) if case in rows else "" for rows in batches.values()]
        if any(times):
            lines.append([title, *times, *([memory.get(case, "")] if memory else [])])
    return markdown(head, lines, _how(report))


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
