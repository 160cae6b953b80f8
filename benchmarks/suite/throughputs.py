"""The table of a GPU's throughput in the documentation, of what `e2e/throughput` measured."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.pages import filled
from benchmarks.suite.records import Report, Row

SUITE = "e2e/throughput"
MARK = "throughput"
TITLES = {
    "forward, compiled": "the forward pass alone, compiled",
    "grad-cam, prepared, a stream": "**funcam Grad-CAM, `funcam.prepare(...).stream(batches)`**",
    "grad-cam, prepared": "funcam Grad-CAM, prepared, call by call",
    "forward": "the forward pass alone, eager, replayed as a CUDA graph",
    "grad-cam": "funcam Grad-CAM, `funcam.explain`, replayed as a CUDA graph",
    "torchcam grad-cam, bfloat16": "torchcam, in bfloat16",
    "captum grad-cam, bfloat16": "captum, in bfloat16",
    "torchcam grad-cam": "torchcam, as documented (float32)",
    "captum grad-cam": "captum, as documented (float32)",
    "grad-cam grad-cam": "pytorch-grad-cam, as documented (float32; it can't in bfloat16)",
}


def put_into(pages: list[Path], machines: dict[str, list[Report]]) -> list[Path]:
    """Write the table into each page that has its markers; the pages that were written.

    Nothing is written where no GPU was measured whole. Of several the last is told.
    """
    whole = [one for reports in machines.values() for one in reports if one.suite == SUITE and not one.quick]
    report = next((one for one in reversed(whole) if one.device == "cuda"), None)
    written = []
    for page in pages if report else []:
        assert report is not None
        text = page.read_text(encoding="utf-8")
        if f"<!-- {MARK} -->" in text:
            page.write_text(filled(text, {MARK: throughputs(report)}), encoding="utf-8")
            written.append(page)
    return written


def throughputs(report: Report) -> str:
    """Images a second by batch, their share of the compiled forward pass's, and how it was measured."""
    batches = _batches(report)
    head = ["images a second", *(f"batch {batch}" for batch in batches)]
    lines = [head, ["---"] * len(head)]
    for case, title in TITLES.items():
        cells = [_of(rows[case]) if case in rows else "" for rows in batches.values()]
        if any(cells):
            lines.append([title, *cells])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"\n{table}\n\n*{_how(report)}*\n"


def _batches(report: Report) -> dict[int, dict[str, Row]]:
    """The rows that have figures, by batch and case, the caches as they were."""
    found: dict[int, dict[str, Row]] = {}
    for row in report.rows:
        group = re.fullmatch(r"resnet50, bfloat16, batch (\d+)", row.group)
        if group and row.images_per_second and row.temperature == "warm":
            found.setdefault(int(group[1]), {})[row.case] = row
    return dict(sorted(found.items()))


def _of(row: Row) -> str:
    share = f" ({1 / row.ratio.p50:.2f})" if row.ratio else ""
    return f"{row.images_per_second:,.0f}{share}"


def _how(report: Report) -> str:
    machine = report.machine
    on = f"torch {machine['versions']['torch']} on one {machine['card']['name']}"
    return f"`{report.command}`: {on}; in brackets the share of the compiled forward pass's, medians of rounds in turn."
