"""Pictures decoded and encoded, by funcam and by what else could do it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torchvision.io import decode_jpeg

from benchmarks.suite.case import Case, Group, Setting
from benchmarks.suite.drawn import photo
from funcam.imaging.reading import read_image
from funcam.imaging.render import save_picture

TITLE = "files decoded and encoded"
FOR = "any"
TAKES: tuple[str, ...] = ()


def groups(setting: Setting) -> Iterator[Group]:
    sizes = ((60, 80),) if setting.quick else ((224, 224), (480, 640), (1500, 2000))
    for height, width in sizes:
        yield Group(f"decode {width}x{height}", partial(_decoding, setting, height, width), "read_image")
        yield Group(f"encode {width}x{height}", partial(_encoding, height, width), "save_picture .jpg")


def _decoding(setting: Setting, height: int, width: int) -> dict[str, Case]:
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / "photo.jpg"
    save_picture(path, photo(height, width))
    data = torch.from_numpy(np.frombuffer(path.read_bytes(), np.uint8).copy())

    return {
        "read_image": Case(lambda: read_image(path), images=1, keeps=folder),
        "OpenCV": Case(lambda: cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), images=1),
        "torchvision, on the device": Case(lambda: decode_jpeg(data, device=setting.device), images=1),
    }


def _encoding(height: int, width: int) -> dict[str, Case]:
    folder = tempfile.TemporaryDirectory()
    picture = photo(height, width)

    def saved(suffix: str) -> Case:
        return Case(lambda: save_picture(Path(folder.name) / f"photo{suffix}", picture), images=1, keeps=folder)

    return {f"save_picture {suffix}": saved(suffix) for suffix in (".jpg", ".png", ".webp")} | {
        "OpenCV .jpg": Case(lambda: cv2.imencode(".jpg", picture), images=1)
    }
