"""`python -m benchmarks run --quick` runs every suite, and its results make a page: no suite rots."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest

from benchmarks import __main__ as program
from benchmarks.suite import records, registry
from benchmarks.suite.case import Setting
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
