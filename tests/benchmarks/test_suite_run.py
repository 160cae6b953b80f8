"""`python -m benchmarks run --quick` runs every suite, and its results make a page: no suite rots."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from benchmarks import __main__ as program
from benchmarks.suite import records, registry
from benchmarks.suite.asking import PASSED
from benchmarks.suite.case import Case, Group, Setting
from benchmarks.suite.run import PEERS

ROOT = Path(__file__).parents[2]


def _ended(*words: str) -> int:
    """The exit status of what measures nothing, run in this process."""
    with patch.dict(os.environ):
        return program.main([*words])


def _ran(*words: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "benchmarks", *words]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True)


def test_every_suite_has_cases() -> None:
    setting = Setting("cpu", True, (), (), None)
    for name in registry.names():
        groups = list(registry.suite(name).groups(setting))
        assert groups, name
        assert all(group.title for group in groups), name


@pytest.mark.long
@pytest.mark.parametrize("suites", [("micro", "e2e/grad", "e2e/throughput"), pytest.param((), marks=pytest.mark.slow)])
def test_every_suite_runs_quickly_and_is_reported(tmp_path: Path, suites: tuple[str, ...]) -> None:
    ran = _ran("run", *suites, "--quick", "--out", str(tmp_path))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    reports = {report.suite: report for report in records.reports_in(tmp_path)}
    assert sorted(reports) == sorted(registry.chosen([*suites]))
    assert all(report.quick and report.rows for report in reports.values())
    rows = [row for report in reports.values() for row in report.rows]
    assert not [row for row in rows if row.failed and row.case.split()[0] not in PEERS]
    assert all(row.seconds.p20 <= row.seconds.p50 <= row.seconds.p80 for row in rows if row.seconds)
    assert any(row.peak for row in reports["e2e/grad"].rows)
    assert all(row.stand_in for row in reports["e2e/throughput"].rows)  # a card's, on the CPU
    errors = [row.error for row in reports["micro/alpha"].rows if "float32" in row.group and row.error is not None]
    assert errors
    assert max(errors) < 1e-5
    page = tmp_path / "RESULTS.md"
    assert _ended("report", "--results", str(tmp_path), "--page", str(page)) == 0
    text = page.read_text()
    assert "e2e/throughput" not in text  # no row of a card without one
    assert all(name in text for name in reports if name != "e2e/throughput")
    assert _ended("compare", str(tmp_path), str(tmp_path)) == 0


def test_a_suite_that_is_unknown_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _ended("run", "nothing", "--out", str(tmp_path)) == 2
    assert "no suite is named 'nothing'; there are micro/alpha" in capsys.readouterr().err


RESULTS_FOLDER = records.RESULTS / "amd-epyc-2-cores" / "2.14.1"
REFUSED = {
    "run e2e/grad --nets resnet51": "no network is named 'resnet51'; nearest: resnet50",
    "run e2e/grad --nets timm/nothing": "timm/nothing",
    "run --rounds 0": "'0' is no whole number of at least 1",
    "run --threads -1": "'-1' is no whole number of at least 1",
    "run --batches 1,,2": "'' is no whole number of at least 1",
    "run --nets resnet18,": "'resnet18,' has a comma with nothing beside it",
    "run --pictures many": "'many' is no whole number of at least 1",
    "run e2e/files --photos nowhere": "--photos nowhere: no such folder",
    "run e2e/files --photos {empty}": "no pictures are in it",
    "run e2e/grad --photos {empty}": "--photos is for e2e/cores, e2e/files, and none of them is run",
    "run e2e/compare --nets resnet18": "and none of them is run",
    "run micro/alpha --batches 2": "and none of them is run",
    "run micro/alpha --out {file}/inside": "can't be made",
    "run e2e/grad --device cuda --clock cpu": "--clock is the CPU's",
    "compare {empty} {empty}": "no report lies in",
    "compare {file} {file}": "is no report",
    "compare {results} {results}-quick": "A and B differ in clock",
    "compare {above} {above}": "more than once",
    "compare {results} {results} --fail-above nan": "'nan' is no finite number above 0",
    "report --results {empty}": "no results in",
    "models --jobs 0": "'0' is no whole number of at least 1",
    "nothing": "invalid choice: 'nothing'",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_cannot_be_measured_is_refused_before_anything_is(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("{")
    places = {"empty": "empty", "file": "file", "results": RESULTS_FOLDER, "above": RESULTS_FOLDER.parent}
    if line.startswith("run"):
        monkeypatch.setattr("benchmarks.suite.run._done", None)  # nothing is measured
    try:
        status = _ended(*line.format(**places).split())
    except SystemExit as error:  # argparse's
        status = error.code
    assert status == 2
    assert REFUSED[line] in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty", "file"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert _ended("run", "e2e/grad", "--device", "cuda") == 2
    assert "sees no GPU here; leave --device out" in capsys.readouterr().err


def test_plots_of_what_is_no_longer_measured_go(tmp_path: Path) -> None:
    page, plots = tmp_path / "page.md", tmp_path / "plots"
    results = tmp_path / "results"
    shutil.copytree(RESULTS_FOLDER, results / "amd-epyc-2-cores" / "2.14.1")
    assert _ended("report", "--results", str(results), "--page", str(page)) == 0
    made = sorted(path.name for path in plots.iterdir())
    stale, others = "amd-epyc-2-cores-2.14.1-e2e-gone-batch-1.svg", ["another-machine-2.0-e2e-grad.svg", "notes.txt"]
    for name in (stale, *others):
        (plots / name).touch()
    assert _ended("report", "--results", str(results), "--page", str(page)) == 0
    assert sorted(path.name for path in plots.iterdir()) == sorted([*made, *others])


def test_results_are_compared_with_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    """Suites that were measured by different clocks lie in one folder."""
    clocks = {report.timer["clock"] for report in records.reports_in(RESULTS_FOLDER)}
    assert len(clocks) > 1
    assert _ended("compare", str(RESULTS_FOLDER), str(RESULTS_FOLDER)) == 0
    assert "0 slower" in capsys.readouterr().out


class Asked(Setting):
    """Notes which of its fields are read."""

    def __getattribute__(self, name: str) -> object:
        if name in PASSED:
            READ.add(name)
        return super().__getattribute__(name)


READ: set[str] = set()


@pytest.mark.parametrize("name", registry.names())
def test_a_suite_says_what_it_takes(name: str) -> None:
    READ.clear()
    list(registry.suite(name).groups(Asked("cpu", True)))
    read = READ | ({"photos"} & {*registry.suite(name).TAKES} if "pictures" in READ else set())
    assert sorted(read) == sorted(registry.suite(name).TAKES)


def test_what_one_suite_cannot_do_costs_the_others_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(setting: Setting) -> Iterator[Group]:
        raise RuntimeError("out of memory")

    def unmade() -> dict[str, Case]:
        raise RuntimeError("no such operator")

    monkeypatch.setattr(registry.suite("micro/relu"), "groups", broken)
    made = Group("made", lambda: {"nothing": Case(lambda: None)})
    monkeypatch.setattr(registry.suite("micro/jpeg"), "groups", lambda setting: [Group("unmade", unmade), made])
    monkeypatch.setattr(registry.suite("micro/maps"), "groups", lambda setting: [made])
    monkeypatch.setattr(registry.suite("micro/pictures"), "groups", lambda setting: [])
    suites = ("micro/jpeg", "micro/maps", "micro/pictures", "micro/relu")
    assert _ended("run", *suites, "--quick", "--out", str(tmp_path)) == 1
    told = capsys.readouterr()
    assert "micro/relu failed: RuntimeError: out of memory" in told.err
    assert "micro/pictures has nothing for this machine, and is left out" in told.err
    assert "unmade | all cases | failed: RuntimeError: no such operator" in told.out
    found = {report.suite: [row.case for row in report.rows] for report in records.reports_in(tmp_path)}
    assert found == {"micro/jpeg": ["all cases", "nothing"], "micro/maps": ["nothing"]}


def test_a_run_that_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*given: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmarks.suite.run._done", stopped)
    assert _ended("run", "micro/relu", "--quick", "--out", str(tmp_path)) == 130


def test_wrong_use_is_told_without_torch() -> None:
    code = (
        "import sys\n"
        "from benchmarks.__main__ import main\n"
        "try: main(['run', '--rounds', '0'])\n"
        "finally: print('torch' in sys.modules)"
    )
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.strip()) == (2, "False")
