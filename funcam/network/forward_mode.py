"""`torch.func.jvp`, ready for its first use, and in one thread at a time."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from funcam.errors import unwarned
from funcam.network.alone import alone
from funcam.network.tracing import is_compiled


def pushforward(function: Callable[..., Any], primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
    """The tangent that `torch.func.jvp` finds, whichever threads call this.

    Example:
        >>> pushforward(torch.sin, (torch.zeros(1),), (torch.ones(1),))
        tensor([1.])
    """
    if is_compiled():  # in one thread, and followed
        return torch.func.jvp(function, primals, tangents)[1]
    prepare_forward_mode()
    with alone():
        return torch.func.jvp(function, primals, tangents)[1]


def prepare_forward_mode() -> None:
    """Have torch import its forward derivatives now, without the remark that it uses something deprecated itself.

    Example:
        >>> prepare_forward_mode()
        >>> torch.func.jvp(torch.sin, (torch.zeros(1),), (torch.ones(1),))[1]
        tensor([1.])
    """
    if not is_compiled():
        _import_quietly()


@cache
def _import_quietly() -> None:
    with unwarned():
        importlib.import_module("torch._decomp.decompositions_for_jvp")
