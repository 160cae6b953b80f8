"""A new method is one function and one line: the API, the command line and the documentation have it at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FUNCTION = '''

def brightest_cam(A: torch.Tensor, g: torch.Tensor, *, floor: float = 0.0) -> torch.Tensor:
    """The strongest channel of gradient times features in each cell."""
    return (g * A).amax(0).clamp(min=floor)
'''
LINE = """
        _line(
            "Brightest-CAM | brightest-cam | features:brightest_cam | A g | map",
            "the strongest channel in each cell",
            "a test",
        ),
"""
PROGRAM = """
import sys
import torch, funcam
from funcam.methods.features import brightest_cam

assert funcam.__file__.startswith(sys.argv[1]), funcam.__file__
assert "brightest_cam" in funcam.__all__ and "brightest_cam" in dir(funcam)
assert funcam.brightest_cam is brightest_cam
model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
images = torch.rand(2, 3, 8, 8)
result = funcam.explain(model, images, 1, method="brightest-cam", layer="0", floor=0.25)
A = model[0](images)
g = torch.zeros_like(A)
g[:, 1] = 1 / 36
torch.testing.assert_close(result.maps, (A * g).amax(1).clamp(min=0.25))

from parity import methods_table
(row,) = [line for line in methods_table().splitlines() if "brightest" in line]
assert row.startswith("| `brightest-cam` | `funcam.brightest_cam` | `A`, `g` | `floor=0.0` |"), row
"""


@pytest.mark.slow
def test_a_method_is_one_function_and_one_line(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "funcam", tmp_path / "funcam", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "benchmarks", tmp_path / "benchmarks", ignore=shutil.ignore_patterns("results"))
    family = tmp_path / "funcam" / "methods" / "features.py"
    family.write_text(family.read_text() + FUNCTION)
    table = tmp_path / "funcam" / "methods" / "__init__.py"
    before, after = table.read_text().split("    for method in (\n")
    table.write_text(f"{before}    for method in ({LINE}{after}")

    def run(*command: str) -> str:
        paths = os.pathsep.join([str(tmp_path), str(tmp_path / "benchmarks")])
        done = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("-c", PROGRAM, str(tmp_path))
    (listed,) = [line for line in run("-m", "funcam", "methods").splitlines() if "brightest" in line]
    assert " ".join(listed.split()) == "brightest-cam the strongest channel in each cell a test"
    assert "brightest-cam" in run(
        "-m", "funcam", "explain", "--net", "scenes", "--weights", "random", "-m", "brightest-cam", "--json"
    )


def test_the_face_shows_type_checkers_every_family() -> None:
    face = (ROOT / "funcam" / "__init__.py").read_text()
    families = {path.stem for path in (ROOT / "funcam" / "methods").glob("*.py")} - {"__init__", "noise"}
    assert {family for family in families if f"from funcam.methods.{family} import *" in face} == families
