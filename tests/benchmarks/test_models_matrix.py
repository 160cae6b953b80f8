"""The quick sample of the matrix of models: right or refused, and no model changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("only", "fewest"), [(("--only", "*/[hrv]*"), 5), pytest.param((), 25, marks=pytest.mark.slow)], ids=["few", "all"]
)
def test_the_quick_sample(tmp_path, only, fewest):
    """25 entries of torchvision and the traps, and some of each other package that is installed; for CI a few."""
    out = tmp_path / "models.json"
    command = [sys.executable, "-m", "benchmarks", "models", "--quick", *only, "--jobs", "2", "--out", str(out)]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    ran = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True)
    records: dict[str, dict[str, Any]] = json.loads(out.read_text())["records"]
    assert len(records) >= fewest, ran.stderr
    assert {name.partition("/")[0] for name in records} >= {"torchvision", "traps"}
    not_judged = [name for name, record in records.items() if record["verdict"] in ("no reference", "judge failed")]
    assert not not_judged
    bad = {"wrong", "raw exception", "changed model"}
    assert not {name: record["verdict"] for name, record in records.items() if record["verdict"] in bad}
    named = [record.get("named", record)["verdict"] for record in records.values()]  # what was too slow has one only
    assert named.count("right") >= 0.9 * len(named)
