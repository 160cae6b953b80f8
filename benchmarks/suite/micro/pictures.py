"""Colour map, blend, the picture of a gradient and a panel's resizing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from benchmarks.suite.case import Case, Group, Setting
from benchmarks.suite.roofline import Work
from funcam.imaging.fit import onto_image
from funcam.imaging.render import heatmap, overlay, resize_picture, scale_map, signed_picture

TITLE = "maps made pictures"
FOR = "cpu"
TAKES: tuple[str, ...] = ()


def groups(setting: Setting) -> Iterator[Group]:
    sizes = ((60, 80),) if setting.quick else ((224, 224), (480, 640), (1500, 2000))
    for height, width in sizes:
        yield Group(f"{width}x{height}", partial(_cases, height, width))


def _cases(height: int, width: int) -> dict[str, Case]:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    small, saliency = rng.random((7, 7), np.float32), rng.random((height, width), np.float32)
    gradient = rng.standard_normal((height, width, 3), np.float32)
    pixels = float(height * width)

    def moves(each: float) -> Work:
        return Work(0.0, each * pixels)

    return {
        "onto the image": Case(lambda: onto_image(small, (height, width)), work=moves(4)),
        "scale": Case(lambda: scale_map(saliency), work=moves(8)),
        "colour map": Case(lambda: heatmap(saliency), work=moves(7)),
        "colour map and blend": Case(lambda: overlay(image, saliency), work=moves(10)),
        "signed picture": Case(lambda: signed_picture(gradient), work=moves(15)),
        "resize to half": Case(lambda: resize_picture(image, (height // 2, width // 2)), work=moves(3.75)),
    }
