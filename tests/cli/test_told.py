"""What a command says of what it takes for granted, leaves out or leaves alone."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from command_line import SCENES, Funcam, photo
from PIL import Image

from funcam.cli.progress import Lines
from funcam.imaging.ending import surplus
from funcam.imaging.reading import read_image

CAM = (*SCENES, "-m", "grad-cam")
TWO = ("--net", "scenes", "--net", "b:scenes=random", "-m", "grad-cam")


# Classes by a part of their names


@pytest.fixture
def labels(funcam: Funcam) -> Path:
    names = ["starfish", "mustard", "notebook", "crane", "crane fly", "Siamese cat", "knot", "ring", "disk", "bar"]
    Path("labels.txt").write_text("\n".join(names))
    return Path("labels.txt")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("star", "star: taken as 'starfish'; also matches 1 'mustard'"),
        ("not star", "star: taken as 'starfish'; also matches 1 'mustard'"),
        ("siamese", "siamese: taken as 'Siamese cat'"),
        ("crane", ""),
        *(pytest.param(text, "", marks=pytest.mark.slow) for text in ("RING", "0")),
    ],
)
def test_a_part_of_a_name_is_told(funcam: Funcam, image: Path, labels: Path, text: str, told: str) -> None:
    for command in (("explain",), ("batch", "--out", "store-" + re.sub(r"\W", "", text))):
        ran = funcam(*command, image, "--net", "scenes", "--labels", labels, "--class", text, "-m", "grad-cam")
        assert ran.code == 0
        assert ran.err == (f"funcam: {told}\n" if told else "")
    assert funcam("explain", image, "--net", "scenes", "--labels", labels, "--class", text, "--quiet").err == ""


@pytest.mark.parametrize("text", ["not", "NOT ", "not  "])
def test_a_bare_not_names_no_class(funcam: Funcam, image: Path, labels: Path, text: str) -> None:
    run = ("--net", "scenes", "--labels", labels, "--class", text)
    funcam("explain", image, *run).error(1, "names no class; give one behind it, as 'not starfish'")
    funcam("batch", image, "--out", "store", *run).error(1, "names no class")


def test_an_unclear_part_is_refused_with_the_candidates(funcam: Funcam, image: Path, labels: Path) -> None:
    run = ("--net", "scenes", "--labels", labels, "--class", "cra")
    funcam("explain", image, *run).error(1, "ambiguous: 3 'crane', 4 'crane fly'")


# What is open to be shown


@pytest.mark.skipif(os.name != "posix", reason="false is POSIX's")
@pytest.mark.parametrize(
    "run",
    [
        ("compare", "--scenes", "2", "--net", "scenes", "-m", "grad-cam", "--report", "page.html", "--open"),
        ("explain", "pic.png", *CAM, "--report", "page.html", "--open"),
        ("explain", "pic.png", *CAM, "--open"),
    ],
)
def test_no_program_shows_it(funcam: Funcam, image: Path, monkeypatch: pytest.MonkeyPatch, run: tuple[str]) -> None:
    monkeypatch.setattr("webbrowser._tryorder", None)
    monkeypatch.setenv("BROWSER", "false")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("DISPLAY", raising=False)
    ran = funcam(*run)
    assert ran.code == 0
    assert "--open: no program to show it was found; open " in ran.err
    assert Path("page.html").is_file() or Path("results/pic-scenes-panel.png").is_file()


def test_compare_opens_its_report(funcam: Funcam, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: shown.append(url) is None)
    run = ("compare", "--scenes", "2", "--net", "scenes", "-m", "grad-cam", "--open")
    funcam(*run).error(2, "--open shows a report, and none is made")
    assert funcam(*run, "--report", "page.html", "--quiet").code == 0
    assert shown == [Path("page.html").resolve().as_uri()]


# Reports


@pytest.mark.parametrize("colormap", ["viridis", "gray"])
def test_a_report_is_in_the_colours_that_were_asked_for(funcam: Funcam, image: Path, colormap: str) -> None:
    words = ("--report", "page.html", "--report", "page.md", "--quiet", "--overwrite")
    for options, first in (((), "cividis"), (("--colormap", colormap), colormap)):
        assert funcam("explain", image, *CAM, *words, *options).code == 0
        data = re.search(r"<script[^>]*application/json[^>]*>(.*?)</script>", Path("page.html").read_text(), re.DOTALL)
        assert data
        told = json.loads(data[1])
        assert (told["colormap"] or "cividis") == first
        assert first in told["colormaps"]
    heat = read_image("page-gallery/0001-pic-1-scenes-grad-cam-heatmap.jpg").astype(int)
    grey = np.ptp(heat, axis=2).mean() < 3
    assert grey == (colormap == "gray")


COMPARED = ("compare", "--scenes", 1, "--net", "scenes", "-m", "grad-cam", "-q", "--overwrite")


@pytest.mark.parametrize("asked", ["option", "configuration"])
@pytest.mark.parametrize("command", ["explain", "compare"])
def test_a_report_has_the_heat_that_was_asked_for(funcam: Funcam, image: Path, command: str, asked: str) -> None:
    run = COMPARED if command == "compare" else ("explain", image, *CAM, "-q", "--overwrite")
    words = (*run, "--report", "page.html", "--report", "page.md")
    look = {}
    for alpha in (None, 0, 1):
        options = () if alpha is None else ("--alpha", alpha, "--colormap", "viridis")
        if asked == "configuration":
            Path("funcam.toml").write_text("" if alpha is None else f'alpha = {alpha}\ncolormap = "viridis"\n')
            options = ()
        assert funcam(*words, *options).code == 0
        data = re.search(r"<script[^>]*application/json[^>]*>(.*?)</script>", Path("page.html").read_text(), re.DOTALL)
        assert data
        told = json.loads(data[1])
        assert told["alpha"] == (0.65 if alpha is None else alpha)
        assert told["colormap"] == ("" if alpha is None else "viridis")
        (over,) = (path for path in Path("page-gallery").glob("*-grad-cam.jpg"))
        look[alpha] = read_image(over).astype(int)
    (photo,) = (path for path in Path("page-gallery").glob("*.jpg") if "grad-cam" not in path.name)
    away = {alpha: np.abs(picture - read_image(photo)).mean() for alpha, picture in look.items()}
    assert away[0] < 3 < away[None] < away[1]


def test_a_comparison_without_a_report_has_no_heat_to_ask_for(funcam: Funcam, image: Path) -> None:
    for words, told in (
        (("--alpha", 0.3), "--alpha 0.3 is of a report's maps, and none is made; give --report report.html too"),
        (("--colormap", "jet"), "--colormap jet is of a report's maps"),
        (("--colormap", "jett", "--report", "page.html"), "--colormap 'jett' is unknown; nearest: 'jet'"),
    ):
        ran = funcam(*COMPARED, *words)
        assert (ran.code, told in ran.err) == (2, True)
    assert not Path("comparison").exists()


@pytest.mark.parametrize("command", ["gallery", "sheet", "picture"])
def test_a_picture_of_the_users_is_not_replaced(funcam: Funcam, image: Path, command: str) -> None:
    assert funcam("batch", image, "--net", "scenes", "--out", "store", "-q").code == 0
    place, run = {
        "gallery": ("g-gallery/0001-pic.jpg", ("explain", image, *CAM, "--report", "g.md", "-q")),
        "sheet": ("drawn/sheet.jpg", ("batch", "show", "store", "--out", "drawn", "-q")),
        "picture": ("drawn/00000000-pic.jpg", ("batch", "show", "store", "--out", "drawn", "-q")),
    }[command]
    Path(place).parent.mkdir()
    mine = cv2.imencode(".jpg", photo())[1].tobytes()
    Path(place).write_bytes(mine)
    funcam(*run).error(2, "is there and funcam did not write it")
    assert Path(place).read_bytes() == mine
    assert funcam(*run, "--overwrite").code == 0
    assert Path(place).read_bytes() != mine
    assert funcam(*run).code == 0


def test_the_panel_of_several_networks_says_how_the_maps_were_made(
    funcam: Funcam, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from funcam.imaging.panel import panel

    told: list[str] = []

    def seen(*arguments: object, subtitle: str, **named: object) -> object:
        told.append(subtitle)
        return panel(*arguments, subtitle=subtitle, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("funcam.pipeline.several.panel", seen)
    assert funcam("explain", image, *TWO, "--contrast", "ring", "--smooth", "aug", "--class", "star", "-q").code == 0
    assert told == ["2 networks; against ring; smoothed (aug)"]


# Going on


def test_the_rate_does_not_count_what_was_done_before(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    lines = Lines("comparing", 1000, every=10, clock=lambda: now[0])
    lines.skip(900)
    now[0] = 20.0
    lines.advance(20, 3)
    err = capsys.readouterr().err
    assert err == "funcam: comparing: 920 of 1,000 images, 1.0 images/s, 80 s left, 3 failed\n"


@pytest.mark.parametrize("options", [CAM, TWO])
def test_nothing_was_left_to_do(funcam: Funcam, image: Path, options: tuple[str, ...]) -> None:
    Image.fromarray(photo(seed=4)).save("other.png")
    assert funcam("explain", image, *options, "--skip-done").code == 0
    some = funcam("explain", image, "other.png", *options, "--skip-done").out
    assert "1 image explained" in some
    assert "1 of 2 images were explained before" in some
    ran = funcam("explain", image, "other.png", *options, "--skip-done")
    assert ran.out == "nothing was left to do: 2 of 2 images were explained before, and are left as they are\n"


# Words for what is no file, what is too much, and what is too few


@pytest.mark.skipif(os.name != "posix", reason="pipes as POSIX has them")
@pytest.mark.parametrize(
    "run",
    [
        ("explain", "pic.png", "--net", "scenes", "--labels"),
        ("batch", "pic.png", "--net", "scenes", "--out", "s", "--labels"),
        ("compare", "pic.png", "--net", "scenes", "--truth", "pic.csv", "--names"),
    ],
)
def test_what_is_no_file_is_told_as_what_it_is(funcam: Funcam, image: Path, run: tuple[str, ...]) -> None:
    os.mkfifo("pipe")
    Path("folder").mkdir()
    for name, told in (("pipe", "is not a regular file"), ("folder", "is a folder"), ("none", "there is no such file")):
        funcam(*run, name).error(2, told)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_bytes_behind_an_image(funcam: Funcam, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    stream = io.BytesIO()
    thumbnail = io.BytesIO()
    Image.fromarray(photo()[:8, :8]).save(thumbnail, "JPEG")
    Image.fromarray(photo()).save(stream, kind, exif=b"Exif\0\0" + thumbnail.getvalue(), progressive=True)
    one = stream.getvalue()
    assert surplus(one) == 0
    assert surplus(one + one) == len(one)

    class Given:
        buffer = io.BytesIO(one + b"more")

    monkeypatch.setattr(sys, "stdin", Given)
    ran = funcam("explain", "-", *CAM)
    assert ran.code == 0
    assert "-: 4 bytes behind the image are left out" in ran.err


@pytest.mark.parametrize("count", ["1", "2"])
def test_of_a_few_images_nothing_is_told_in_words(funcam: Funcam, count: str) -> None:
    nets = ("--net", "scenes", "--net", "b:scenes=random", "-m", "grad-cam")
    reports = ("--report", "page.html", "--report", "page.md", "--quiet")
    assert funcam("compare", "--scenes", count, *nets, *reports).code == 0
    told = Path("page.md").read_text()
    assert "Nothing can be told from so few" in told
    assert "Conclusions" not in told
    assert '"conclusions":[]' in Path("page.html").read_text()
    assert told.startswith(f"# scenes, b on {count} image" + ("s" * (count != "1")) + "\n")


def test_one_image_has_no_interval(funcam: Funcam) -> None:
    reports = ("--report", "page.html", "--report", "page.md")
    ran = funcam("compare", "--scenes", "1", "--net", "scenes", "-m", "grad-cam", *reports)
    assert ran.code == 0
    assert "nan" not in ran.out + ran.err
    assert "nan" not in Path("page.md").read_text().replace("nance", "")


@pytest.mark.skipif(os.name != "posix", reason="names of 255 bytes")
@pytest.mark.parametrize("length", [245, 250])
def test_a_name_that_is_too_long_for_its_results(funcam: Funcam, image: Path, length: int) -> None:
    long = Path("a" * (length - 4) + ".png")
    image.rename(long)
    ran = funcam("explain", long, *CAM)
    assert ran.code == 1
    assert "can't write" in ran.err
    assert "choose a shorter name" in ran.err
    assert "Traceback" not in ran.err
