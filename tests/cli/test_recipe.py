"""``--recipe`` and ``--input-size`` of ``funcam explain``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import SCENES, Funcam
from PIL import Image

import funcam as library
from funcam.zoo.nets import at_size, build_net, load_net
from funcam.zoo.preprocessing import fitted, normalised

WORDS = [("--recipe", "localise"), ("--method", "prototype-cam", "--input-size", "256")]


@pytest.mark.parametrize("words", WORDS, ids=["recipe", "options"])
def test_a_recipe_is_its_options(funcam: Funcam, words: tuple[str, ...]) -> None:
    """Both give the map of the method on the image at twice the network's size."""
    pixels = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("pic.png")
    ran = funcam("explain", "pic.png", "--net", "scenes", "--class", "3", *words, "--maps", "--quiet")
    assert (ran.code, ran.err) == (0, "")
    net = at_size(load_net("scenes"), 256)
    images = normalised(net, [fitted(net, pixels, "squash")[0]], "cpu")
    expected = library.explain(net.model, images, 3, method="prototype-cam").maps
    with np.load("results/pic-scenes-maps.npz") as maps:
        np.testing.assert_allclose(maps["prototype-cam"], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--recipe", "localize"), "unknown recipe 'localize'"),
        (("--recipe", "localise", "--method", "grad-cam"), "leave out the options"),
        (("--recipe", "localise", "--input-size", "300"), "leave out the options"),
        (("--input-size", "300", "--fit", "native"), "--fit native"),
    ],
)
def test_wrong_words(funcam: Funcam, image: Path, words: tuple[str, ...], told: str) -> None:
    funcam("explain", image, *SCENES, *words).error(2, told)


def test_a_network_of_one_size_says_so(funcam: Funcam, image: Path) -> None:
    ran = funcam("explain", image, "--net", "vit_b_16", "--weights", "random", "--input-size", "448")
    ran.error(1, "can't take images of 448 pixels; it takes exactly 224")


def test_at_size_keeps_the_crop() -> None:
    net = build_net("resnet18")
    assert at_size(net, None) is net
    assert at_size(net, 448).input_size == 448
    assert at_size(net, 448).resize_size == 2 * net.resize_size


@pytest.mark.parametrize(("side", "told"), [(1024, 0), (1056, 1), (2048, 1)])
def test_what_takes_gigabytes_is_told_once_before_it_is_allocated(funcam: Funcam, side: int, told: int) -> None:
    """The images can't be read: nothing is ever computed, and the line is there, before they are."""
    for name in ("a.png", "b.png"):
        Path(name).write_bytes(b"no image")
    ran = funcam("explain", "a.png", "b.png", *SCENES, "--input-size", str(side))
    assert ran.code == 1
    line = f"an input of {side}x{side} pixels takes gigabytes of memory"
    assert ran.err.count("gigabytes") == ran.err.count(line) == told
    assert told == 0 or ran.err.index(line) < ran.err.index("a.png")
