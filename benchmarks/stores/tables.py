"""What was measured of `funcam batch`, as the tables of its page."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.stores.estimate import Rates, cost

ASSUMED = (1_000, 3_000, 10_000)
"""Images a second that one GPU explains: no GPU was at hand."""

GPUS = (8, 64, 512)
CORES = 16
"""For each GPU, as machines with eight of them and 128 cores have it."""


def tables(report: Mapping[str, Any]) -> dict[str, str]:
    """By their marks in the page."""
    return {
        "batch figures": "\n".join(
            ["| what | measured | goal | when, where |", "| --- | --- | --- | --- |", *_rows(report)]
        ),
        "batch estimate": _estimate(report),
    }


def _rows(report: Mapping[str, Any]) -> Iterator[str]:
    if "cost" in report:
        told = report["cost"]["figures"]
        yield _row(
            f"`cost`: files to maps, {told['net']}, {told['cores']} cores, over decoding and then the plain batched "
            f"forward pass, {told['images']} photos, median of {told['rounds']}",
            f"processor time {told['processor']:.2f}, wall time {told['wall']:.2f}",
            "1.15",
            report["cost"],
        )
    if "memory" in report:
        few, many = report["memory"]["figures"]
        more = 100 * (many["peak_mib"] / few["peak_mib"] - 1)
        yield _row(
            f"`memory`: the most at {few['images']:,} and at {many['images']:,} images of 64x64 in tar shards",
            f"{few['peak_mib']:.0f} and {many['peak_mib']:.0f} MiB: {more:.1f} % more",
            "5 %",
            report["memory"],
        )
        yield _row(
            "the same: images a second, a network of two convolutions",
            f"{many['images'] / many['seconds']:.0f}",
            "",
            report["memory"],
        )
    if "bytes" in report:
        told = report["bytes"]["figures"]
        yield _row(
            "`bytes`: of an image's map of 7x7 beside the table, float16 and uint8 (whole row with its path)",
            f"{told['float16']:.0f} and {told['uint8']:.0f} ({told['float16_file']:.0f} and {told['uint8_file']:.0f})",
            "150",
            report["bytes"],
        )
    if "decoding" in report:
        told = report["decoding"]["figures"]
        small, large = told["sizes"]
        yield _row(
            f"`decoding`: images a second that a core reads, decodes and fits, of {_kb(small)}; enlarged, {_kb(large)}",
            f"{small['images_s']:.0f}; {large['images_s']:.1f}",
            "",
            report["decoding"],
        )
        yield _row(
            "the same: processor time of the thread that explains, for an image, a network of two convolutions",
            f"{told['serial_ms']:.2f} ms",
            "",
            report["decoding"],
        )
    if "engines" in report:
        yield from _engine_rows(report["engines"])


def _engine_rows(told: Mapping[str, Any]) -> Iterator[str]:
    """Beside other work the engine of more processes gets more of the wall time, so both times are told."""

    def middle(figure: str, engine: str, cpus: int) -> float:
        rows = [row for row in told["figures"] if (row["engine"], row["cpus"]) == (engine, cpus)]
        return statistics.median(row[figure] for row in rows)

    low, high = (f(row["load"] for row in told["figures"]) for f in (min, max))
    load = f"load {low:.0f} to {high:.0f} on two cores"
    wall = middle("images_s", "local", 2) / middle("images_s", "ray", 2)
    processors = middle("processor_ms", "ray", 2) / middle("processor_ms", "local", 2)
    yield _row(
        f"`engines`: an image on Ray over the local engine, two processors, what starting takes left out ({load})",
        f"wall time {wall:.2f}, processor time {processors:.2f}, Ray's own processes included",
        "1.2",
        told,
    )
    for engine in ("local", "ray"):
        yield _row(
            f"the same: images a second with one and with two workers, {engine}, each at its load",
            " and ".join(f"{middle('images_s', engine, n):.1f} (load {middle('load', engine, n):.0f})" for n in (1, 2)),
            "",
            told,
        )


def _row(what: str, measured: str, goal: str, told: Mapping[str, Any]) -> str:
    machine = told["machine"]
    return f"| {what} | {measured} | {goal} | {told['date']}, {machine['processor']}, {machine['cores']} cores |"


def _kb(told: Mapping[str, float]) -> str:
    return f"{told['bytes'] / 1000:.0f} KB"


def _estimate(report: Mapping[str, Any]) -> str:
    if not {"bytes", "decoding"} <= report.keys():
        return ""
    decoding, stored = report["decoding"]["figures"], report["bytes"]["figures"]["float16_file"]
    lines = [
        f"| an image | a GPU explains (assumed) | hours on {', '.join(map(str, GPUS))} GPUs | GPU hours | bottleneck "
        f"| cores a GPU would need | reads on {GPUS[-1]} GPUs, GB/s |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for told in decoding["sizes"]:
        for explained in ASSUMED:
            rates = Rates(told["images_s"], decoding["serial_ms"] / 1000, explained, CORES, told["bytes"])
            found = [cost(rates, gpus) for gpus in GPUS]
            hours, last = ", ".join(f"{each.hours:.2g}" for each in found), found[-1]
            lines.append(
                f"| {_kb(told)} | {explained:,} images/s | {hours} | {last.gpu_hours:.0f} | {last.bottleneck} "
                f"| {last.needed_cores:.0f} | {last.read_gb_s:.1f} |"
            )
    return "\n".join([*lines, "", f"The store takes {stored / 10:.0f} GB."])
