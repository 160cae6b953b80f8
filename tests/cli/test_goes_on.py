"""Ctrl-C says what is done and how to go on, and a run that goes on says so: on terminals of three widths."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from command_line import SCENES, photo
from PIL import Image

if TYPE_CHECKING:
    from terminal import Terminals

Process = Callable[..., "subprocess.Popen[str]"]
pytestmark = pytest.mark.long

INTERRUPTED = """
import importlib
module = importlib.import_module({module!r})
made, left = module.{function}, [{after}]
def interrupted(*arguments, **named):
    left[0] -= 1
    if left[0] < 0:
        raise KeyboardInterrupt
    return made(*arguments, **named)
module.{function} = interrupted
from funcam.cli import main
main()
"""
SCENE = ("--scenes", "4", "--net", "scenes", "--batch", "1", "--out", "out")
MEASURING = {
    "compare": ("compare", *SCENE, "-m", "grad-cam"),
    "evaluate": ("evaluate", *SCENE, "-m", "layer-cam", "-l", "trunk_output", "--by", "energy", "--quick"),
}
OF = {"compare": " of 4", "evaluate": ""}  # a search doesn't know how many there will be
WIDTHS = {"compare": 40, "evaluate": 200}


@pytest.mark.parametrize("command", ["compare", pytest.param("evaluate", marks=pytest.mark.slow)])
def test_measuring(process: Process, terminals: Terminals, tmp_path: Path, command: str) -> None:
    run, columns, of = MEASURING[command], WIDTHS[command], OF[command]
    program = INTERRUPTED.format(module="funcam.comparison.run", function="_measure", after=2)
    stopped = terminals.run(*run, folder=tmp_path, program=program, columns=columns).ended(130)
    assert words(stopped.text) == f"funcam: 2{of} images are measured; the same command goes on funcam: interrupted"

    going_on = terminals.run(*run, folder=tmp_path, columns=columns).ended(0)
    assert words(going_on.text).startswith(f"2{of} images were measured before; going on ")

    def piped(*words: str) -> str:
        out, err = process("-m", "funcam", *run, *words).communicate()
        assert [line for line in err.splitlines() if not line.startswith("funcam: stage ")] == []
        return out

    told = {"compare": "nothing was left to do: 4 of 4 images were measured before, and are left as they are\n"}
    assert piped().startswith(told.get(command, "4 images were measured before; going on\n"))
    assert piped("--quiet") == ""
    assert piped("--json").startswith("{")


def test_explaining(terminals: Terminals, tmp_path: Path) -> None:
    for number in range(3):
        Image.fromarray(photo(seed=number)).save(tmp_path / f"{number}.png")
    run = ("explain", ".", *SCENES, "-m", "grad-cam")
    program = INTERRUPTED.format(module="funcam.cli.explain_run", function="_record", after=2)
    told = words(terminals.run(*run, folder=tmp_path, program=program, columns=80).ended(130).text)

    (done,) = re.findall(r"funcam: (\d) of 3 images are explained, in 'results'; the same command", told)
    assert "the same command with --skip-done goes on" in told
    assert len(list((tmp_path / "results").glob("*.json"))) == int(done)

    (tmp_path / "results" / "0-scenes-panel.png").unlink()
    rest = words(terminals.run(*run, "--skip-done", folder=tmp_path, columns=80).ended(0).text)
    assert rest.startswith(f"{int(done) - 1} of 3 images were explained before; going on ")
    again = words(terminals.run(*run, "--skip-done", folder=tmp_path, columns=80).ended(0).text)
    assert again == "nothing was left to do: 3 of 3 images were explained before, and are left as they are"


def words(shown: str) -> str:
    """What is shown, in one line, however the terminal folded it."""
    return " ".join(shown.split())
