"""Names that would do something to a terminal or a spreadsheet: shown escaped wherever they are printed or written."""

from __future__ import annotations

import csv
import json
import math
import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from command_line import SCENES, Funcam, photo
from PIL import Image

from funcam.comparison import Plan
from funcam.comparison.contents import Contents
from funcam.comparison.findings import ComparisonResult, Measured, write_comparison
from funcam.errors import printable
from funcam.report.data import Result
from funcam.resuming.places import results_place
from funcam.scenes import CLASSES

if TYPE_CHECKING:
    from terminal import Terminals

pytestmark = pytest.mark.long

EVIL = "e\x1b[31mv\x1b]0;owned\x07\x9b2Ji\u202el\u2066\x7f\u2028"
SHOWN = r"e\x1b[31mv\x1b]0;owned\x07\x9b2Ji\u202el\u2066\x7f\u2028"
LINES = "a\nb\rc\td"
BEHIND = r"a\nb\rc\td"
CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
LABELS = [f"{EVIL}{number}" for number in range(len(CLASSES))]

MODEL = """
from torch import nn
import funcam

def mine():
    model = nn.Sequential()
    model.add_module({name!r}, nn.Conv2d(3, 4, 5))
    model.add_module("r", nn.ReLU())
    model.add_module("pool", nn.AdaptiveAvgPool2d(1))
    model.add_module("flat", nn.Flatten())
    model.add_module("fc", nn.Linear(4, 10))
    return funcam.zoo.own_net(model, input_size=64, classes={labels!r})
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photos and a model whose names are what they are, and boxes for the photos."""
    (tmp_path / "photos").mkdir()
    rows = [["file", "class_index", "x0", "y0", "x1", "y1"]]
    for number, name in enumerate((EVIL, LINES, "=1+1", "[bold]")):
        Image.fromarray(photo(seed=number)).save(tmp_path / "photos" / f"{name}.png")
        rows.append([f"{name}.png", str(number), "30", "5", "60", "35"])
    with open(tmp_path / "boxes.csv", "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / f"{EVIL}.png").write_bytes(b"\x89PNG")
    (tmp_path / "broken" / f"{LINES}.png").write_bytes(b"\x89PNG")
    (tmp_path / "mine.py").write_text(MODEL.format(name=EVIL, labels=LABELS), encoding="utf-8")
    return tmp_path


NET = f"{EVIL}:mine.py:mine"
RUNS = {
    "explain one": ("explain", f"photos/{EVIL}.png", "--net", NET),
    "explain lines": ("explain", f"photos/{LINES}.png", "--net", NET),
    "explain many": ("explain", "photos", "--net", NET),
    "explain broken": ("explain", "broken", "--net", NET),
    "explain nothing": ("explain", f"no{EVIL}.png", "--net", NET),
    "explain a class": ("explain", "photos", "--net", NET, "--class", f"x{EVIL}"),
    "explain no net": ("explain", "photos", "--net", f"x{EVIL}"),
    "explain out": ("explain", f"photos/{EVIL}.png", "--net", NET, "--out", f"out{EVIL}"),
    "explain layer": ("explain", f"photos/{EVIL}.png", "--net", NET, "--layer", f"x{EVIL}"),
    "explain recipe": ("explain", "photos", "--recipe", f"x{EVIL}"),
    "explain weights": ("explain", "photos", "--weights", f"x{EVIL}.pth"),
    "explain labels": ("explain", "photos", "--labels", f"x{EVIL}"),
    "an option": ("explain", "photos", f"--x{EVIL}"),
    "a command": (f"x{EVIL}",),
    "compare": ("compare", "photos", "--net", NET, "--truth", "boxes.csv", "--report", "a.md", "--report", "a.html"),
    "compare broken": ("compare", "photos", "broken", "--net", NET, "--metrics", "arcc"),
    "compare truth": ("compare", "photos", "--net", NET, "--truth", f"x{EVIL}"),
    "evaluate": ("evaluate", "photos", "--net", NET, "--truth", "boxes.csv", "--quick", "-m", "layer-cam"),
    "layers": ("layers", "mine.py:mine"),
    "nets": ("nets", f"x{EVIL}"),
}


def assert_harmless(text: str) -> None:
    assert not CONTROLS.search(text), CONTROLS.search(text)


@pytest.mark.parametrize("run", RUNS)
def test_a_pipe(funcam: Funcam, folder: Path, run: str) -> None:
    ran = funcam(*RUNS[run])
    assert ran.code in (0, 1, 2)
    assert "Traceback" not in ran.err
    assert_harmless(ran.out + ran.err)
    assert SHOWN in ran.out + ran.err or BEHIND in ran.out + ran.err
    if run == "explain broken":
        assert len(ran.err.splitlines()) == 2


@pytest.mark.parametrize("columns", [pytest.param(80, marks=pytest.mark.slow), 40])
@pytest.mark.parametrize("run", RUNS)
def test_a_terminal(terminals: Terminals, folder: Path, run: str, columns: int) -> None:
    """What is sent to it besides letters is Rich's own: colours, the cursor's, and lines that are drawn again."""
    ran = terminals.run(*RUNS[run], folder=folder, columns=columns)
    own = re.sub(r"\x1b\[(\?25[hl]|[\d;]*m|\d*A|2K)|\r", "", ran.sent)
    assert_harmless(own)
    assert "\x1b[31mv" not in ran.sent
    assert "Traceback" not in ran.sent
    whole = re.sub(r"\s", "", ran.screen.text)
    assert SHOWN in whole or BEHIND in whole


def test_what_is_written(funcam: Funcam, folder: Path) -> None:
    assert funcam(*RUNS["compare"], "--out", "out").code == 0
    rows = list(csv.reader((folder / "out" / "results.csv").read_text(encoding="utf-8").splitlines()))
    assert {row[0] for row in rows[1:]} == {SHOWN}
    document = json.loads((folder / "out" / "results.json").read_text(encoding="utf-8"))
    assert {row["net"] for row in document["results"]} == {EVIL}
    gallery = (folder / "a.md").read_text(encoding="utf-8")
    assert re.sub(r"\\(.)", r"\1", gallery).count(SHOWN) > 5
    for path in (folder / "out" / "results.csv", folder / "out" / "results.json", folder / "a.md"):
        assert_harmless(path.read_text(encoding="utf-8"))
    ran = funcam(*RUNS["compare"], "--out", "out", "--json")
    assert json.loads(ran.out) == json.loads((folder / "out" / "results.json").read_text(encoding="utf-8"))
    assert_harmless(ran.out)


def test_records_are_json_that_says_what_the_names_are(funcam: Funcam, folder: Path) -> None:
    ran = funcam("explain", "photos", "--net", NET, "--json", "--out", "out")
    records = [json.loads(line) for line in ran.out.splitlines()]
    assert {Path(record["image"]).stem for record in records} == {EVIL, LINES, "=1+1", "[bold]"}
    assert {record["explained"][0]["name"] for record in records} <= set(LABELS)
    assert_harmless(ran.out)
    for record in records:
        text = (folder / "out" / record["files"]["record"]).read_text(encoding="utf-8")
        assert json.loads(text) == record
        assert_harmless(text)


@pytest.mark.parametrize(
    "label", ["=1+1", "+1", "-1", "@SUM(A1)", "\uff1d1", "\uff201", "\t=1", "\r=1", " =1", '=cmd|" /C calc"!A0', "fair"]
)
def test_no_cell_is_a_formula_and_numbers_are_numbers(tmp_path: Path, label: str) -> None:
    row = Result(label, label, label, "energy", "all", -0.5, -1e-9, math.nan, 3)
    result = ComparisonResult([row], [], [], [], 3, Measured({}, Contents([])), [])
    write_comparison(result, [], Plan(), results_place(tmp_path, "results", ""))
    with open(tmp_path / "results.csv", newline="", encoding="utf-8") as stream:
        (read,) = csv.DictReader(stream)
    for column in ("net", "layer", "method"):
        assert read[column].lstrip()[0] not in "=+-@\uff1d\uff20\t\r"
        assert read[column].removeprefix("'") == printable(label)
    assert [read[column] for column in ("value", "low", "high", "n")] == ["-0.5", "-1e-09", "nan", "3"]


def test_every_character_that_is_no_letter_is_known() -> None:
    """By Unicode's own tables: all control characters, line ends, and what turns the direction."""
    every = [chr(code) for code in range(0x3000)]
    turning = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}
    dangerous = {
        letter
        for letter in every
        if unicodedata.category(letter) in ("Cc", "Zl", "Zp") or unicodedata.bidirectional(letter) in turning
    }
    marks = {"\u061c", "\u200e", "\u200f"}
    assert {letter for letter in every if printable(letter) != letter} == dangerous | marks
    assert all(printable(letter).isascii() and printable(letter).isprintable() for letter in dangerous)


@pytest.mark.parametrize(("side", "told"), [(1000, False), (1500, True)])
def test_a_large_input_is_told_before_it_is_computed(funcam: Funcam, image: Path, side: int, told: bool) -> None:
    ran = funcam("explain", image, *SCENES, "-m", "grad-cam", "--input-size", side, "--pictures", "none")
    assert ran.code == 0
    said = f"funcam: an input of {side}x{side} pixels takes gigabytes of memory: up to 2 kB a pixel"
    assert (said in ran.err.splitlines()) is told
