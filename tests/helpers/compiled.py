"""Whether anything can be compiled here, and a model that can't."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

import torch
from small import small
from torch import nn

COMPILER = (
    any(map(shutil.which, ("g++", "clang++", "c++")))
    and (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file()
)


class Branching(nn.Module):
    """A model whose graph nobody has."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = small()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x if x.sum() > -1e9 else -x)
