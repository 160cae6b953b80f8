"""A folder of photos: files to pictures and files to maps, beside decoding and the batched forward passes alone."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch

import funcam
from benchmarks.suite.case import Case, Group, Setting
from benchmarks.suite.drawn import photos
from funcam.imaging.reading import find_images, read_image
from funcam.zoo.net import Net
from funcam.zoo.nets import build_net
from funcam.zoo.preprocessing import fitted, normalised

TITLE = "files to pictures, and to maps"
FOR = "cpu"
TAKES: tuple[str, ...] = ("nets", "photos", "pictures")
PLAIN = "decoding and forward passes"
BATCH = 8
COMMANDS: dict[str, tuple[str, ...]] = {
    "funcam explain -m grad-cam, overlay and panel": (
        *("-m", "grad-cam"),
        *("--pictures", "overlay", "--pictures", "panel"),
    ),
    "funcam explain -m grad-cam": ("-m", "grad-cam"),
    "funcam explain": (),
}
"""What the command is asked for, by the name of the case."""


def groups(setting: Setting) -> Iterator[Group]:
    for name in setting.nets_or("mobilenet_v2", "resnet50"):
        yield Group(f"{name}, {told_number(setting)}", partial(_cases, setting, name), PLAIN, once=True)


def told_number(setting: Setting) -> str:
    """How many photos there are, in words."""
    number = len(_given(setting)) if setting.photos else _count(setting)
    return "a photo" if number == 1 else f"{number} photos"


def pictures(setting: Setting) -> tuple[list[Path], object]:
    """The photos' files, and what has to live as long as they are needed."""
    if setting.photos:
        return _given(setting), None
    folder = tempfile.TemporaryDirectory()
    return photos(Path(folder.name), _count(setting), (120, 160) if setting.quick else (480, 640)), folder


def _count(setting: Setting) -> int:
    return setting.pictures or (1 if setting.quick else 30)


def _given(setting: Setting) -> list[Path]:
    return [Path(path) for path in find_images([setting.photos]).paths[: _count(setting)]]


def _cases(setting: Setting, name: str) -> dict[str, Case]:
    net, (paths, folder) = build_net(name), pictures(setting)

    def case(run: Callable[..., object], *options: object) -> Case:
        return Case(partial(run, *options), images=len(paths), keeps=folder)

    return {
        PLAIN: case(_plain, net, paths),
        "funcam.explain, maps": case(_maps, net, paths),
        **{title: case(command, name, paths, *options) for title, options in COMMANDS.items()},
    }


def _batches(net: Net, paths: list[Path]) -> Iterator[torch.Tensor]:
    for start in range(0, len(paths), BATCH):
        part = paths[start : start + BATCH]
        yield normalised(net, [fitted(net, read_image(path), "squash")[0] for path in part], "cpu")


def _plain(net: Net, paths: list[Path]) -> None:
    with torch.no_grad():
        for images in _batches(net, paths):
            net.model(images)


def _maps(net: Net, paths: list[Path]) -> None:
    for images in _batches(net, paths):
        funcam.explain(net.model, images)


def command(name: str, paths: list[Path], *options: str) -> None:
    """The command line's own function, in this process."""
    from funcam.cli.main import app

    with tempfile.TemporaryDirectory() as out, contextlib.redirect_stdout(io.StringIO()):
        words = ["explain", *map(str, paths), "--net", name, "--weights", "random", "--out", out, *options]
        app(words, standalone_mode=False)
