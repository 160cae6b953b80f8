"""What users of other libraries bring to the pictures: taken, or refused in one line with a way out that works."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from funcam.errors import FuncamError
from funcam.imaging.fit import View, fit_image, onto_image
from funcam.imaging.panel import PanelRow, panel
from funcam.imaging.reading import check_image, find_images, read_image
from funcam.imaging.render import (
    COLORMAPS,
    heatmap,
    overlay,
    picture_size,
    resize_picture,
    save_picture,
    scale_map,
    signed_picture,
)

RNG = np.random.default_rng(1)
PHOTO = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
MAP = RNG.random((6, 9)).astype(np.float32)
NAN = float("nan")


class Coloured:
    """What matplotlib's colour maps do of numbers, without matplotlib: a table of N colours, RGBA."""

    name = "mine"

    def __init__(self, colours: np.ndarray) -> None:
        self.colours = np.concatenate([colours, np.ones((len(colours), 1))], axis=1)

    def __call__(self, numbers: np.ndarray) -> np.ndarray:
        count = len(self.colours)
        return self.colours[np.clip((np.asarray(numbers) * count).astype(int), 0, count - 1)]


@pytest.mark.parametrize("name", ["jet", "viridis", "gray"])
def test_a_colour_map_of_matplotlibs_kind_is_its_256_colours(name):
    mine = Coloured(COLORMAPS[name][:, 0] / 255)
    np.testing.assert_array_equal(heatmap(MAP, mine), heatmap(MAP, name))
    np.testing.assert_array_equal(overlay(PHOTO, MAP, mine, 0.7), overlay(PHOTO, MAP, name, 0.7))
    np.testing.assert_array_equal(overlay(PHOTO, MAP, lambda x: mine(x)[:, :3]), overlay(PHOTO, MAP, name))


def test_matplotlibs_own_colour_maps():
    matplotlib = pytest.importorskip("matplotlib")
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None]
    for name in ("coolwarm", "viridis_r", "tab10", "magma"):
        theirs = matplotlib.colormaps[name]
        np.testing.assert_array_equal(heatmap(ramp, theirs)[0], np.rint(255 * theirs(ramp[0])[:, :3]))


@pytest.mark.parametrize(
    ("colormap", "words"),
    [
        ("viridiss", r"nearest: 'viridis'.*matplotlib.colormaps\[...\]"),
        ("Blues_r", "'Blues_r' is not known; nearest:"),
        (None, "colour map None is not known"),
        (3, "colour map 3 is not known"),
        (["jet"], r"colour map \['jet'\] is not known"),
        (COLORMAPS["jet"], "colour map a ndarray is not known"),
        (lambda numbers: numbers, r"gave \[256\] for 256 numbers in 0..1; expected RGB"),
        (lambda numbers: np.full((256, 3), 2.0), "expected RGB in 0..1"),
        (lambda numbers: np.full((256, 3), np.nan), "expected RGB in 0..1"),
        (lambda numbers: np.full((256, 4), 0.5), "RGBA that is opaque"),
        (lambda numbers: 1 / 0, "failed .division by zero.; expected RGB"),
        (lambda: 0, "failed .*; expected RGB"),
    ],
)
def test_colour_maps_that_are_none(colormap, words):
    for call in (lambda: heatmap(MAP, colormap), lambda: overlay(PHOTO, MAP, colormap)):
        with pytest.raises(FuncamError, match=words) as refusal:
            call()
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("alpha", ["0.5", None, True, NAN, float("inf"), -0.1, 1.1, [0.5], np.bool_(True), MAP])
def test_an_alpha_that_is_none(alpha):
    with pytest.raises(FuncamError, match=r"alpha is the share of the heatmap, a number in 0..1; got"):
        overlay(PHOTO, MAP, alpha=alpha)


def test_alphas_of_numpy_and_torch():
    for alpha in (np.float32(0.25), np.float64(0.25), torch.tensor(0.25)):
        np.testing.assert_array_equal(overlay(PHOTO, MAP, alpha=alpha), overlay(PHOTO, MAP, alpha=0.25))
    np.testing.assert_array_equal(overlay(PHOTO, MAP, alpha=1), overlay(PHOTO, MAP, alpha=1.0))


def test_maps_come_as_tensors_lists_and_masks():
    steps = (MAP * 4).round()  # exact in half precision too
    view = fit_image(PHOTO, 4)[1]
    for same in (
        torch.from_numpy(steps),
        torch.from_numpy(steps).requires_grad_(),
        torch.from_numpy(steps).bfloat16(),
        torch.from_numpy(steps).long(),
        steps.tolist(),
        steps.astype(np.float64),
        steps.astype(np.int16),
    ):
        np.testing.assert_array_equal(heatmap(same), heatmap(steps))
        np.testing.assert_array_equal(scale_map(same), scale_map(steps))
        np.testing.assert_array_equal(overlay(PHOTO, same), overlay(PHOTO, steps))
        np.testing.assert_array_equal(onto_image(same, view), onto_image(steps, view))
    mask = steps > 2
    np.testing.assert_array_equal(overlay(PHOTO, mask), overlay(PHOTO, mask.astype(float)))
    gradient = RNG.standard_normal((6, 9, 3)).astype(np.float32)
    np.testing.assert_array_equal(signed_picture(torch.from_numpy(gradient)), signed_picture(gradient))


@pytest.mark.parametrize(
    ("saliency", "words"),
    [
        ("map", "holds numbers; got 'map'"),
        (None, "holds numbers; got None"),
        ([[1.0], [1.0, 2.0]], "holds numbers"),
        (MAP.astype(complex), "holds numbers; got a ndarray"),
        (MAP[None], r"got \[1, 6, 9\]; give one of them, such as maps\[0\]"),
        (torch.zeros(2, 6, 9), r"give one of them"),
        (MAP[0], r"\[H, W\] with at least one pixel; got \[9\]"),
        (MAP[:0], "at least one pixel"),
    ],
)
def test_maps_that_are_none(saliency, words):
    for call in (lambda: heatmap(saliency), lambda: overlay(PHOTO, saliency), lambda: scale_map(saliency)):
        with pytest.raises(FuncamError, match=words) as refusal:
            call()
        assert "\n" not in str(refusal.value)


def test_a_map_of_another_size_is_refused_and_both_ways_out_work():
    small = RNG.random((7, 7))
    with pytest.raises(
        FuncamError, match=r"size is \[7, 7\], the image's \[6, 9\].*onto_image\(map, image.shape\[:2\]\)"
    ):
        overlay(PHOTO, small)
    whole = onto_image(small, PHOTO.shape[:2])
    np.testing.assert_array_equal(whole, onto_image(small, fit_image(PHOTO, 224, "squash")[1]))
    assert overlay(PHOTO, whole).shape == PHOTO.shape
    assert overlay(PHOTO, onto_image(small, fit_image(PHOTO, 224, "crop")[1])).shape == PHOTO.shape


IMAGES = [
    (PHOTO[..., 0], "np.repeat(image[..., None], 3, axis=2)"),
    (PHOTO.transpose(2, 0, 1), "image.transpose(1, 2, 0)"),
    (np.dstack([PHOTO, PHOTO[..., :1]]), "image[..., :3]"),
    (PHOTO / 255, "(255 * image).round().astype(np.uint8)"),
    (PHOTO[None], "image[0]"),
    (Image.fromarray(PHOTO), "np.asarray(image.convert('RGB'))"),
    (torch.from_numpy(PHOTO).permute(2, 0, 1), "tensor.permute(1, 2, 0).cpu().numpy()"),
]


@pytest.mark.parametrize(("image", "way_out"), IMAGES, ids=[way for _, way in IMAGES])
def test_images_of_another_kind_are_refused_with_a_way_out_that_works(image, way_out):
    for call in (
        lambda: overlay(image, MAP),
        lambda: fit_image(image, 4),
        lambda: panel(image, [PanelRow("cat", {"map": PHOTO})]),
        lambda: resize_picture(image, (2, 3)),
        lambda: save_picture("never.png", image),
    ):
        with pytest.raises(FuncamError) as refusal:
            call()
        assert way_out in str(refusal.value)
        assert "\n" not in str(refusal.value)
    converted = eval(way_out, {"np": np, "image": image, "tensor": image})
    check_image(converted)
    assert overlay(converted, MAP).shape == PHOTO.shape


@pytest.mark.parametrize(
    "call",
    [
        *[lambda size=size: fit_image(PHOTO, size) for size in (None, "8", 2.5, True, 0, (4,), (4, True), (4, 2.0))],
        *[lambda resize=resize: fit_image(PHOTO, 4, "crop", resize=resize) for resize in ("8", 2.5, True, 0)],
        *[lambda fit=fit: fit_image(PHOTO, 4, fit) for fit in (None, "squish", 3, ["crop"])],
        *[lambda how=how: fit_image(PHOTO, 4, interpolation=how) for how in (None, "cubic", 3)],
        *[
            lambda fill=fill: fit_image(PHOTO, 4, "pad", fill=fill)
            for fill in (1, "red", (1, 2), (0, 0, 256), (True,) * 3)
        ],
        *[lambda view=view: onto_image(MAP, view) for view in (None, "view", (6,), (6, 2.5), (True, 9), (0, 9))],
        *[lambda size=size: onto_image(MAP, (6, 9), size) for size in ("8", (4, 0), (1, 2, 3), True)],
        *[
            lambda box=box: View((6, 9), (4, 4), box)
            for box in (None, (0, 0, 1), (0, 0, NAN, 1), ("0", 0, 1, 1), (2, 0, 1, 1))
        ],
        *[lambda size=size: View(size, (4, 4), (0, 0, 1, 1)) for size in (None, 6, (6,), (6, 2.5), (0, 9), ("6", 9))],
        *[lambda share=share: signed_picture(np.ones((2, 2, 3)), share) for share in ("99", None, True, NAN, 101, -1)],
        *[lambda longest=longest: picture_size((3, 4), longest) for longest in (0, 1.5, "9", True)],
        *[lambda size=size: picture_size(size) for size in (3, (3,), (0, 4), ("3", 4))],
        *[lambda size=size: resize_picture(PHOTO, size) for size in (3, (3,), (0, 4), (2.5, 4), (True, 4), None)],
        *[
            lambda quality=quality: save_picture("x.jpg", PHOTO, quality)
            for quality in (0, 101, 95.0, True, "95", None)
        ],
        *[lambda path=path: save_picture(path, PHOTO) for path in (None, 3, ["x.png"])],
        *[lambda tile=tile: panel(PHOTO, [PanelRow("a", {"b": PHOTO})], tile=tile) for tile in (31, 64.0, True, "64")],
        *[lambda rows=rows: panel(PHOTO, rows) for rows in (None, [], ["cat"], PanelRow("a", {"b": PHOTO}))],
        *[lambda path=path: read_image(path) for path in (None, 3, ["x.png"])],
        *[lambda paths=paths: find_images(paths) for paths in (None, 3, "x.png")],
    ],
)
def test_arguments_of_the_wrong_kind(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FuncamError) as refusal:
        call()
    assert "\n" not in str(refusal.value)
    assert not list(tmp_path.iterdir())


def test_a_path_that_is_none_is_a_problem_of_its_own():
    found = find_images([3])
    assert found.paths == []
    assert found.problems == ["a path was expected, the name of a file; got 3"]


def test_tensors_are_read_without_importing_torch():
    stub = SimpleNamespace(detach=lambda: stub, cpu=lambda: stub, float=lambda: stub, numpy=lambda: MAP)
    np.testing.assert_array_equal(heatmap(stub), heatmap(MAP))
    code = "import sys, funcam.imaging.render, funcam.imaging.panel; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
