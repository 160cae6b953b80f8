"""``funcam compare``: from the command line to figures, files and words."""

from __future__ import annotations

import csv
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import Funcam, photo
from PIL import Image

from funcam.scenes import CLASSES
from funcam.zoo.nets import build_net


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three photos, and boxes for two of them."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(photo(seed=number)).save(folder / f"{number}.png")
    lines = ["file,class_index,x0,y0,x1,y1", "0.png,3,30,5,60,35", "1.png,8,30,5,60,35", "1.png,8,0,40,20,60"]
    (tmp_path / "boxes.csv").write_text("\n".join([*lines, "nobody.png,1,0,0,5,5"]) + "\n")
    return Path("photos")


def test_scenes(funcam: Funcam) -> None:
    ran = funcam("compare", "--scenes", 4, "--net", "scenes", "--net", "raw:scenes=random", "--out", "here")

    assert (ran.code, ran.err) == (0, "")
    assert "MaxBoxAccV2" in ran.out
    assert "single objects" in ran.out
    assert "4 images compared; results in here" in ran.out
    rows = list(csv.DictReader(Path("here/results.csv").read_text().splitlines()))
    assert {row["net"] for row in rows} == {"scenes", "raw"}
    assert {"grad-cam", "grad-cam++", "centre-gaussian"} <= {row["method"] for row in rows}


def test_photos_with_truth(funcam: Funcam, photos: Path) -> None:
    ran = funcam("compare", photos, "--truth", "boxes.csv", "-n", "scenes", "-m", "layer-cam", "--json")

    document: dict[str, Any] = json.loads(ran.out)
    assert ran.code == 0
    assert document["images"] == 2
    assert {row["n"] for row in document["results"] if row["subset"] == "multiple"} == {1}
    assert any("nobody.png" in line for line in ran.err.splitlines())  # truth that names no image
    assert any("2.png" in line for line in ran.err.splitlines())  # an image without truth


def test_a_network_with_several_weights(funcam: Funcam) -> None:
    torch.save(build_net("scenes").model.state_dict(), "mine.pth")
    ran = funcam("compare", "--scenes", 2, "-n", "shipped:scenes", "-n", "mine:scenes=mine.pth", "--json")
    assert {row["net"] for row in json.loads(ran.out)["results"]} == {"shipped", "mine"}


def test_layers_of_one_network_and_their_combination(funcam: Funcam) -> None:
    run = (
        "compare",
        "--scenes",
        2,
        "-n",
        "scenes",
        "-m",
        "layer-cam",
        "-l",
        "trunk_output",
        "-l",
        "scenes=trunk_output.block1",
    )
    apart = json.loads(funcam(*run, "--json").out)
    one = json.loads(funcam(*run, "--combine", "product", "--json").out)
    names = lambda found: {row["layer"] for row in found["results"] if row["layer"]}  # noqa: E731
    assert names(apart) == {"trunk_output", "trunk_output.block1"}
    assert names(one) == {"trunk_output+trunk_output.block1"}


def test_the_input_size_is_that_of_every_network(funcam: Funcam) -> None:
    run = ("compare", "--scenes", 2, "-n", "scenes", "-n", "other:scenes", "-m", "layer-cam", "--json")
    own, small = (json.loads(funcam(*run, *more).out) for more in ((), ("--input-size", 64)))
    of = lambda found, net: [row["value"] for row in found["results"] if row["net"] == net]  # noqa: E731
    assert of(small, "scenes") == of(small, "other") != of(own, "scenes")


def test_reports(funcam: Funcam) -> None:
    ran = funcam("compare", "--scenes", 2, "-n", "scenes", "--report", "a.html", "--report", "gallery/README.md", "-q")
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert "scene 5000000" in Path("a.html").read_text(encoding="utf-8")
    assert Path("gallery/README.md").exists()


def test_that_a_report_of_another_comparison_is_replaced_is_told(funcam: Funcam) -> None:
    words = ("compare", "-n", "scenes", "-m", "grad-cam", "-q", "--report", "a.html", "--scenes")
    assert funcam(*words, 2).err == ""
    before = Path("a.html").read_bytes()
    assert funcam(*words, 2, "--colormap", "jet", "--out", "elsewhere").err == ""  # another look at the same figures
    assert Path("a.html").read_bytes() != before
    ran = funcam(*words, 3)
    assert ran.code == 0
    assert "--report 'a.html' shows what other images, networks or options gave, and is replaced" in ran.err
    assert funcam(*words, 2, "--overwrite").err == ""


def test_bad_images_come_at_the_end(funcam: Funcam, photos: Path) -> None:
    (photos / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    ran = funcam("compare", photos, "--truth", "boxes.csv", "-n", "scenes", "--quiet")
    assert ran.code == 1
    assert "0.png" in ran.err
    assert Path("comparison/results.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--scenes", 2), r"no network to compare; give --net"),
        (("--net", "scenes"), r"no images to compare on; give image files, folders or globs, or --scenes 500"),
        (("--net", "resnet5", "--scenes", 2), r"--net 'resnet5': .*nearest: 'resnet50'"),
        (("--net", "scenes", "--net", "scenes", "--scenes", 2), r"two networks are called 'scenes'; .*LABEL:scenes="),
        (("--net", "scenes", "--scenes", 2, "--truth", "x.csv"), r"--scenes was given and images or --truth too"),
        (("--net", "scenes", "photos", "--truth", "x.csv"), r"--truth 'x.csv': there is no such file or folder"),
        (("--net", "scenes", "nothing"), r"'nothing' does not exist"),
        (("--net", "scenes", "photos", "--metrics", "localisation"), r"needs to know where the objects are"),
        (("--net", "scenes", "--scenes", 2, "--metrics", "speed"), r"--metrics 'speed' is unknown"),
        (("--net", "scenes", "--scenes", 2, "--method", "gradcam"), r"unknown method 'gradcam'; nearest: 'grad-cam'"),
        (("--net", "scenes", "--scenes", 2, "--method", "all"), r"--method all is not for a comparison"),
        (("--net", "scenes", "--scenes", 2, "--layer", "a=b"), r"no network is called 'a'; there are scenes"),
        (("--net", "scenes", "--scenes", 2, "--target", "best"), r"--target 'best' is unknown"),
        (("--net", "scenes", "--scenes", 2, "--combine", "mean"), r"--combine mean makes one map of several layers"),
        (("--net", "scenes", "--scenes", 2, "--combine", "sum"), r"--combine 'sum' is unknown; expected mean, max or"),
        (("--net", "scenes", "--scenes", 2, "--smooth", "blur"), r"--smooth 'blur' is unknown; expected aug or eigen"),
        (("--net", "scenes", "--scenes", 2, "--device", "gpu"), r"--device 'gpu' is unknown; expected auto, cpu"),
        (("--net", "scenes", "--scenes", 2, "--report", "a.pdf"), r"--report 'a.pdf': expected a page"),
    ],
)
def test_wrong_words(funcam: Funcam, photos: Path, arguments: Any, message: str) -> None:
    funcam("compare", *arguments).error(2, message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--layer", "nowhere"), r"layer 'nowhere' is not in"),
        (("--method", "le-grad"), r"le-grad is for Vision Transformers"),
        (("--net", "shufflenet_v2_x0_5=random"), r"knows 10 classes and shufflenet_v2_x0_5 1000"),
    ],
)
def test_what_cannot_be_compared(funcam: Funcam, arguments: Any, message: str) -> None:
    funcam("compare", "--scenes", 2, "--net", "scenes", *arguments).error(1, message)


def test_masks_that_nobody_has(funcam: Funcam, photos: Path) -> None:
    words = ("compare", photos, "--truth", "boxes.csv", "-n", "scenes", "--against", "masks")
    funcam(*words).error(1, "no object of the truth has one")


def test_classes_of_the_truth_that_nobody_knows(funcam: Funcam, photos: Path) -> None:
    Path("boxes.csv").write_text("file,class_index,x0,y0,x1,y1\n0.png,999,0,0,9,9\n1.png,8,30,5,60,35\n")
    ran = funcam("compare", photos, "--truth", "boxes.csv", "-n", "scenes", "--json")
    assert json.loads(ran.out)["images"] == 1
    assert "999" in ran.err
    assert len(CLASSES) == 10


def test_what_is_dear_is_told_before(funcam: Funcam, image: Path) -> None:
    words = ("compare", image, "--net", "scenes", "-m", "grad-cam", "--metrics", "faithfulness", "--input-size", 64)
    ran = funcam(*words)
    assert ran.code == 0
    assert "about 100 forward passes a map: 400 for 1 image(s) with 4 maps each" in ran.err.splitlines()[0]
    assert "passes a map" not in funcam(*words, "--out", "elsewhere", "--quiet").err


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes there")
def test_a_name_that_is_no_text_costs_nothing(funcam: Funcam, image: Path) -> None:
    folder = Path("photos")
    folder.mkdir()
    (folder / "ok.png").write_bytes(image.read_bytes())
    (folder / os.fsdecode(b"bad\xff.png")).write_bytes(image.read_bytes())
    ran = funcam("compare", folder, "--net", "scenes", "-m", "grad-cam", "--metrics", "confidence", "--quiet")
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(Path("comparison/results.json").read_text())["config"]["target"] == "predicted"


@pytest.mark.parametrize("words", [("--target", "truth"), ("--against", "masks"), ("--against", "boxes")])
def test_what_needs_truth_is_refused_without(funcam: Funcam, image: Path, words: tuple[str, ...]) -> None:
    funcam("compare", image, "--net", "scenes", *words).error(2, "give --truth or --scenes")
