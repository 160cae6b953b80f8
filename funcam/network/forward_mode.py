"""What `torch.func.jvp` needs before its first use."""

from __future__ import annotations

import importlib
import warnings
from functools import cache

import torch


def prepare_forward_mode() -> None:
    """Have torch import its forward derivatives now, without the remark that it uses something deprecated itself.

    Example:
        >>> prepare_forward_mode()
        >>> torch.func.jvp(torch.sin, (torch.zeros(1),), (torch.ones(1),))[1]
        tensor([1.])
    """
    if not torch.compiler.is_dynamo_compiling():
        _import_quietly()


@cache
def _import_quietly() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        importlib.import_module("torch._decomp.decompositions_for_jvp")
