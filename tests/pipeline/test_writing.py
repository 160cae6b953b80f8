"""What is written for an image: names, sizes, colours on the right pixels, the record, the raw maps."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from funcam import __version__
from funcam.errors import FuncamError
from funcam.imaging.fit import View
from funcam.imaging.reading import Pixels
from funcam.imaging.render import COLORMAPS
from funcam.pipeline.explaining import ImageExplanation, Prediction
from funcam.pipeline.writing import FORMATS, Style, draw_panel, write_results
from funcam.zoo.nets import Net, build_net

HEIGHT, WIDTH = 60, 90
KINDS = ("heatmap", "cam", "heatmap++", "cam++", "gb", "cam_gb")


@pytest.fixture(scope="module")
def net() -> Net:
    return build_net("scenes")


@pytest.fixture
def image() -> Pixels:
    return np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def explanation(*classes: str, view: View | None = None, spot: tuple[int, int] = (1, 4)) -> ImageExplanation:
    """A study of 6 x 9 cells whose maps are zero but for one cell."""
    names = classes or ("star",)
    cells = np.zeros((len(names), 6, 9), np.float32)
    cells[:, spot[0], spot[1]] = 2
    gradients = np.zeros((len(names), 12, 18, 3), np.float32)
    gradients[:, 2 * spot[0], 2 * spot[1]] = (1, 0, -1)
    explained = tuple(Prediction(index, name, 1.5, 0.25) for index, name in enumerate(names))
    return ImageExplanation(
        fit="squash",
        view=view or View((HEIGHT, WIDTH), (64, 64), (0.0, 0.0, float(WIDTH), float(HEIGHT))),
        predictions=explained,
        explained=explained,
        maps={"grad-cam": cells, "grad-cam++": cells, "guided-backprop": gradients, "guided-grad-cam": gradients},
        layer="trunk_output",
        notes=("a note",),
        seconds=0.125,
    )


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def format_of(path: Path) -> str | None:
    with Image.open(path) as image:
        return image.format


@pytest.mark.parametrize("suffix", FORMATS)
def test_one_class_has_the_seeds_names(tmp_path: Path, image: Pixels, net: Net, suffix: str) -> None:
    write_results(tmp_path, "pic-net", "pic.jpg", image, net, explanation(), Style(format=suffix))

    expected = {f"pic-net-{kind}.{suffix}" for kind in KINDS}
    assert names(tmp_path) == expected | {"pic-net-panel.png", "pic-net.json"}
    kinds = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}
    assert {format_of(tmp_path / name) for name in expected} == {kinds[suffix]}


def test_several_classes_have_names_of_their_own(tmp_path: Path, image: Pixels, net: Net) -> None:
    odd = ("Sealyham terrier, /Sealyham", "crane", "crane", "雪豹", "**")
    record = write_results(tmp_path, "pic-net", "pic.jpg", image, net, explanation(*odd), Style())

    parts = ["0_sealyham_terrier_sealyham", "1_crane", "2_crane", "3_雪豹", "4"]
    expected = {f"pic-net-{part}-{kind}.jpg" for part in parts for kind in KINDS}
    assert names(tmp_path) == expected | {"pic-net-panel.png", "pic-net.json"}
    assert {name for entry in record["explained"] for name in entry["files"].values()} == expected


@pytest.mark.parametrize(
    ("size", "expected"), [(None, (HEIGHT, WIDTH)), (45, (30, 45)), (180, (120, 180)), (1, (1, 1))]
)
def test_pictures_keep_the_images_aspect(
    tmp_path: Path, image: Pixels, net: Net, size: int | None, expected: tuple[int, int]
) -> None:
    record = write_results(tmp_path, "pic-net", "pic.jpg", image, net, explanation(), Style(format="png", size=size))

    assert {pixels(tmp_path / name).shape[:2] for name in record["explained"][0]["files"].values()} == {expected}


def test_heat_is_drawn_on_the_cell_that_is_hot(tmp_path: Path, image: Pixels, net: Net) -> None:
    write_results(
        tmp_path, "pic-net", "pic.jpg", image, net, explanation(spot=(4, 2)), Style(format="png", colormap="gray")
    )
    rows, columns = slice(40, 50), slice(20, 30)  # cells of 10 x 10 pixels

    for kind in ("heatmap", "heatmap++"):
        heat = pixels(tmp_path / f"pic-net-{kind}.png")[..., 0].astype(int)
        row, column = np.unravel_index(heat.argmax(), heat.shape)
        assert heat.max() > 220
        assert 40 <= row < 50
        assert 20 <= column < 30
        assert not heat[:, 40:].any()
    for kind in ("gb", "cam_gb"):
        signed = pixels(tmp_path / f"pic-net-{kind}.png").astype(int)
        assert (signed[:, 40:] == 128).all()
        assert signed[rows, columns, 0].max() > 200
        assert (signed[..., 1] == 128).all()
        assert signed[rows, columns, 2].min() < 56
    for kind in ("cam", "cam++"):
        assert (pixels(tmp_path / f"pic-net-{kind}.png")[:, 40:] == image[:, 40:]).all()


def test_each_class_has_its_own_map(tmp_path: Path, image: Pixels, net: Net) -> None:
    one, two = explanation("star", "ring", spot=(1, 1)), explanation("star", "ring", spot=(4, 7))
    maps = {method: np.stack([one.maps[method][0], two.maps[method][1]]) for method in one.maps}
    record = write_results(tmp_path, "pic-net", "pic.jpg", image, net, replace(one, maps=maps), Style(format="png"))

    for entry, (x, y) in zip(record["explained"], [(15.0, 15.0), (75.0, 45.0)], strict=True):
        assert entry["peaks"]["grad-cam"] == {"x": x, "y": y}
        for kind in KINDS:
            picture = pixels(tmp_path / entry["files"][kind]).astype(int)
            plain = image if kind.startswith("cam") and kind != "cam_gb" else picture[30, 45]
            rows, columns = np.nonzero(np.abs(picture - plain).max(axis=-1) > 60)
            assert abs(columns.mean() - x) < 6, kind
            assert abs(rows.mean() - y) < 6, kind


def test_what_the_network_did_not_see_is_grey(tmp_path: Path, image: Pixels, net: Net) -> None:
    view = View((HEIGHT, WIDTH), (64, 64), (15.0, 0.0, 75.0, 60.0))
    write_results(tmp_path, "pic-net", "pic.jpg", image, net, explanation(view=view), Style(format="png"))

    heat, blend = pixels(tmp_path / "pic-net-heatmap.png"), pixels(tmp_path / "pic-net-cam.png")
    outside = np.ones((HEIGHT, WIDTH), bool)
    outside[:, 15:75] = False
    assert (heat[outside] == 128).all()
    assert not (heat[~outside] == 128).all(axis=-1).any()
    assert (np.ptp(blend[outside], axis=-1) == 0).all()


def test_a_map_of_nothing_is_drawn_as_nothing(tmp_path: Path, image: Pixels, net: Net) -> None:
    empty = explanation()
    empty = replace(empty, maps={method: np.zeros_like(maps) for method, maps in empty.maps.items()})
    record = write_results(tmp_path, "pic-net", "pic.jpg", image, net, empty, Style(format="png"))

    assert (pixels(tmp_path / "pic-net-cam.png") == image).all()
    assert (pixels(tmp_path / "pic-net-heatmap.png") == COLORMAPS["jet"][0]).all()
    assert (pixels(tmp_path / "pic-net-gb.png") == 128).all()
    assert record["explained"][0]["peaks"] == {"grad-cam": None, "grad-cam++": None}


@pytest.mark.parametrize(
    ("style", "kind"), [(Style(format="png", colormap="viridis"), "heatmap"), (Style(format="png", alpha=0.9), "cam")]
)
def test_style_changes_what_it_says(tmp_path: Path, image: Pixels, net: Net, style: Style, kind: str) -> None:
    write_results(tmp_path, "plain", "pic.jpg", image, net, explanation(), Style(format="png"))
    write_results(tmp_path, "styled", "pic.jpg", image, net, explanation(), style)

    plain, styled = (pixels(tmp_path / f"{name}-{kind}.png") for name in ("plain", "styled"))
    assert (plain != styled).any()
    assert (pixels(tmp_path / "plain-gb.png") == pixels(tmp_path / "styled-gb.png")).all()


def test_no_alpha_is_the_image_itself(tmp_path: Path, image: Pixels, net: Net) -> None:
    write_results(tmp_path, "pic-net", "pic.jpg", image, net, explanation(), Style(format="png", alpha=0))

    assert (pixels(tmp_path / "pic-net-cam.png") == image).all()


def test_a_network_without_relus_has_the_other_pictures(tmp_path: Path, image: Pixels, net: Net) -> None:
    whole = explanation()
    cams = replace(whole, maps={method: whole.maps[method] for method in ("grad-cam", "grad-cam++")})
    record = write_results(tmp_path, "pic-net", "pic.jpg", image, net, cams, Style())

    assert tuple(record["explained"][0]["files"]) == KINDS[:4]
    assert record["methods"] == ["grad-cam", "grad-cam++"]
    assert draw_panel(image, net, cams, Style(), "").shape[1] < draw_panel(image, net, whole, Style(), "").shape[1]


def test_the_panel_has_a_row_for_each_class(image: Pixels, net: Net) -> None:
    heights = [len(draw_panel(image, net, explanation(*"abc"[:count]), Style(), "pic.jpg")) for count in (1, 2, 3)]

    assert heights[2] - heights[1] == heights[1] - heights[0] > HEIGHT


def test_the_record_says_everything(tmp_path: Path, image: Pixels, net: Net) -> None:
    view = View((HEIGHT, WIDTH), (64, 48), (15.0, 0.0, 75.0, 60.0))
    record = write_results(tmp_path, "pic-net", "träume/pic.jpg", image, net, explanation("star", view=view), Style())
    text = (tmp_path / "pic-net.json").read_text(encoding="utf-8")

    assert json.loads(text) == record
    assert "träume/pic.jpg" in text
    files = {kind: f"pic-net-{kind}.jpg" for kind in KINDS}
    prediction = {"index": 0, "name": "star", "logit": 1.5, "probability": 0.25}
    peak = {"x": 45.0, "y": 15.0}  # the fifth of nine columns over 15..75, the second of six rows over 0..60
    versions = record.pop("versions")
    assert set(versions) == {"python", "funcam", "torch", "torchvision", "numpy"}
    assert versions["numpy"] == np.__version__
    assert versions["funcam"] == __version__
    assert record == {
        "image": "träume/pic.jpg",
        "net": "scenes",
        "weights": "random (seed 0)",
        "layer": "trunk_output",
        "methods": ["grad-cam", "grad-cam++", "guided-backprop", "guided-grad-cam"],
        "maps": [],
        "combine": None,
        "smooth": [],
        "contrast": None,
        "scores": "softmax",
        "fit": "squash",
        "image_size": {"width": WIDTH, "height": HEIGHT},
        "input_size": {"width": 48, "height": 64},
        "box": {"x0": 15.0, "y0": 0.0, "x1": 75.0, "y1": 60.0},
        "predictions": [prediction],
        "explained": [{**prediction, "peaks": {"grad-cam": peak, "grad-cam++": peak}, "files": files}],
        "files": {"panel": "pic-net-panel.png", "record": "pic-net.json"},
        "notes": ["a note"],
        "seconds": 0.125,
    }


def test_a_name_that_is_no_unicode_is_still_json(tmp_path: Path, image: Pixels, net: Net) -> None:
    source = os.fsdecode(b"caf\xe9.jpg")
    write_results(tmp_path, os.fsdecode(b"caf\xe9-net"), source, image, net, explanation(), Style())

    record = json.loads((tmp_path / os.fsdecode(b"caf\xe9-net.json")).read_bytes().decode("utf-8"))
    assert record["image"] == source


def test_raw_maps_are_the_studys_own(tmp_path: Path, image: Pixels, net: Net) -> None:
    shown = explanation("star", "ring")
    record = write_results(tmp_path, "pic-net", "pic.jpg", image, net, shown, Style(raw_maps=True))

    with np.load(tmp_path / record["files"]["maps"], allow_pickle=False) as stored:
        assert set(stored) == {*shown.maps, "classes", "box"}
        for method, maps in shown.maps.items():
            np.testing.assert_array_equal(stored[method], maps)
        assert stored["classes"].tolist() == [0, 1]
        assert tuple(stored["box"]) == shown.view.box


def test_the_record_comes_last(tmp_path: Path, image: Pixels, net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record tells of complete results: when anything else fails there is none."""
    written: list[str] = []
    replace_ = os.replace

    def counted(source: str, target: Path) -> None:
        replace_(source, target)
        written.append(Path(target).name)

    monkeypatch.setattr(os, "replace", counted)
    write_results(tmp_path, "pic-net", "pic.jpg", image, net, explanation(), Style(raw_maps=True))

    assert len(written) == 9
    assert written[-1] == "pic-net.json"


def test_a_folder_that_went_away(tmp_path: Path, image: Pixels, net: Net) -> None:
    with pytest.raises(FuncamError, match="make the folder first"):
        write_results(tmp_path / "gone", "pic-net", "pic.jpg", image, net, explanation(), Style())


@pytest.mark.parametrize(
    ("pictures", "kinds"),
    [
        (("overlay",), {"cam", "cam++"}),
        (("heatmap", "gradient"), {"heatmap", "heatmap++", "gb", "cam_gb"}),
        (("panel",), set()),
        (("none",), set()),
    ],
)
def test_only_the_pictures_that_are_asked_for(
    tmp_path: Path, image: Pixels, net: Net, pictures: tuple[str, ...], kinds: set[str]
) -> None:
    for folder, style in (("some", Style(pictures=pictures)), ("all", Style())):
        (tmp_path / folder).mkdir()
        write_results(tmp_path / folder, "pic-net", "pic.jpg", image, net, explanation(), style)

    panel = {"pic-net-panel.png"} if "panel" in pictures else set()
    assert names(tmp_path / "some") == {f"pic-net-{kind}.jpg" for kind in kinds} | panel | {"pic-net.json"}
    record = json.loads((tmp_path / "some/pic-net.json").read_text(encoding="utf-8"))
    assert {*record["explained"][0]["files"]} == kinds
    assert {*record["files"]} == {"record"} | {"panel" for _ in panel}
    for name in names(tmp_path / "some") - {"pic-net.json"}:
        assert (tmp_path / "some" / name).read_bytes() == (tmp_path / "all" / name).read_bytes()


def test_a_map_finer_than_its_picture_is_averaged(tmp_path: Path, image: Pixels, net: Net) -> None:
    """Lines of one cell, which lie between the pixels of a small picture, are still to be seen."""
    cells = np.zeros((1, 240, 360), np.float32)
    cells[:, :, ::4] = 1
    fine = replace(explanation(), maps={"grad-cam": cells})
    write_results(tmp_path, "pic-net", "pic.jpg", image, net, fine, Style(format="png", colormap="gray"))

    assert pixels(tmp_path / "pic-net-heatmap.png").min() > 250
