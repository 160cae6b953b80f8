"""Each command on a terminal of 80 and of 40 columns: what is to be read or copied is there in one piece."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer.main
from command_line import SCENES, photo
from PIL import Image

import funcam as package
from funcam.cli.main import app
from funcam.methods import METHODS
from funcam.network.listing import list_layers
from funcam.scenes import CLASSES
from funcam.zoo.names import DEFAULT_LAYERS
from funcam.zoo.nets import build_net, net_infos

if TYPE_CHECKING:
    from terminal import Screen, Terminals

LONG = "a-name-that-is-longer-than-forty-columns-are-wide"
BROKEN = f"{LONG}-and-damaged.png"
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]

WIDTHS = pytest.mark.parametrize("columns", [80, 40])
NARROW = pytest.mark.parametrize("columns", [pytest.param(80, marks=pytest.mark.slow), 40])
"""For dear commands: what is whole in forty columns has room in eighty."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photos, one of them broken, and boxes for two."""
    (tmp_path / "photos").mkdir()
    for number in range(4):
        Image.fromarray(photo(seed=number)).save(tmp_path / "photos" / f"[{number}]:dog:.png")
    Image.fromarray(photo()).save(tmp_path / f"{LONG}.png")
    (tmp_path / BROKEN).write_bytes(b"\x89PNG")
    boxes = ["file,class_index,x0,y0,x1,y1", "[0]:dog:.png,3,30,5,60,35", "[1]:dog:.png,8,30,5,60,35"]
    (tmp_path / "boxes.csv").write_text("\n".join(boxes) + "\n")
    return tmp_path


def assert_whole(screen: Screen, *names: str) -> None:
    """Each name stands in one line, as it is copied: no other letter of a name touches it."""
    for name in names:
        assert re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", screen.text), f"{name} is not in\n{screen.text}"


def assert_folded_at_words(screen: Screen, *sentences: str) -> None:
    """Each word of the sentences is there in one piece."""
    shown = set(screen.text.split())
    for sentence in sentences:
        assert set(sentence.split()) <= shown, f"{set(sentence.split()) - shown} of {sentence!r}"


# What needs no images


@WIDTHS
@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help(terminals: Terminals, tmp_path: Path, columns: int, command: str | None) -> None:
    screen = terminals.run(*filter(None, [command]), "--help", folder=tmp_path, columns=columns).ended(0)

    if command is None:
        assert_whole(screen, *COMMANDS, "--version")
    else:
        options = [option for parameter in COMMANDS[command].params for option in parameter.opts if option[0] == "-"]
        assert_whole(screen, *options, "--help", "-h")
    assert max(map(len, screen.text.splitlines())) <= columns


@WIDTHS
def test_no_arguments_and_the_version(terminals: Terminals, tmp_path: Path, columns: int) -> None:
    version = terminals.run("--version", folder=tmp_path, columns=columns).ended(0)
    bare = terminals.run(folder=tmp_path, columns=columns).ended(2)

    assert version.text == f"funcam {package.__version__}"
    assert bare.text == terminals.run("--help", folder=tmp_path, columns=columns).ended(0).text


@WIDTHS
def test_networks(terminals: Terminals, tmp_path: Path, columns: int) -> None:
    screen = terminals.run("nets", folder=tmp_path, columns=columns).ended(0)

    assert_whole(screen, *DEFAULT_LAYERS, *DEFAULT_LAYERS.values())
    assert_whole(screen, *(f"{info.parameters:,}" for info in net_infos()))


@WIDTHS
def test_few_networks_tell_everything(terminals: Terminals, tmp_path: Path, columns: int) -> None:
    screen = terminals.run("nets", "resnet50", folder=tmp_path, columns=columns).ended(0)

    assert_whole(screen, "resnet50", "25,557,032", "224+", "layer4", "resnet", "wide_resnet50_2", "wide_resnet")
    assert_folded_at_words(screen, "ImageNet, in percent, as published.")


@WIDTHS
def test_layers(terminals: Terminals, tmp_path: Path, columns: int) -> None:
    screen = terminals.run("layers", "scenes", folder=tmp_path, columns=columns).ended(0)

    for layer in list_layers(build_net("scenes").model, (1, 3, 128, 128)):
        assert_whole(screen, layer.name, "x".join(map(str, layer.shape[1:])))
    assert len(re.findall(r"\bdefault\b", screen.text)) == 1


@WIDTHS
def test_methods(terminals: Terminals, tmp_path: Path, columns: int) -> None:
    screen = terminals.run("methods", folder=tmp_path, columns=columns).ended(0)

    assert_whole(screen, *METHODS)
    assert_folded_at_words(screen, *(f"{method.summary} {method.paper}" for method in METHODS.values()))


# Explanations


def pictures(stem: str, *kinds: str) -> str:
    return f"{stem}-{{{','.join(kinds)}}}.jpg"


ALL_KINDS = ("heatmap", "cam", "heatmap++", "cam++", "gb", "cam_gb")


@WIDTHS
def test_an_image(terminals: Terminals, folder: Path, columns: int) -> None:
    screen = terminals.run("explain", f"{LONG}.png", *SCENES, folder=folder, columns=columns).ended(0)

    assert_whole(screen, f"{LONG}.png", f"{LONG}-scenes-panel.png", f"{LONG}-scenes.json")
    assert pictures(f"{LONG}-scenes", *ALL_KINDS) in screen.text
    record = json.loads((folder / "results" / f"{LONG}-scenes.json").read_text())
    for entry in record["predictions"]:
        assert_whole(screen, entry["name"], f"{entry['probability']:.1%}")
    assert "1 image explained" in screen.text


@NARROW
def test_three_images_with_classes_methods_and_maps(terminals: Terminals, folder: Path, columns: int) -> None:
    images = [f"photos/[{number}]:dog:.png" for number in range(3)]
    asked = ("-c", "star", "-c", "triangle", "-m", "grad-cam", "-m", "layer-cam", "--maps")
    screen = terminals.run("explain", *images, *SCENES, *asked, folder=folder, columns=columns).ended(0)

    assert_whole(screen, *images)
    for number in range(3):
        assert f"[{number}]:dog:-scenes-maps.npz" in screen.text
        for name in ("star", "triangle"):
            stem = f"[{number}]:dog:-scenes-{CLASSES.index(name)}_{name}"
            assert pictures(stem, "heatmap", "cam", "layer-cam-heatmap", "layer-cam") in screen.text
    assert screen.text.count("explained") == 2 * 3 + 1


@NARROW
def test_many_images_and_a_broken_one(terminals: Terminals, folder: Path, columns: int) -> None:
    run = ("explain", "photos", f"{LONG}.png", BROKEN, *SCENES)
    ran = terminals.run(*run, folder=folder, columns=columns)
    screen = ran.ended(1)

    assert "explaining" in ran.sent
    assert "explaining" not in screen.text
    (complaint,) = [line for line in screen.lines if line.startswith("funcam:")]
    assert complaint.startswith(f"funcam: '{BROKEN}' begins like a PNG file")
    assert_whole(screen, *(f"photos/[{number}]:dog:.png" for number in range(4)), f"{LONG}.png", "5 images explained")


@NARROW
def test_a_scene(terminals: Terminals, folder: Path, columns: int) -> None:
    screen = terminals.run("explain", "--scene", 2, folder=folder, columns=columns).ended(0)

    assert_whole(screen, "scene 2", "scene2-scenes-panel.png", "scene2-scenes.json")
    assert_folded_at_words(screen, "note the scene shows disk, triangle, cross: what it shows is explained")


@NARROW
def test_documents_are_all_that_standard_output_gets(terminals: Terminals, folder: Path, columns: int) -> None:
    run = ("explain", f"{LONG}.png", "photos/[1]:dog:.png", BROKEN, *SCENES, "--json")
    apart = terminals.run(*run, folder=folder, columns=columns, piped=True)
    together = terminals.run(*run, folder=folder, columns=columns)

    assert [json.loads(line)["image"] for line in apart.piped.splitlines()] == list(run[1:3])
    assert apart.ended(1).text.startswith(f"funcam: '{BROKEN}' begins like a PNG file")
    assert apart.screen.text.count("\n") == 0
    documents = [line for line in together.ended(1).lines if line.startswith("{")]
    assert [json.loads(line)["image"] for line in documents] == list(run[1:3])
    assert not together.screen.styled


@NARROW
@pytest.mark.parametrize(
    "run",
    [
        ("explain", "photos", *SCENES),
        ("compare", "--scenes", 2, "--net", "scenes"),
        ("evaluate", "--scenes", 2, "--quick", "-m", "layer-cam"),
    ],
)
def test_quiet_is_silent(terminals: Terminals, folder: Path, columns: int, run: tuple[object, ...]) -> None:
    assert terminals.run(*run, "--quiet", folder=folder, columns=columns).ended(0).text == ""


# Comparisons


def figures(file: Path, *metrics: str) -> list[str]:
    """The figures of all images, in percent, with their intervals."""
    rows = [row for row in csv.DictReader(file.read_text().splitlines()) if row["subset"] == "all"]
    shown = [[100 * float(row[name]) for name in ("value", "low", "high")] for row in rows if row["metric"] in metrics]
    return [f"{value:.1f} {low:.1f}..{high:.1f}" for value, low, high in shown]


@WIDTHS
def test_a_comparison_of_scenes(terminals: Terminals, folder: Path, columns: int) -> None:
    run = ("compare", "--scenes", 4, "--net", "scenes", "--net", "raw:scenes=random", "-o", "here")
    ran = terminals.run(*run, folder=folder, columns=columns)
    screen = ran.ended(0)

    assert "comparing" in ran.sent
    assert "comparing" not in screen.text
    measured = figures(folder / "here" / "results.csv", "max-box-acc-v2", "pointing-game", "energy", "coverage")
    assert len(measured) == 2 * 5 * 4  # networks, methods with the baselines, metrics
    assert_whole(screen, *measured, "scenes", "raw", "trunk_output", "grad-cam", "grad-cam++", "centre-gaussian")
    assert "4 images compared; results in here" in screen.text
    document = json.loads((folder / "here" / "results.json").read_text())
    assert_folded_at_words(screen, *document["conclusions"])


@NARROW
def test_a_comparison_of_photos_with_pages(terminals: Terminals, folder: Path, columns: int) -> None:
    data = ("photos", "--truth", "boxes.csv", "--net", "scenes", "-m", "layer-cam")
    pages = ("--report", "page.html", "--report", "gallery.md")
    screen = terminals.run("compare", *data, *pages, folder=folder, columns=columns).ended(0)

    assert "2 images compared; results in comparison" in screen.text
    assert len([line for line in screen.lines if line.startswith("funcam: ") and ":dog:.png" in line]) >= 1
    assert (folder / "page.html").stat().st_size > (folder / "gallery.md").stat().st_size > 0


@NARROW
@pytest.mark.parametrize(
    ("run", "key"),
    [
        (("compare", "--scenes", 2, "--net", "scenes"), "results"),
        (("evaluate", "--scenes", 2, "--quick", "-m", "layer-cam"), "ranking"),
    ],
)
def test_figures_as_a_document(
    terminals: Terminals, folder: Path, columns: int, run: tuple[object, ...], key: str
) -> None:
    ran = terminals.run(*run, "--json", folder=folder, columns=columns, piped=True)

    assert ran.ended(0).text == ""
    assert json.loads(ran.piped)[key]
    on_it = terminals.run(*run, "--json", folder=folder, columns=columns).ended(0)
    assert json.loads(on_it.text)[key]


@NARROW
def test_the_best_recipe(terminals: Terminals, folder: Path, columns: int) -> None:
    run = ("evaluate", "--scenes", 4, "--quick", "-m", "layer-cam,grad-cam", "-o", "here")
    ran = terminals.run(*run, folder=folder, columns=columns)
    screen = ran.ended(0)

    assert "stage 1" in ran.sent
    assert "stage 1" not in screen.text
    document = json.loads((folder / "here" / "recipe.json").read_text())
    for row in document["ranking"]:
        for half in ("chosen_on", "found_on"):
            value, low, high = (100 * row[half][name] for name in ("value", "low", "high"))
            assert_whole(screen, f"{value:.1f} {low:.1f}..{high:.1f}")
    words = [row["words"] for row in document["ranking"]]
    assert_folded_at_words(screen, *words, *document["sentences"])
    assert f"to use it: funcam explain ... {document['best']['options']}" in screen.lines
    assert "or funcam explain ... --recipe here/recipe.json, which has all of this" in screen.lines


# What goes wrong


@WIDTHS
@pytest.mark.parametrize(
    ("run", "code", "told"),
    [
        (("explain", "no-such-photo.png"), 2, "'no-such-photo.png' does not exist"),
        (("explain", "--nonsense"), 2, "No such option"),
        (("explain", f"{LONG}.png", "--net", "resnet5"), 2, "network 'resnet5' is not in the zoo"),
        (("compare", "--net", "scenes"), 2, "no images to compare on"),
        (("evaluate", "--scenes", 4, "--by", "speed"), 2, "--by 'speed' is no metric"),
        (("layers", "resnet5"), 2, "network 'resnet5' is not in the zoo"),
        (("methods", "more"), 2, "more"),
        (("nets", "resnet5000"), 1, "no network has 'resnet5000' in its name"),
        (("explain", BROKEN, *SCENES), 1, f"'{BROKEN}' begins like a PNG file"),
        (("explain", f"{LONG}.png", *SCENES, "-l", "nowhere"), 1, "layer 'nowhere' is not in"),
        (("compare", "--scenes", 2, "--net", "scenes", "-l", "nowhere"), 1, "layer 'nowhere' is not in"),
        (("evaluate", f"{LONG}.png", "-m", "layer-cam"), 1, "at least two images"),
    ],
)
def test_an_error_is_one_line(
    terminals: Terminals, folder: Path, columns: int, run: tuple[object, ...], code: int, told: str
) -> None:
    text = terminals.run(*run, folder=folder, columns=columns).ended(code).text

    assert re.fullmatch(r"funcam: \S[^\n]*", text)
    assert told in text
