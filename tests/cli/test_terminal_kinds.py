"""Terminals without colour, without any sequences, and narrower than anybody has; Ctrl-C in the middle of the work."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from command_line import SCENES, photo
from PIL import Image

if TYPE_CHECKING:
    from terminal import Terminals

SEARCH = ("--quick", "-m", "layer-cam", "-l", "trunk_output")
WORK = {
    "explain": ("explain", "photos", *SCENES, "--method", "all"),
    "compare": ("compare", "--scenes", 500, "--net", "scenes"),
    "evaluate": ("evaluate", "--scenes", 500, *SEARCH),
}
DRAWN = {"explain": "explaining", "compare": "comparing", "evaluate": "stage 1 of 2"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A few photos."""
    (tmp_path / "photos").mkdir()
    for number in range(4):
        Image.fromarray(photo(seed=number)).save(tmp_path / "photos" / f"{number}.png")
    return tmp_path


@pytest.mark.parametrize("columns", [pytest.param(80, marks=pytest.mark.slow), 40])
@pytest.mark.parametrize("command", WORK)
def test_an_interrupt_in_the_middle_of_the_work(terminals: Terminals, folder: Path, columns: int, command: str) -> None:
    run = (*WORK[command], "--out", "out")
    ran = terminals.run(*run, folder=folder, columns=columns, interrupt_at=DRAWN[command])

    assert ran.ended(130).text == "funcam: interrupted"
    for path in (folder / "out").rglob("*"):
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.is_file():
            Image.open(path).load()  # nothing else is written before the end


def test_an_interrupt_while_what_is_slow_is_imported(terminals: Terminals, folder: Path) -> None:
    program = "from funcam.cli import main; main()"
    ran = terminals.run(*WORK["explain"], folder=folder, interrupt_at="loading", program=program)

    assert ran.ended(130).text == "funcam: interrupted"


FEW = {
    "explain": ("explain", "photos", *SCENES),
    "compare": ("compare", "--scenes", 2, "--net", "scenes", "-m", "layer-cam"),
    "evaluate": ("evaluate", "--scenes", 2, *SEARCH),
    "layers": ("layers", "scenes"),
    "nets": ("nets", "resnet"),
    "methods": ("methods",),
    "help": ("compare", "--help"),
}
TOLD = {
    "explain": "4 images explained",
    "compare": "2 images compared",
    "evaluate": "to use it: funcam explain",
    "layers": "trunk_output.block3",
    "nets": "wide_resnet101_2",
    "methods": "element-wise-grad-cam",
    "help": "--input-size",
}


@pytest.mark.parametrize("command", FEW)
def test_twenty_columns(terminals: Terminals, folder: Path, command: str) -> None:
    assert TOLD[command] in terminals.run(*FEW[command], folder=folder, columns=20).ended(0).text


@pytest.mark.parametrize("command", FEW)
def test_a_terminal_without_colours(terminals: Terminals, folder: Path, command: str) -> None:
    ran = terminals.run(*FEW[command], folder=folder, columns=40, NO_COLOR="1")

    assert TOLD[command] in ran.ended(0).text
    assert not re.search(r"\x1b\[([\d;]*;)?(3[0-8]|4[0-8]|9\d|10\d)[;m]", ran.sent)


@pytest.mark.parametrize("command", FEW)
def test_a_dumb_terminal(terminals: Terminals, folder: Path, command: str) -> None:
    ran = terminals.run(*FEW[command], folder=folder, columns=40, TERM="dumb")

    assert TOLD[command] in ran.ended(0).text
    assert "\x1b" not in ran.sent
