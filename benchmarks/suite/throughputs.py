"""The table of a GPU's throughput in the documentation, of what `e2e/throughput` measured."""

from __future__ import annotations

from pathlib import Path

from benchmarks.suite.records import Report, Row
from benchmarks.suite.shown import by_batch, latest, markdown, put

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
    report = latest(machines, SUITE, "cuda")
    return [] if report is None else put(pages, MARK, throughputs(report))


def throughputs(report: Report) -> str:
    """Images a second by batch, their share of the compiled forward pass's, and how it was measured."""
    batches = by_batch(report, "resnet50, bfloat16", lambda row: row.images_per_second)
    head = ["images a second", *(f"batch {batch}" for batch in batches)]
    lines = []
    for case, title in TITLES.items():
        cells = [_of(rows[case]) if case in rows else "" for rows in batches.values()]
        if any(cells):
            lines.append([title, *cells])
    return markdown(head, lines, _how(report))


def _of(row: Row) -> str:
    share = f" ({1 / row.ratio.p50:.2f})" if row.ratio else ""
    return f"{row.images_per_second:,.0f}{share}"


def _how(report: Report) -> str:
    machine = report.machine
    on = f"torch {machine['versions']['torch']} on one {machine['card']['name']}"
    return f"`{report.command}`: {on}; in brackets the share of the compiled forward pass's, medians of rounds in turn."
