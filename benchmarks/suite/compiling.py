"""Whether torch can compile here: on the CPU it needs a C++ compiler and Python's headers."""

from __future__ import annotations

import shutil
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def there() -> bool:
    """Whether there is what torch's compiler needs."""
    headers = Path(sysconfig.get_paths()["include"]) / "Python.h"
    return headers.is_file() and any(map(shutil.which, ("g++", "clang++", "c++")))


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, compiled as one graph at its first call."""
    result: Callable[..., Any] = torch.compile(function, fullgraph=True)
    return result


def fastest(function: Callable[[torch.Tensor], Any]) -> Callable[[torch.Tensor], Any]:
    """A prediction compiled as well as torch does it: weights as constants, on a GPU as CUDA graphs."""
    from torch._inductor import config  # takes a while

    optimised = torch.compile(function, fullgraph=True, dynamic=False, mode="reduce-overhead")

    def run(images: torch.Tensor) -> Any:
        torch.compiler.cudagraph_mark_step_begin()
        with torch.no_grad(), config.patch(freezing=True):
            return optimised(images)

    return run
