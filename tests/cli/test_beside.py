"""Results of several questions in one folder: each has its own files, its record tells of them, and none is lost."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from command_line import SCENES, Funcam, photo
from PIL import Image

from funcam.errors import FuncamError
from funcam.imaging.reading import Pixels
from funcam.imaging.render import save_picture

CAM = (*SCENES, "-m", "grad-cam")
SEVERAL = ("--net", "scenes", "--net", "b:scenes=random", "-m", "grad-cam")
OTHERS = {
    "class": (*CAM, "--class", "star"),
    "several classes": (*CAM, "--top", "2"),
    "method": (*SCENES, "-m", "layer-cam"),
    "more methods": (*CAM, "-m", "guided-backprop"),
    "colormap": (*CAM, "--colormap", "viridis"),
    "size": (*CAM, "--size", "40"),
    "pictures": (*CAM, "--pictures", "overlay"),
    "maps": (*CAM, "--maps"),
    "several networks": SEVERAL,
}
CHEAP = (("several networks", True), ("several networks", False), ("class", True), ("maps", True))


def contents(folder: Path = Path("results")) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def told(folder: Path = Path("results")) -> list[str]:
    """Every file that a record tells of, as often as one does."""
    records = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    nets = [net for record in records for net in record.get("nets", [record])]
    tops = [record for record in records if "nets" in record]
    files = [each["files"] for each in (*tops, *nets, *(entry for net in nets for entry in net["explained"]))]
    return sorted(name for of in files for name in of.values())


def explained(funcam: Funcam, image: Path, *options: object) -> None:
    ran = funcam("explain", image, *options, "--quiet")
    assert (ran.code, ran.err) == (0, "")


@pytest.mark.parametrize(
    ("other", "plain_first"),
    [
        pytest.param(other, first, marks=[] if (other, first) in CHEAP else pytest.mark.slow)
        for other in OTHERS
        for first in (True, False)
    ],
)
def test_other_options_have_other_files(funcam: Funcam, image: Path, other: str, plain_first: bool) -> None:
    first, second = (CAM, OTHERS[other]) if plain_first else (OTHERS[other], CAM)
    explained(funcam, image, *first)
    before = contents()
    explained(funcam, image, *second)
    after = contents()

    assert {name: after.get(name) for name in before} == before
    assert told() == sorted(after)
    for options in (first, second):
        explained(funcam, image, *options)
        assert sorted(contents()) == sorted(after)


def test_what_is_called_otherwise_is_said(funcam: Funcam, image: Path) -> None:
    explained(funcam, image, *CAM)
    ran = funcam("explain", image, *CAM, "--class", "star")
    (name,) = {name for name in contents() if name.endswith(".json")} - {"pic-scenes.json"}
    assert re.fullmatch(r"pic-scenes-[0-9a-f]{10}\.json", name)
    assert f"these are called {name.removesuffix('.json')}" in ran.out
    assert "--overwrite" in ran.out
    assert "are called" not in funcam("explain", image, *CAM).out


def test_other_images_of_one_name(funcam: Funcam, image: Path) -> None:
    Path("other").mkdir()
    Image.fromarray(photo(seed=1)).save("other/pic.png")
    explained(funcam, image, *CAM)
    before = contents()
    explained(funcam, Path("other/pic.png"), *CAM)
    assert {name: contents()[name] for name in before} == before
    assert len(contents()) == 2 * len(before)


@pytest.mark.parametrize("options", [CAM, pytest.param(SEVERAL, marks=pytest.mark.slow)])
def test_two_images_of_one_name_have_the_same_names_in_every_call(
    funcam: Funcam, image: Path, options: tuple[str, ...]
) -> None:
    """One after the other or together, in any order; copies of each other, too."""
    Path("other").mkdir()
    other = Path("other/pic.png")
    other.write_bytes(image.read_bytes())
    explained(funcam, image, *options)
    alone = set(contents())
    ran = funcam("explain", image, other, *options)
    both = contents()
    assert len(both) == 2 * len(alone)
    assert both.keys() > alone
    assert "another image has the name pic-" in ran.out
    assert told() == sorted(both)
    for images in ((other, image), (image, other)):
        ran = funcam("explain", *images, *options, "--skip-done")
        assert ran.out.startswith("nothing was left to do: 2 of 2 images were explained before")
        assert contents() == both
    for images in ((other, image), (other,), (image,), (other, image, "--overwrite")):
        assert funcam("explain", *images, *options, "--quiet").code == 0
        assert contents().keys() == both.keys()
    of = {record["image"]: name for name in both if name.endswith(".json") for record in [json.loads(both[name])]}
    assert of.keys() == {"pic.png", "other/pic.png"}
    assert of["pic.png"] in alone


def test_a_copy_of_what_is_done_is_not_done(funcam: Funcam, image: Path) -> None:
    """Its own results would be missed: the other's tell another file's name."""
    Path("other").mkdir()
    Path("other/pic.png").write_bytes(image.read_bytes())
    assert funcam("explain", image, *CAM, "--skip-done").code == 0
    ran = funcam("explain", "other/pic.png", *CAM, "--skip-done", "--json")
    assert json.loads(ran.out)["image"] == "other/pic.png"
    assert len([name for name in contents() if name.endswith(".json")]) == 2


@pytest.mark.parametrize("options", [pytest.param(CAM, marks=pytest.mark.slow), SEVERAL])
def test_a_file_of_the_users_stays(funcam: Funcam, image: Path, options: tuple[str, ...]) -> None:
    Path("results").mkdir()
    names = ["pic-scenes-cam.jpg", "pic-scenes-panel.png", "pic-nets-panel.png", "pic-nets.json", "pic-scenes.json"]
    for name in names:
        Path("results", name).write_text('{"mine": 1}')
    explained(funcam, image, *options)
    assert all(contents()[name] == b'{"mine": 1}' for name in names)
    explained(funcam, image, *options, "--overwrite")
    assert b"mine" not in contents()["pic-scenes-cam.jpg"]


@pytest.mark.parametrize("options", [CAM, pytest.param(SEVERAL, marks=pytest.mark.slow)])
def test_overwriting_leaves_nothing_of_the_others(funcam: Funcam, image: Path, options: tuple[str, ...]) -> None:
    explained(funcam, image, *options, "--out", "alone")
    explained(funcam, image, *CAM, "--top", "3", "--maps")
    explained(funcam, image, *SEVERAL, "--class", "star")
    explained(funcam, image, *options, "--overwrite")
    assert told() == sorted(contents())
    assert set(contents(Path("alone"))) <= set(contents())
    assert ("pic-scenes-maps.npz" in contents()) == (options == SEVERAL)  # of which no file is called the same


def test_another_photo_under_the_same_command(funcam: Funcam, image: Path) -> None:
    """The classes that it shows have other names: those of the earlier photo go."""
    explained(funcam, image, *SCENES, "-m", "grad-cam", "--top", "2")
    before = set(contents())
    for seed in range(1, 9):
        Image.fromarray(photo(seed=seed)).save(image)
        explained(funcam, image, *SCENES, "-m", "grad-cam", "--top", "2")
        assert told() == sorted(contents())
    assert len(before) == len(contents())


@pytest.mark.parametrize("options", [CAM, SEVERAL])
def test_one_that_stopped_halfway(
    funcam: Funcam, image: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    """The same command goes on under the same names."""
    explained(funcam, image, *options, "--out", "whole")

    def panel_fails(path: Path, picture: Pixels) -> None:
        if path.name.endswith("-panel.png"):
            raise FuncamError("the disk is full")
        save_picture(path, picture)

    with monkeypatch.context() as patched:
        patched.setattr("funcam.pipeline.writing.save_picture", panel_fails)
        patched.setattr("funcam.pipeline.several.save_picture", panel_fails)
        assert funcam("explain", image, *options, "--quiet").code == 1
    assert not list(Path("results").glob("*.json"))
    explained(funcam, image, *options)
    assert contents().keys() == contents(Path("whole")).keys()


@pytest.mark.parametrize("name", ["../mine.txt", "mine.txt", "/etc/hostname"])
def test_a_record_that_somebody_wrote_removes_nothing(funcam: Funcam, image: Path, name: str) -> None:
    explained(funcam, image, *CAM)
    Path("mine.txt").write_text("mine")
    Path("results/mine.txt").write_text("mine")
    path = Path("results/pic-scenes.json")
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"files": record["files"] | {"more": name}}))
    explained(funcam, image, *CAM)
    assert Path("mine.txt").read_text() == Path("results/mine.txt").read_text() == "mine"


def test_several_networks_on_another_photo(funcam: Funcam, image: Path) -> None:
    explained(funcam, image, *SEVERAL, "--top", "2")
    for seed in range(1, 5):
        Image.fromarray(photo(seed=seed)).save(image)
        explained(funcam, image, *SEVERAL, "--top", "2")
        assert told() == sorted(contents())
