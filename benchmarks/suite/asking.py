"""Whether what `run` was asked for can be measured: refused before anything is, with what would do instead."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from pathlib import Path

PASSED = ("nets", "batches", "photos", "pictures")
"""Options that are for some suites only."""


def measurable(names: list[str], arguments: argparse.Namespace) -> list[str]:
    """The suites that are measured.

    Args:
        names: those that were asked for.
        arguments: what else was.

    Raises:
        ValueError: something can't be had, or is for none of them; the message says what would do.
    """
    names = _of_device(names, arguments)
    for option in PASSED:
        _check_taken(option, names, arguments)
    for name in arguments.nets:
        _check_network(name)
    if arguments.photos is not None:
        _check_photos(arguments.photos)
    if arguments.out is not None:
        _check_folder(arguments.out)
    return names


def _of_device(names: list[str], arguments: argparse.Namespace) -> list[str]:
    import torch

    from benchmarks.suite import registry

    if arguments.device == "cpu":
        return names
    if arguments.clock:
        raise ValueError("--clock is the CPU's, and a GPU is measured by CUDA events; leave one of them out")
    if not torch.cuda.is_available():
        raise ValueError(f"torch {torch.__version__} sees no GPU here; leave --device out, or run it where one is")
    about = {name: registry.suite(name).FOR != "cpu" for name in names}
    left_out = [name for name, there in about.items() if not there]
    if len(left_out) == len(names):
        raise ValueError(f"{', '.join(names)}: about the CPU alone; leave --device out")
    if left_out:
        print(f"about the CPU alone, and left out: {', '.join(left_out)}", file=sys.stderr)
    return [name for name in names if about[name]]


def _check_taken(option: str, names: list[str], arguments: argparse.Namespace) -> None:
    from benchmarks.suite import registry

    if getattr(arguments, option) and not any(option in registry.suite(name).TAKES for name in names):
        takers = [name for name in registry.names() if option in registry.suite(name).TAKES]
        raise ValueError(f"--{option} is for {', '.join(takers)}, and none of them is run; name one, or leave it out")


def _check_network(name: str) -> None:
    import torchvision

    from benchmarks.suite.networks import TIMM, there

    if not there(name):
        raise ValueError(f"{name} needs timm, which isn't installed: pip install timm")
    known = torchvision.models.list_models()
    if name.startswith(TIMM):
        import timm

        known = [TIMM + each for each in timm.list_models()]
    if name not in known:
        nearest = ", ".join(difflib.get_close_matches(name, known, 3))
        raise ValueError(
            f"no network is named {name!r}{nearest and f'; nearest: {nearest}'} "
            f"(torchvision.models.list_models() has them, and {TIMM}NAME is timm's)"
        )


def _check_photos(folder: Path) -> None:
    from funcam.imaging.reading import find_images

    if not folder.exists():
        raise ValueError(f"--photos {folder}: no such folder")
    if not find_images([folder]).paths:
        raise ValueError(f"--photos {folder}: no pictures are in it; give a folder of some, or leave it out")


def _check_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--out {out} can't be made: {error.strerror}; give another folder") from error
    if not os.access(out, os.W_OK):
        raise ValueError(f"--out {out} can't be written into; give another folder")
