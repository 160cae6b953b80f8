"""Autocast: a model runs under the caller's, what funcam computes of it does not."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


def uncast(device: torch.device) -> AbstractContextManager[Any]:
    """No autocast inside: sums over cells and factorizations lose their digits in half precision, or don't exist.

    Example:
        >>> with torch.autocast("cpu", dtype=torch.bfloat16), uncast(torch.device("cpu")):
        ...     (torch.ones(1, 1) @ torch.ones(1, 1)).dtype
        torch.float32
    """
    if device.type == "meta" or not torch.is_autocast_enabled(device.type):  # torch knows no autocast for shapes
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def cast_as_now(function: Callable[..., Any], device: torch.device) -> Callable[..., Any]:
    """A function that runs under the autocast that is in force now, wherever it is called.

    Example:
        >>> with torch.autocast("cpu", dtype=torch.bfloat16):
        ...     double = cast_as_now(lambda x: x @ x, torch.device("cpu"))
        >>> double(torch.ones(1, 1)).dtype
        torch.bfloat16
    """
    kind = device.type
    if kind == "meta" or not torch.is_autocast_enabled(kind):
        return function
    dtype = torch.get_autocast_dtype(kind)

    @functools.wraps(function)
    def cast(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast(kind, dtype=dtype):
            return function(*args, **kwargs)

    return cast


def type_now(tensor: torch.Tensor) -> torch.dtype:
    """The type that a model computes in, of a tensor of its own type: autocast's where that is in force.

    Example:
        >>> with torch.autocast("cpu", dtype=torch.bfloat16):
        ...     type_now(torch.ones(1))
        torch.bfloat16
    """
    kind = tensor.device.type
    if kind == "meta" or not torch.is_autocast_enabled(kind):
        return tensor.dtype
    return torch.get_autocast_dtype(kind)
