"""``funcam explain``: from image files to pictures of why."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import SCENES, Funcam, Ran, photo
from PIL import Image

from funcam.cli.explain import DEFAULT_SCENE
from funcam.scenes import CLASSES
from funcam.zoo.architectures import meta_network, shapes
from funcam.zoo.names import canonical_name

KINDS = ("heatmap", "cam", "heatmap++", "cam++", "gb", "cam_gb")
CAM_KINDS = KINDS[:4]


def names(folder: str = "results") -> set[str]:
    return {path.name for path in Path(folder).iterdir()}


def expected(part: str, suffix: str = "jpg", kinds: tuple[str, ...] = KINDS) -> set[str]:
    return {f"{part}-{kind}.{suffix}" for kind in kinds}


def records(ran: Ran) -> list[dict[str, Any]]:
    """The documents on standard output: one a line, and nothing else."""
    return [json.loads(line) for line in ran.out.splitlines()]


def done(ran: Ran) -> Ran:
    assert (ran.code, ran.err) == (0, ""), ran
    return ran


# Names and kinds of results


def test_results_have_the_seeds_names(funcam: Funcam, image: Path, small_weights: Path) -> None:
    done(funcam("explain", image, "--net", "shufflenet_v2_x0_5", "--weights", small_weights))

    part = "pic-shufflenet_v2_x0_5"
    assert names() == expected(part) | {f"{part}-panel.png", f"{part}.json"}


def test_the_networks_name_is_what_the_user_typed(funcam: Funcam, image: Path) -> None:
    done(funcam("explain", image, "--network", "Scenes", "--weights", "random", "--quiet"))

    assert names() == expected("pic-Scenes") | {"pic-Scenes-panel.png", "pic-Scenes.json"}


def test_several_classes_are_in_the_names(funcam: Funcam, image: Path) -> None:
    ran = done(funcam("explain", image, *SCENES, "--class", "star", "--class", 0, "-c", "8", "--json"))

    assert CLASSES[8] == "star"
    assert [entry["index"] for entry in records(ran)[0]["explained"]] == [8, 0]  # in this order, each once
    parts = (f"pic-scenes-{index}_{CLASSES[index]}" for index in (8, 0))
    assert names() == set().union(*map(expected, parts)) | {"pic-scenes-panel.png", "pic-scenes.json"}


def test_maps_are_written_when_asked_for(funcam: Funcam, image: Path) -> None:
    (record,) = records(done(funcam("explain", image, *SCENES, "--class", "star", "--maps", "--json")))

    with np.load(f"results/{record['files']['maps']}", allow_pickle=False) as maps:
        assert maps["grad-cam"].shape == (1, 16, 16)
        assert maps["guided-backprop"].shape == (1, 128, 128, 3)
        assert maps["classes"].tolist() == [CLASSES.index("star")]
        assert maps["box"].tolist() == [0, 0, 90, 60]
        column, row = record["explained"][0]["peaks"]["grad-cam"].values()
        peak = np.unravel_index(maps["grad-cam"][0].argmax(), (16, 16))
        assert (int(row / 60 * 16), int(column / 90 * 16)) == peak


@pytest.mark.parametrize(("suffix", "kind"), [("png", "PNG"), ("webp", "WEBP")])
def test_style_options(funcam: Funcam, image: Path, suffix: str, kind: str) -> None:
    style = ("--format", suffix, "--colormap", "gray", "--alpha", 0, "--size", 45)
    done(funcam("explain", image, *SCENES, *style, "--out", "deep/below", "-q"))

    assert expected("pic-scenes", suffix) < names("deep/below")
    with Image.open(f"deep/below/pic-scenes-cam.{suffix}") as picture:
        assert picture.format == kind
        assert picture.size == (45, 30)
    heat = np.asarray(Image.open(f"deep/below/pic-scenes-heatmap.{suffix}").convert("RGB")).astype(int)
    assert np.ptp(heat, axis=2).max() < 12  # grey, but for what WebP loses
    assert not Path("results").exists()


def test_only_some_pictures(funcam: Funcam, image: Path) -> None:
    for number in range(4):
        shutil.copy(image, f"pic{number}.png")
    run = ("explain", *(f"pic{number}.png" for number in range(4)), *SCENES)
    done(funcam(*run, "--pictures", "overlay", "--pictures", "panel", "--out", "two"))
    ran = done(funcam(*run, "--pictures", "none", "--out", "none"))

    for number in range(4):
        part = f"pic{number}-scenes"
        assert expected(part, kinds=("cam", "cam++")) | {f"{part}-panel.png"} < names("two")
        assert f"{part}.json" in ran.out
    assert names("none") == {f"pic{number}-scenes.json" for number in range(4)}


@pytest.mark.parametrize("fit", ["squash", "crop", "pad", "native"])
@pytest.mark.parametrize("size", [(60, 90), (140, 50)])
def test_pictures_come_at_the_images_size(funcam: Funcam, fit: str, size: tuple[int, int]) -> None:
    Image.fromarray(photo(*size)).save("pic.png")
    (record,) = records(done(funcam("explain", "pic.png", *SCENES, "--fit", fit, "--json")))

    height, width = size
    assert record["fit"] == fit
    assert record["image_size"] == {"width": width, "height": height}
    sides = size if fit == "native" else (128, 128)
    assert tuple(record["input_size"].values()) == sides[::-1]
    for name in record["explained"][0]["files"].values():
        with Image.open(f"results/{name}") as picture:
            assert picture.size == (width, height)
    for peak in record["explained"][0]["peaks"].values():
        assert 0 <= peak["x"] <= width
        assert 0 <= peak["y"] <= height


def test_a_photo_that_lies_on_its_side_is_explained_upright(funcam: Funcam) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photo(60, 90)).save("pic.jpg", exif=exif)
    done(funcam("explain", "pic.jpg", *SCENES, "-q"))

    with Image.open("results/pic-scenes-cam.jpg") as picture:
        assert picture.size == (60, 90)


# What is printed


def test_json_is_the_record_and_nothing_else(funcam: Funcam, image: Path) -> None:
    shutil.copy(image, "zwei.png")
    ran = done(funcam("explain", image, "zwei.png", *SCENES, "--json"))

    for record, name in zip(records(ran), ("pic", "zwei"), strict=True):
        assert record == json.loads(Path(f"results/{name}-scenes.json").read_text(encoding="utf-8"))
        assert record["image"] == f"{name}.png"
        assert record["net"] == "scenes"
        assert sum(entry["probability"] for entry in record["predictions"]) <= 1 + 1e-9
        assert record["layer"] == "trunk_output"
        assert record["methods"] == ["grad-cam", "grad-cam++", "guided-backprop", "guided-grad-cam"]
        assert record["seconds"] > 0
        assert record["versions"]["torch"] == torch.__version__.partition("+")[0]


def test_quiet_prints_nothing(funcam: Funcam, image: Path) -> None:
    ran = done(funcam("explain", image, *SCENES, "--quiet"))

    assert ran.out == ""


def test_the_summary_says_what_was_found_and_where_it_is(funcam: Funcam, image: Path) -> None:
    out = done(funcam("explain", image, *SCENES, "--class", "star", "--out", "here")).out

    assert "pic.png" in out
    (row,) = [line.split() for line in out.splitlines() if line.split()[:2] == ["8", "star"]]
    assert row[-1] == "explained"
    assert "pic-scenes-{heatmap,cam,heatmap++,cam++,gb,cam_gb}.jpg" in out
    assert "pic-scenes-panel.png  pic-scenes.json" in out
    assert out.splitlines()[-1].startswith("1 image explained in ")
    assert out.splitlines()[-1].endswith("with scenes (random (seed 0)) at trunk_output; results in here")


def test_many_images_have_a_line_each(funcam: Funcam) -> None:
    for number in range(5):
        Image.fromarray(photo(seed=number)).save(f"[bold]{number}.png")
    lines = done(funcam("explain", ".", *SCENES)).out.splitlines()

    assert lines[0].split() == ["image", "predicted", "probability", "explained", "panel"]
    for number in range(5):
        assert lines[1 + number].startswith(f"[bold]{number}.png")
        assert lines[1 + number].rstrip().endswith(f"[bold]{number}-scenes-panel.png")
    assert lines[6].startswith("5 images explained")


# Which images


def test_files_folders_and_globs_in_one_call(funcam: Funcam) -> None:
    Path("my photos").mkdir()
    for name in ("Straße 1.jpg", "my photos/雪豹.png", "my photos/b.webp", "a1.bmp", "a2.bmp"):
        Image.fromarray(photo()).save(name)
    Path("my photos/notes.txt").write_text("not an image")
    ran = done(funcam("explain", "Straße 1.jpg", "my photos", "a*.bmp", "./a1.bmp", *SCENES, "--json"))

    sources = [record["image"] for record in records(ran)]
    assert sources == ["Straße 1.jpg", "my photos/b.webp", "my photos/雪豹.png", "a1.bmp", "a2.bmp"]
    for stem in ("Straße 1", "b", "雪豹", "a1", "a2"):
        assert expected(f"{stem}-scenes") < names()


def test_one_bad_image_is_reported_and_the_others_are_done(funcam: Funcam, image: Path) -> None:
    Path("broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    shutil.copy(image, "last.png")
    ran = funcam("explain", image, "missing.png", "broken.jpg", "last.png", *SCENES, "--json")

    assert ran.code == 1
    missing, broken = ran.err.splitlines()
    assert missing.startswith("funcam: 'missing.png' does not exist")
    assert broken.startswith("funcam: 'broken.jpg' is truncated or damaged")
    assert [record["image"] for record in records(ran)] == ["pic.png", "last.png"]
    assert not [name for name in names() if name.startswith("broken")]


def test_an_image_that_the_network_cannot_take_is_named(funcam: Funcam, image: Path) -> None:
    Image.new("RGB", (9, 9)).save("small.png")
    shutil.copy(image, "last.png")
    ran = funcam("explain", "small.png", "last.png", "-n", "squeezenet", "-w", "random", "--fit", "native", "-q")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        "funcam: small.png: the image has 9x9 pixels and squeezenet1_1 needs at least 17 on each side; "
        "use --fit squash, crop or pad\n"
    )
    assert "last-squeezenet.json" in names()


def test_two_images_of_one_stem_keep_their_results_apart(funcam: Funcam, image: Path) -> None:
    Path("sub").mkdir()
    Image.fromarray(photo(40, 40)).save("sub/pic.png")
    ran = done(funcam("explain", image, "sub/pic.png", *SCENES, "--json"))

    first, second = records(ran)
    assert first["files"]["record"] == "pic-scenes.json"
    name = second["files"]["record"].removesuffix(".json")
    assert re.fullmatch(r"pic-scenes-[0-9a-f]{10}", name)
    with Image.open("results/pic-scenes-cam.jpg") as one, Image.open(f"results/{name}-cam.jpg") as two:
        assert (one.size, two.size) == ((90, 60), (40, 40))


def test_a_name_that_is_no_unicode(funcam: Funcam, image: Path) -> None:
    odd = os.fsdecode(b"caf\xe9.png")
    try:
        shutil.copy(image, odd)
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    Path("pics").mkdir()
    shutil.move(odd, "pics")

    (record,) = records(done(funcam("explain", "pics", *SCENES, "--json")))
    assert Path(record["image"]).exists()
    assert done(funcam("explain", "pics", *SCENES)).out


def test_again_replaces_and_keeps_what_is_not_ours(funcam: Funcam, image: Path) -> None:
    Path("results").mkdir()
    Path("results/notes.txt").write_text("mine")
    for _ in range(2):
        done(funcam("explain", image, *SCENES, "-q"))

    assert names() == expected("pic-scenes") | {"pic-scenes-panel.png", "pic-scenes.json", "notes.txt"}
    assert Path("results/notes.txt").read_text() == "mine"


def test_the_same_run_gives_the_same_bytes(funcam: Funcam, image: Path) -> None:
    for folder in ("one", "two"):
        done(funcam("explain", image, *SCENES, "-q", "--out", folder))

    assert names("one") == names("two") > {"pic-scenes.json"}
    for name in names("one") - {"pic-scenes.json"}:
        assert Path("one", name).read_bytes() == Path("two", name).read_bytes(), name


# Which network


SEEDS = ["vgg16", "vgg19", "resnet50", "resnet101", "densenet121", "inception", "mobilenet_v2", "shufflenet_v2"]


@pytest.mark.parametrize(
    "net",
    [pytest.param(net, marks=pytest.mark.slow) if net in ("vgg16", "vgg19", "resnet101") else net for net in SEEDS],
)
def test_the_seeds_networks_with_a_file_of_weights(funcam: Funcam, net: str) -> None:
    generator = torch.Generator().manual_seed(1)
    entries = shapes(meta_network(canonical_name(net))).items()
    torch.save({name: mean_of_inputs(name, shape, generator) for name, shape in entries}, "weights.pth")
    assert Path("weights.pth").stat().st_size < 2**22
    Image.fromarray(photo(80, 96)).save("pic.jpg")

    run = ("explain", "pic.jpg", "--net", net, "--weights", "weights.pth", "--fit", "native", "--class", "tabby")
    (record,) = records(done(funcam(*run, "--json")))

    assert names() == expected(f"pic-{net}") | {f"pic-{net}-panel.png", f"pic-{net}.json"}
    assert record["weights"] == "weights.pth"
    assert record["explained"][0]["name"] == "tabby"


def mean_of_inputs(name: str, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Weights whose outputs are multiples of their inputs' mean: a file holds one number for each output."""
    if not shape:
        return torch.tensor(0)  # a count of batches
    if len(shape) == 1:
        return torch.full(shape, float(name.endswith((".weight", ".running_var"))))
    each = torch.rand(shape[0], generator=generator) * 2 / math.prod(shape[1:])
    return each.reshape(-1, *[1] * (len(shape) - 1)).expand(shape)


@pytest.mark.parametrize("net", ["efficientnet_b0", pytest.param("vit_b_32", marks=pytest.mark.slow)])
def test_networks_without_relus_have_the_other_pictures(funcam: Funcam, image: Path, net: str) -> None:
    out = done(funcam("explain", image, "--net", net, "--weights", "random")).out

    assert names() == expected(f"pic-{net}", kinds=CAM_KINDS) | {f"pic-{net}-panel.png", f"pic-{net}.json"}
    assert "note guided backpropagation is undefined for" in out
    assert "it has no ReLU to rewrite" in out


def test_what_guided_backpropagation_left_is_said(funcam: Funcam, image: Path) -> None:
    out = done(funcam("explain", image, "--net", "mobilenet_v3", "--weights", "random")).out

    assert expected("pic-mobilenet_v3") < names()
    assert "note guided backpropagation covers a part of mobilenet_v3_large: 19 ReLUs are guided, 21 other" in out


def test_labels_name_the_classes(funcam: Funcam, image: Path) -> None:
    labels = [f"thing {letter}" for letter in "abcdefghij"]
    Path("labels.txt").write_text("\n".join(labels))
    ran = done(funcam("explain", image, *SCENES, "--labels", "labels.txt", "--class", "thing c", "--json"))

    assert records(ran)[0]["explained"][0]["name"] == "thing c"
    assert {entry["name"] for entry in records(ran)[0]["predictions"]} <= set(labels)


def test_another_layer_gives_another_map(funcam: Funcam, image: Path) -> None:
    run = ("explain", image, *SCENES, "--class", 3, "--maps", "--json")
    shapes = {}
    for layer in ("trunk_output", "trunk_output.block1", "last-conv"):
        (record,) = records(done(funcam(*run, "--layer", layer)))
        with np.load(f"results/{record['files']['maps']}") as maps:
            shapes[layer] = (record["layer"], maps["grad-cam"].shape)

    assert shapes["trunk_output"] == ("trunk_output", (1, 16, 16))
    assert shapes["trunk_output.block1"] == ("trunk_output.block1", (1, 32, 32))
    assert shapes["last-conv"][0] not in ("last-conv", "trunk_output")


# The network in the package


def test_without_an_image_a_scene_is_explained(funcam: Funcam) -> None:
    (record,) = records(done(funcam("explain", "--net", "scenes", "--weights", "random", "--scene", "4", "--json")))

    from funcam.scenes import scene

    assert record["image"] == "scene 4"
    assert [entry["index"] for entry in record["explained"]] == [
        thing.label for thing in scene(4, "different").things
    ]  # what is on it, not what is predicted
    shown = ", ".join(entry["name"] for entry in record["explained"])
    assert record["notes"] == [f"the scene shows {shown}: what it shows is explained"]
    assert "scene4-scenes-panel.png" in names()


def test_the_network_in_the_package_finds_what_is_on_a_scene(funcam: Funcam) -> None:
    from funcam.scenes import scene

    (record,) = records(done(funcam("explain", "--json")))
    things = scene(DEFAULT_SCENE, "different").things

    assert record["weights"] == "the package"
    likeliest = {entry["index"] for entry in record["predictions"][: len(things)]}
    assert likeliest == {thing.label for thing in things}
    for entry, thing in zip(record["explained"], things, strict=True):
        x0, y0, x1, y1 = thing.box
        peak = entry["peaks"]["grad-cam"]
        assert x0 <= peak["x"] <= x1, entry["name"]
        assert y0 <= peak["y"] <= y1, entry["name"]


def test_the_network_in_the_package_takes_any_image(funcam: Funcam, image: Path) -> None:
    done(funcam("explain", image, "--net", "scenes"))

    assert expected("pic-scenes") < names()


# The real thing


@pytest.mark.parametrize("net", ["mobilenet_v2", "shufflenet_v2", "squeezenet"])
def test_the_dog_is_above_and_the_cat_below(funcam: Funcam, assets: Path, net: str) -> None:
    files = {"mobilenet_v2": "mobilenet_v2", "shufflenet_v2": "shufflenet_v2_x1_0", "squeezenet": "squeezenet1_1"}
    weights = assets / "weights" / f"{files[net]}.pth"
    pic = assets / "photos" / "seed" / "pic1.jpg"
    run = ("explain", pic, "--net", net, "--weights", weights, "--class", "bull mastiff", "--class", "tiger cat")
    (record,) = records(done(funcam(*run, "--json")))

    said = {entry["name"] for entry in record["predictions"]}
    assert said & {"bull mastiff", "boxer", "French bulldog"}
    assert net == "squeezenet" or said & {"tiger cat", "tabby", "Egyptian cat"}
    dog, cat = (entry["peaks"] for entry in record["explained"])
    # On the photo of 224 x 224 pixels the dog sits within 80..165 x 12..140, the cat lies within 40..205 x 118..224.
    for method in ("grad-cam", "grad-cam++"):
        assert 80 <= dog[method]["x"] <= 165, method
        assert 12 <= dog[method]["y"] <= 140, method
    assert 40 <= cat["grad-cam"]["x"] <= 205
    assert 118 <= cat["grad-cam"]["y"] <= 224
