"""`--json` of the lists, files of others that stay, what is cheap, lines for a bar, and whose help is pointed to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Funcam, photo
from PIL import Image

from funcam.cli.progress import Lines
from funcam.methods import METHODS
from funcam.zoo.names import DEFAULT_LAYERS, NETS


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two photos."""
    (tmp_path / "photos").mkdir()
    for number in range(2):
        Image.fromarray(photo(seed=number)).save(tmp_path / "photos" / f"{number}.png")
    return Path("photos")


def test_networks(funcam: Funcam) -> None:
    ran = funcam("nets", "--json")
    found = {entry["name"]: entry for entry in json.loads(ran.out)}
    assert (ran.code, ran.err) == (0, "")
    assert list(found) == list(NETS)
    assert found["resnet50"]["parameters"] == 25557032
    assert {name: entry["default_layer"] for name, entry in found.items()} == {n: DEFAULT_LAYERS[n] for n in NETS}
    assert [entry["name"] for entry in json.loads(funcam("nets", "resnet18", "--json").out)] == ["resnet18"]


def test_layers(funcam: Funcam) -> None:
    found = json.loads(funcam("layers", "scenes", "--json").out)
    assert [entry for entry in found if entry["default"]] == [
        {"name": "trunk_output", "shape": [144, 16, 16], "default": True}
    ]


def test_methods(funcam: Funcam) -> None:
    found = json.loads(funcam("methods", "--json").out)
    assert [(entry["name"], entry["paper"]) for entry in found] == [
        (each.name, each.paper) for each in METHODS.values()
    ]


@pytest.mark.parametrize(
    ("arguments", "help_"),
    [
        (("explain", "--no-such"), "funcam explain --help"),
        (("compare", "--batch", "many"), "funcam compare --help"),
        (("layers",), "funcam layers --help"),
        (("evaluate", "--scenes", 0), "funcam evaluate --help"),
        (("explane",), "funcam --help"),
    ],
)
def test_wrong_use_points_to_the_help_of_its_own_command(
    funcam: Funcam, arguments: tuple[str, ...], help_: str
) -> None:
    ran = funcam(*arguments)
    assert ran.code == 2
    assert ran.err.endswith(f"; see `{help_}`\n")


# --- reports ----------------------------------------------------------------------------------------------------------

COMPARE = ("compare", "--scenes", 2, "--net", "scenes", "-m", "grad-cam", "--quiet")


@pytest.mark.parametrize("name", ["README.md", "index.html"])
def test_a_file_of_somebody_elses_is_not_replaced_unasked(funcam: Funcam, name: str) -> None:
    Path(name).write_text("# Mine\n")
    ran = funcam(*COMPARE, "--report", name)
    assert ran.code == 2
    assert "--overwrite" in ran.err
    assert Path(name).read_text() == "# Mine\n"
    assert not Path("comparison").exists()  # it was found before the work
    assert funcam(*COMPARE, "--report", name, "--overwrite").code == 0
    assert "Mine" not in Path(name).read_text()
    assert funcam(*COMPARE, "--report", name).code == 0  # an own one is made anew


def test_a_report_that_can_t_be_written_is_found_before_the_work(funcam: Funcam) -> None:
    Path("folder.md").mkdir()
    Path("file").write_text("")
    for name, message in (("folder.md", "is a folder"), ("file/report.html", "is a file, not a folder")):
        ran = funcam(*COMPARE, "--report", name)
        assert ran.code == 2
        assert message in ran.err
    assert not Path("comparison").exists()


# --- what is measured, and how long it takes --------------------------------------------------------------------------


def test_without_truth_what_is_cheap_is_measured_and_said(funcam: Funcam, photos: Path) -> None:
    ran = funcam("compare", photos, "--net", "scenes", "-m", "grad-cam")
    measured = {row["metric"] for row in json.loads(Path("comparison/results.json").read_bytes())["results"]}
    assert measured == {"average-drop", "increase", "average-gain"}
    assert "--metrics faithfulness" in ran.err
    assert ran.err.count("\n") == 1
    assert "--metrics" not in funcam("compare", photos, "--net", "scenes", "-m", "grad-cam", "--json").err


def test_faithfulness_holds_the_cheap_ones(funcam: Funcam, photos: Path) -> None:
    few = ("compare", photos, "--net", "scenes", "-m", "grad-cam", "--quiet", "--metrics", "confidence,faithfulness")
    assert funcam(*few).err == ""
    document = json.loads(Path("comparison/results.json").read_bytes())
    assert {"average-drop", "insertion"} <= {row["metric"] for row in document["results"]}


def test_lines_stand_for_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    lines = Lines("comparing", 1000, every=10, clock=lambda: now[0])
    for at, count in ((5, 10), (10, 10), (15, 10), (20, 970)):
        now[0] = at
        lines.advance(count)
    assert capsys.readouterr().err == "funcam: comparing: 20 of 1,000 images, 2.0 images/s, 8 min left\n"
