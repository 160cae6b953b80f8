"""The suite's arithmetic on made-up numbers: timers, quantiles, turns, limits, comparing, the page."""

from __future__ import annotations

import json
import statistics
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
import torchvision

from benchmarks.suite import compare, drawn, measuring, page, plots, records, timers
from benchmarks.suite.case import Case, Group, Setting
from benchmarks.suite.e2e import files
from benchmarks.suite.measuring import Pace, in_turn, rows_of
from benchmarks.suite.micro.alpha import by_hand, by_loop, by_vmap
from benchmarks.suite.networks import tuned
from benchmarks.suite.records import Report, Row
from benchmarks.suite.roofline import Rates, Work, forward_work
from benchmarks.suite.statistics import Quantiles, quantiles
from funcam import grad_cam_pp, signed_sum

SAMPLE = [3.0, 9.0, 1.0, 7.0, 4.0, 12.0]


def test_quantiles_are_those_of_the_standard_library():
    fifths = statistics.quantiles(SAMPLE, n=5, method="inclusive")
    found = quantiles(SAMPLE)
    assert (found.p20, found.p80, found.n) == (pytest.approx(fifths[0]), pytest.approx(fifths[3]), 6)
    assert found.p50 == statistics.median(SAMPLE)
    assert quantiles([2.0]) == Quantiles(2.0, 2.0, 2.0, 1)
    with pytest.raises(ValueError, match="no values"):
        quantiles([])


class _Clock:
    """A clock that only calls move on."""

    now = 0.0

    def read(self) -> float:
        return self.now

    def call(self, seconds: float) -> None:
        self.now += seconds


def _timer(clock: _Clock) -> timers.OnCPU:
    return timers.OnCPU(read=clock.read)


def test_a_call_is_timed_in_blocks_behind_its_first_one():
    clock, calls = _Clock(), []

    def run() -> None:
        calls.append(1)
        clock.call(0.5 if len(calls) == 1 else 0.0001)

    ready = _timer(clock).ready(run)
    assert ready.first == pytest.approx(0.5)
    before = len(calls)
    assert ready.seconds("warm") == pytest.approx(0.0001)
    assert len(calls) - before == round(timers.BLOCK / 0.0001)


class _Card:
    """As much of `torch.cuda` as the timer asks of it; a call takes 4 ms launched, and 1 ms replayed."""

    def __init__(self, capturable: bool) -> None:
        self.capturable, self.now, self.flushed = capturable, 0.0, 0

    def put_in(self, monkeypatch: pytest.MonkeyPatch) -> _Card:
        card = self

        class Event:
            def __init__(self, enable_timing: bool) -> None:
                self.at = -1.0

            def record(self) -> None:
                self.at = card.now

            def elapsed_time(self, end: Event) -> float:
                return 1000 * (end.at - self.at)

        class CUDAGraph:
            def replay(self) -> None:
                card.now += 0.001

        @contextmanager
        def graph(_graph: CUDAGraph) -> Iterator[None]:
            if not card.capturable:
                raise RuntimeError("operation not permitted when stream is capturing")
            yield

        for name, value in {
            "synchronize": lambda: None,
            "Event": Event,
            "CUDAGraph": CUDAGraph,
            "graph": graph,
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)
        return self

    def run(self) -> None:
        self.now += 0.004


@pytest.mark.parametrize(
    ("capturable", "capture", "how", "seconds"),
    [
        (True, True, "CUDA graph, blocks of 20", 0.001),
        (False, True, "events, blocks of 5", 0.004),
        (True, False, "events, blocks of 5", 0.004),
    ],
)
def test_a_gpus_calls_are_replayed_where_they_can_be(monkeypatch, capturable, capture, how, seconds):
    card = _Card(capturable).put_in(monkeypatch)
    ready = timers.OnGPU().ready(card.run, capture=capture)
    assert (ready.how, ready.seconds("warm")) == (how, pytest.approx(seconds))
    assert (ready.launched is None) == (seconds == 0.004)
    assert ready.launched is None or ready.launched("warm") == pytest.approx(0.004)


def test_what_decomposes_matrices_is_not_captured(monkeypatch):
    card = _Card(capturable=True).put_in(monkeypatch)

    def solves() -> None:
        torch.linalg.eigh(torch.eye(2))
        card.run()

    assert timers.OnGPU().ready(solves).how.startswith("events")
    assert timers.OnGPU().ready(solves, compiled=True).how.startswith("CUDA graph")  # nobody looks into it


def test_cases_take_turns_each_behind_the_baseline():
    order: list[str] = []
    cases = {name: lambda _, name=name: order.append(name) or float(len(order)) for name in "abc"}
    times = in_turn(cases, dict.fromkeys(cases, cases["a"]), 2, "warm")
    assert "".join(order) == "aaabac" + "acabaa"
    assert times["b"] == [(4.0, 3.0), (10.0, 9.0)]
    assert measuring.ratios([(4.0, 2.0), (9.0, 3.0)]).p50 == 2.5
    assert measuring.ratios([(4.0, None)]) is None


def test_what_the_processor_launches_is_not_held_against_a_replay():
    replay = timers.Ready(lambda _: 1.0, "CUDA graph", 0.0, lambda _: 5.0)
    launched = timers.Ready(lambda _: 10.0, "events", 0.0)
    assert replay.beside(launched)("warm") == 5.0
    assert replay.beside(replay)("warm") == 1.0
    assert launched.beside(replay)("warm") == launched.beside(launched)("warm") == 10.0


def test_the_rows_of_a_group():
    clock = _Clock()
    exact = torch.tensor([1.0, 4.0])

    def fails() -> None:
        raise RuntimeError("no such type\nsecond line")

    def slow() -> torch.Tensor:
        clock.call(0.03)
        return exact + torch.tensor([0.0, 1.0])

    cases = {
        "base": Case(lambda: clock.call(0.01), images=2),
        "slow": Case(slow, images=2, exact=lambda: exact, compiles=True),
        "fails": Case(fails),
    }
    rows = {row.case: row for row in rows_of(Group("g", lambda: cases, "base"), _timer(clock), Pace(3))}
    assert rows["fails"].failed == "RuntimeError: no such type"
    assert rows["slow"].ratio.p50 == pytest.approx(3)
    assert rows["base"].ratio.p50 == pytest.approx(1)
    assert rows["slow"].images_per_second == pytest.approx(2 / 0.03)
    assert rows["slow"].error == 0.25
    assert rows["slow"].compile == pytest.approx(0, abs=1e-9)
    assert rows["base"].compile is None


def test_a_limit_is_the_larger_of_arithmetic_and_traffic():
    rates = Rates(flops=100, bytes=10)
    assert rates.seconds(Work(100, 5)) == 1.0
    assert rates.seconds(Work(100, 50)) == 5.0


def test_the_work_of_resnet50_is_the_published():
    """4.11 GMACs and 11.1 M activations: timm's table of results for 224 pixels."""
    model = torchvision.models.resnet50().eval()
    work = forward_work(model, torch.rand(1, 3, 224, 224))
    assert work.macs / 1e9 == pytest.approx(4.11, abs=0.005)
    assert work.activations / 1e6 == pytest.approx(11.1, abs=0.05)
    eager, fused, once = work.limits(Rates(flops=1e30, bytes=1.0)).values()  # traffic alone: bytes
    assert once == work.once.bytes
    weights = sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))
    assert once == weights + 4 * (3 * 224 * 224 + 1000)
    assert once < fused < eager


def test_the_work_of_one_convolution_by_hand():
    conv = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 1, bias=False), torch.nn.ReLU())
    work = forward_work(conv, torch.rand(2, 3, 5, 5))
    outputs = 2 * 8 * 25
    assert (work.macs, work.activations) == (outputs * 3, outputs)
    convolution, relu = work.operations
    assert convolution == Work(2 * outputs * 3, 4 * (2 * 3 * 25 + 8 * 3 + outputs))
    assert relu == Work(outputs, 4 * 2 * outputs)
    assert work.fused == (convolution, Work(outputs, 0))


def test_the_ways_to_batch_alpha_agree_with_the_method():
    A, g = torch.rand(2, 3, 4, 4), torch.randn(5, 2, 3, 4, 4)
    weights = by_vmap(A, g)
    torch.testing.assert_close(by_loop(A, g), weights)
    torch.testing.assert_close(by_hand(A, g), weights)
    torch.testing.assert_close(signed_sum(A[1], weights[4, 1]).relu(), grad_cam_pp(A[1], g[4, 1]))


def test_a_tuned_copy_records_from_the_layer_on_only():
    model = torchvision.models.resnet18().eval()
    frozen = tuned(model, "layer4")
    free = [name for name, weight in frozen.named_parameters() if weight.requires_grad]
    assert free == ["layer4.1.bn2.weight", "layer4.1.bn2.bias"]
    assert all(weight.requires_grad for weight in model.parameters())


def _report(seconds: float, ratio: float | None = None, *, spread: float = 0.01, **more: object) -> Report:
    def around(middle: float) -> Quantiles:
        return Quantiles(middle * (1 - spread), middle, middle * (1 + spread), 9)

    row = Row("net", "case", "warm", around(seconds), ratio and around(ratio))
    machine = {"processor": "P", "cores": 2, "commit": "abc", "versions": {"torch": "2.0"}} | more
    timer = {"device": "cpu", "clock": "wall", "threads": 1}
    return Report("e2e/grad", "Grad-CAM", "python ...", False, machine, timer, {}, [], [row])


def test_a_report_is_read_as_it_was_written(tmp_path: Path):
    report = _report(0.5, 1.25)
    path = records.path_of(report, tmp_path, "p-2-cores")
    assert path == tmp_path / "p-2-cores/2.0/e2e-grad.json"
    records.written(report, path)
    assert records.read(path) == report
    assert records.reports_in(tmp_path) == [report]
    (tmp_path / "other.json").write_text("[]")
    assert len(records.reports_in(tmp_path)) == 1
    with pytest.raises(ValueError, match="no report"):
        records.read(tmp_path / "other.json")


def _compared(tmp_path: Path, before: Report, after: Report, **options: object) -> int:
    for name, report in (("a", before), ("b", after)):
        records.written(report, tmp_path / name / "e2e-grad.json")
    found = {"before": tmp_path / "a", "after": tmp_path / "b", "fail_above": 1.15, "all": False, "history": None}
    return compare.main(Namespace(**found | options))


def test_a_loss_fails_and_stays_in_the_history(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert _compared(tmp_path, _report(1.0), _report(1.3)) == 1
    assert "1.30 x" in capsys.readouterr().out
    assert _compared(tmp_path, _report(1.0), _report(1.4)) == 1
    lines = [json.loads(line) for line in (tmp_path / "b/losses.jsonl").read_text().splitlines()]
    assert [line["factor"] for line in lines] == [1.3, 1.4]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (_report(1.0), _report(1.1)),  # below the factor
        (_report(1.0, spread=0.3), _report(1.3, spread=0.3)),  # within the noise
        (_report(1.0, 1.05), _report(2.0, 1.05)),  # the whole machine was slower
        (_report(1.3), _report(1.0)),  # faster
    ],
)
def test_what_is_no_loss(tmp_path: Path, before: Report, after: Report):
    assert _compared(tmp_path, before, after) == 0
    assert not (tmp_path / "b/losses.jsonl").exists()


def test_another_machine_is_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert _compared(tmp_path, _report(1.0), _report(1.0, processor="Q")) == 2
    assert "differ in processor" in capsys.readouterr().err


def test_nothing_in_common_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    after = _report(1.0)
    after.rows[0].case = "renamed"
    assert _compared(tmp_path, _report(1.0), after) == 2
    assert "no case in common" in capsys.readouterr().err


def test_the_page_has_the_figures_and_no_row_that_only_stood_in():
    report = _report(0.5, 1.25)
    report.rows += [Row("net", "torchcam case", "warm", Quantiles(1.0, 2.0, 3.0, 9), Quantiles(2.0, 4.0, 5.0, 9))]
    report.rows += [Row("card", "compiled", "warm", Quantiles(1.0, 2.0, 3.0, 9), stand_in=True)]
    text, pictures = page.page_of({"p-2-cores/2.0": [report]})
    assert "| case | 500 ms | 495 ms to 505 ms | 9 | 1.25 | 1.24 to 1.26 |" in text
    assert "compiled" not in text
    (name,) = pictures
    assert f"({page.PLOTS}/{name})" in text


def test_the_bars_of_a_plot_are_as_long_as_the_figures():
    bars = [plots.Bar("ours <1>", Quantiles(1, 2, 3, 9)), plots.Bar("theirs", Quantiles(3, 4, 8, 9), peer=True)]
    tree = ElementTree.fromstring(plots.chart("a & b", bars, "ms"))
    ours, theirs = tree.iter("{http://www.w3.org/2000/svg}rect")
    assert float(theirs.get("width", 0)) == 2 * float(ours.get("width", 0))
    assert ours.get("fill") != theirs.get("fill")


def test_a_quick_run_has_the_first_batch_and_a_small_network():
    assert Setting(quick=True).nets_or("vgg16") == ("resnet18",)
    assert Setting(quick=True).batches_or(4, 8) == (4,)
    assert Setting(nets=("a",), batches=(2,), quick=True).nets_or("vgg16") == ("a",)
    assert Setting().batches_or(4, 8) == (4, 8)


def test_the_photos_that_are_told_are_those_that_are_read(tmp_path):
    drawn.photos(tmp_path, 3, (8, 8))
    for setting, told in (
        (Setting(), "30 photos"),
        (Setting(pictures=300), "300 photos"),
        (Setting(quick=True), "a photo"),
        (Setting(quick=True, pictures=2), "2 photos"),
        (Setting(photos=tmp_path), "3 photos"),
        (Setting(photos=tmp_path, pictures=2), "2 photos"),
    ):
        assert files.told_number(setting) == told
    assert [path.name for path in files.pictures(Setting(photos=tmp_path, pictures=2))[0]] == [
        "photo000.jpg",
        "photo001.jpg",
    ]
