"""`funcam explain --skip-done`: what holds is left, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from command_line import SCENES, Funcam, photo
from PIL import Image

from funcam.errors import FuncamError
from funcam.imaging.reading import Pixels
from funcam.imaging.render import save_picture
from funcam.pipeline.earlier import ImageSource, made_from

OPTIONS = (*SCENES, "-m", "grad-cam")
NAMES = ("a", "b", "c")


@pytest.fixture
def photos(funcam: Funcam) -> Path:
    folder = Path("photos")
    folder.mkdir()
    for number, name in enumerate(NAMES):
        Image.fromarray(photo(seed=number)).save(folder / f"{name}.png")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def told(folder: Path, stem: str) -> list[str]:
    """The files that the records of an image tell of."""
    records = [json.loads(path.read_text()) for path in folder.glob(f"{stem}-*.json")]
    nets = [net for record in records for net in record.get("nets", [record])]
    files = [each["files"] for each in (*records, *nets, *(entry for net in nets for entry in net["explained"]))]
    return [name for of in files for name in of.values()]


def made_again(funcam: Funcam, options: Sequence[object]) -> set[str]:
    """Which images another run computes, by the times of their records."""
    records = {name: Path(f"results/{name}-scenes.json") for name in NAMES}
    before = {name: path.stat().st_mtime_ns for name, path in records.items()}
    ran = funcam("explain", "photos", *options, "--skip-done", "--json")
    assert ran.code == 0
    assert sorted(json.loads(line)["image"] for line in ran.out.splitlines()) == [f"photos/{n}.png" for n in NAMES]
    return {name for name, path in records.items() if path.stat().st_mtime_ns != before[name]}


def test_nothing_is_made_again(funcam: Funcam, photos: Path) -> None:
    assert funcam("explain", photos, *OPTIONS, "--quiet").code == 0
    assert made_again(funcam, OPTIONS) == set()
    ran = funcam("explain", photos, *OPTIONS, "--skip-done")
    assert "3 of 3 images were explained before, and are left as they are" in ran.out


def pixels(photos: Path) -> None:
    Image.fromarray(photo(seed=9)).save(photos / "b.png")


def a_picture(_: Path) -> None:
    Path("results/b-scenes-cam.jpg").unlink()


def an_empty_picture(_: Path) -> None:
    Path("results/b-scenes-cam.jpg").write_bytes(b"")


def a_cut_picture(_: Path) -> None:
    path = Path("results/b-scenes-cam.jpg")
    path.write_bytes(path.read_bytes()[:-9])


def another_picture(photos: Path) -> None:
    Path("results/b-scenes-panel.png").write_bytes((photos / "a.png").read_bytes())


def a_damaged_record(_: Path) -> None:
    Path("results/b-scenes.json").write_text("[" * 100_000)


def another_record(_: Path) -> None:
    path = Path("results/b-scenes.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"made_from": "0" * 32}))


def no_list(_: Path) -> None:
    path = Path("results/b-scenes.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"explained": None}))


def no_predictions(_: Path) -> None:
    path = Path("results/b-scenes.json")
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "predictions"}))


@pytest.mark.parametrize(
    "change",
    [
        pixels,
        a_picture,
        an_empty_picture,
        a_cut_picture,
        another_picture,
        a_damaged_record,
        another_record,
        no_list,
        no_predictions,
    ],
)
def test_what_holds_no_longer_is_made_again(funcam: Funcam, photos: Path, change: Callable[[Path], None]) -> None:
    assert funcam("explain", photos, *OPTIONS, "--quiet").code == 0
    change(photos)
    assert made_again(funcam, OPTIONS) == {"b"}
    assert made_again(funcam, OPTIONS) == set()


@pytest.mark.parametrize(
    "options",
    [
        (*SCENES, "-m", "layer-cam"),
        (*OPTIONS, "--class", "3"),
        (*OPTIONS, "--fit", "pad"),
        (*OPTIONS, "--colormap", "viridis"),
        pytest.param((*OPTIONS, "--input-size", "160"), marks=pytest.mark.slow),
        (*OPTIONS, "--maps"),
    ],
)
def test_other_options_are_another_question(funcam: Funcam, photos: Path, options: tuple[str, ...]) -> None:
    assert funcam("explain", photos, *OPTIONS, "--quiet").code == 0
    assert made_again(funcam, (*options, "--overwrite")) == set(NAMES)


@pytest.mark.parametrize("options", [(*SCENES, "-m", "layer-cam"), (*OPTIONS, "--fit", "pad")])
def test_results_of_other_options_are_found_under_their_own_names(
    funcam: Funcam, photos: Path, options: tuple[str, ...]
) -> None:
    for words in (OPTIONS, options):
        assert funcam("explain", photos, *words, "--quiet").code == 0
    for words in (OPTIONS, options):
        before = contents(Path("results"))
        assert "3 of 3 images were explained before" in funcam("explain", photos, *words, "--skip-done").out
        assert contents(Path("results")) == before


def test_other_weights_of_the_same_name(funcam: Funcam, photos: Path) -> None:
    from funcam.zoo.nets import load_net

    state = load_net("scenes").model.state_dict()
    torch.save(state, "w.pth")
    words = ("--net", "scenes", "--weights", "w.pth")
    assert funcam("explain", photos, *words, "-m", "grad-cam", "--quiet").code == 0
    assert made_again(funcam, (*words, "-m", "grad-cam")) == set()
    torch.save({name: value * 1.01 if value.is_floating_point() else value for name, value in state.items()}, "w.pth")
    assert made_again(funcam, (*words, "-m", "grad-cam")) == set(NAMES)


def test_an_image_that_cannot_be_read_is_told_again(funcam: Funcam, photos: Path) -> None:
    (photos / "b.png").write_bytes(b"?" * 50)
    for _ in range(2):
        ran = funcam("explain", photos, *OPTIONS, "--skip-done")
        assert ran.code == 1
        assert "b.png" in ran.err
    assert "2 of 3 images were explained before" in ran.out


def test_several_networks_are_one_question(funcam: Funcam, photos: Path) -> None:
    words = ("--net", "scenes", "--net", "other:scenes", "-m", "grad-cam")
    assert funcam("explain", photos, *words, "--quiet").code == 0
    records = {name: Path(f"results/{name}-nets.json") for name in NAMES}
    before = {name: path.stat().st_mtime_ns for name, path in records.items()}
    Path("results/b-other-cam.jpg").unlink()
    ran = funcam("explain", photos, *words, "--skip-done")
    assert "2 of 3 images were explained before" in ran.out
    assert {name for name, path in records.items() if path.stat().st_mtime_ns != before[name]} == {"b"}
    more = funcam("explain", photos, *words, "--net", "third:scenes", "--skip-done")
    assert "were explained before" not in more.out


def test_a_report_shows_all_or_says_that_it_cannot(funcam: Funcam, photos: Path) -> None:
    funcam("explain", photos, *OPTIONS, "--skip-done", "--report", "page.html").error(2, "leave one out")


def test_an_image_from_standard_input(funcam: Funcam, photos: Path) -> None:
    data = (photos / "a.png").read_bytes()
    one, other = (ImageSource("standard input", "stdin", data=each) for each in (data, data[::-1]))
    assert made_from("q", one) == made_from("q", one) != made_from("q", other)
    assert made_from("q", one) == made_from("q", ImageSource(str(photos / "a.png"), "a"))


@pytest.mark.parametrize("stops", [KeyboardInterrupt(), FuncamError("the disk is full")])
def test_a_run_of_other_options_that_stopped_halfway(
    funcam: Funcam, photos: Path, monkeypatch: pytest.MonkeyPatch, stops: BaseException
) -> None:
    """Its pictures stand beside those of the run before, whose record still tells of them."""
    assert funcam("explain", photos, *OPTIONS, "--quiet").code == 0

    def panel_fails(path: Path, picture: Pixels) -> None:
        if path.name.startswith("b-") and path.name.endswith("-panel.png"):
            raise stops
        save_picture(path, picture)

    with monkeypatch.context() as patched:
        patched.setattr("funcam.pipeline.writing.save_picture", panel_fails)
        assert funcam("explain", photos / "b.png", *OPTIONS, "--class", "star", "--quiet").code in (1, 130)
    ran = funcam("explain", photos, *OPTIONS, "--skip-done")
    assert "3 of 3 images were explained before" in ran.out


@pytest.mark.parametrize("several_first", [pytest.param(True, marks=pytest.mark.slow), False])
def test_one_network_and_several_share_pictures(funcam: Funcam, photos: Path, several_first: bool) -> None:
    """What one of them draws anew the other's record no longer tells of, nor do its other pictures stay."""
    one = ("--net", "scenes", "-m", "grad-cam")
    runs = [(*one, "--net", "other:scenes"), (*one, "--class", "star")]
    first, second = runs if several_first else runs[::-1]
    assert funcam("explain", photos, *first, "--quiet").code == 0
    assert funcam("explain", photos / "b.png", *second, "--quiet").code == 0
    assert "3 of 3 images were explained before" in funcam("explain", photos, *first, "--skip-done").out
    assert funcam("explain", photos / "b.png", *second, "--quiet", "--overwrite").code == 0
    assert {path.name for path in Path("results").glob("b-*")} == set(told(Path("results"), "b"))
    assert "2 of 3 images were explained before" in funcam("explain", photos, *first, "--skip-done").out
