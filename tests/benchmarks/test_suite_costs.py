"""The short table of costs that the README shows is what the results say."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.suite import costs, records, throughputs
from benchmarks.suite.records import Report, Row
from benchmarks.suite.statistics import Quantiles

ROOT = Path(__file__).parents[2]
MACHINE = {"processor": "Abacus", "cores": 3, "versions": {"torch": "9.9"}}


def _row(batch: int, case: str, ratio: float, above: int | None = None) -> Row:
    return Row(
        f"resnet50, batch {batch}", case, "warm", ratio=Quantiles(ratio - 0.1, ratio, ratio + 0.1, 7), above_start=above
    )


def _report(*rows: Row, device: str = "cpu", quick: bool = False) -> Report:
    timer = {"device": device, "clock": "cpu", "threads": 1}
    return Report("e2e/grad", "", "python -m benchmarks run e2e/grad", quick, MACHINE, timer, {}, [], list(rows))


ROWS = (
    _row(16, "forward (no_grad)", 1.0, 200),
    _row(16, "Grad-CAM", 1.25, 190),
    _row(1, "Grad-CAM", 1.5),
    _row(1, "captum Grad-CAM", 2.0),
    Row("resnet50, batch 1", "torchcam Grad-CAM", "warm", failed="no"),
    Row("resnet18, batch 1", "Grad-CAM", "warm", ratio=Quantiles(9, 9, 9, 1)),
)


def test_times_by_batch_and_memory_of_the_largest_over_the_forward_pass() -> None:
    lines = [line for line in costs.costs(_report(*ROWS)).splitlines() if line.startswith("|")]
    assert lines == [
        "|  | time, batch 1 | time, batch 16 | working memory, batch 16 |",
        "| --- | --- | --- | --- |",
        "| **funcam Grad-CAM** | 1.50 (1.40 to 1.60) | 1.25 (1.15 to 1.35) | 0.95 |",
        "| captum Grad-CAM (and the forward pass that finds the class) | 2.00 (1.90 to 2.10) |  |  |",
    ]


def test_how_it_was_measured_stands_below() -> None:
    told = costs.costs(_report(*ROWS)).strip().splitlines()[-1]
    assert "`python -m benchmarks run e2e/grad`" in told
    assert "torch 9.9 on 3 cores of an Abacus, processor time, threads 1" in told


@pytest.mark.parametrize("kind", [{"device": "cuda"}, {"quick": True}])
def test_a_quick_run_and_a_card_leave_the_page_as_it_was(kind: dict[str, object], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- costs -->\nold\n<!-- end of costs -->\nb\n", encoding="utf-8")
    assert costs.put_into([page], {"m/9.9": [_report(*ROWS, **kind)]}) == []  # type: ignore[arg-type]
    assert "old" in page.read_text(encoding="utf-8")
    assert costs.put_into([page], {"m/9.9": [_report(*ROWS)]}) == [page]
    text = page.read_text(encoding="utf-8")
    assert text.startswith("a\n<!-- costs -->\n")
    assert text.endswith("\n<!-- end of costs -->\nb\n")
    assert "old" not in text


@pytest.mark.parametrize("page", ["README.md", "docs/benchmarks.md"])
def test_the_pages_hold_the_table_of_the_results_there_are(page: str) -> None:
    whole = [one for reports in records.machines_in(records.RESULTS).values() for one in reports if not one.quick]
    report = [one for one in whole if one.suite == "e2e/grad" and one.device == "cpu"][-1]
    assert costs.costs(report) in (ROOT / page).read_text(encoding="utf-8")


def _on_card(batch: int, case: str, images: float, ratio: float | None = None, temperature: str = "warm") -> Row:
    over = ratio and Quantiles(ratio, ratio, ratio, 3)
    return Row(f"resnet50, bfloat16, batch {batch}", case, temperature, ratio=over or None, images_per_second=images)


def test_a_cards_images_a_second_and_their_share_of_the_forward_passs(tmp_path: Path) -> None:
    rows = [
        _on_card(256, "forward, compiled", 20_000.4, 1.0),
        _on_card(256, "grad-cam, prepared, a stream", 16_000, 1.25),
        _on_card(256, "grad-cam, prepared, a stream", 9, 9, "cold"),
        _on_card(64, "grad-cam grad-cam", 500),
        Row("resnet50, bfloat16, batch 64", "captum grad-cam", "warm", failed="no"),
    ]
    machine = MACHINE | {"card": {"name": "Loom"}}
    timer = {"device": "cuda", "clock": "CUDA events", "threads": 1}
    report = Report("e2e/throughput", "", "python -m ...", False, machine, timer, {}, [], rows)
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- throughput -->\n\n<!-- end of throughput -->\nb\n", encoding="utf-8")
    assert throughputs.put_into([page], {"m/9.9": [_report(*ROWS)]}) == []
    assert throughputs.put_into([page], {"m/9.9": [report]}) == [page]
    lines = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert lines[0] == "| images a second | batch 64 | batch 256 |"
    assert [line.split(" | ")[1:] for line in lines[2:]] == [
        ["", "20,000 (1.00) |"],
        ["", "16,000 (0.80) |"],
        ["500", " |"],
    ]
    assert "torch 9.9 on one Loom" in page.read_text(encoding="utf-8")
