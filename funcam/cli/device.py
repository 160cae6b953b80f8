"""`--device`: where to compute."""

from __future__ import annotations

import re
from typing import Any

from funcam.cli.messages import UsageError
from funcam.cli.without_compiler import import_torchvision
from funcam.errors import FuncamError

_KNOWN = re.compile(r"auto|cpu|mps|(cuda|xpu)(:\d+)?")


def check_device(name: str) -> None:
    """Refuse a word that names no device, before torch is imported.

    Raises:
        UsageError: it names none.
    """
    if not _KNOWN.fullmatch(name):
        raise UsageError(f"--device {name!r} is unknown; expected auto, cpu, cuda, cuda:1, xpu or mps")


def find_device(name: str) -> str:
    """The device of a name that is known to be one; `auto` is the GPU if there is one."""
    import torch

    import_torchvision()
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = name.partition(":")
    backend: Any = {"cuda": torch.cuda, "xpu": torch.xpu, "mps": torch.mps}.get(kind)
    count = 1 if backend is None else backend.device_count()
    if int(number or 0) >= count:
        there = "there is none" if count == 0 else f"there are {count}, {kind}:0 to {kind}:{count - 1}"
        raise FuncamError(f"--device {name} was asked for and {there} (torch {torch.__version__}); use --device cpu")
    return name
