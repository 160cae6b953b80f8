"""A function of the caller's as a method: `(A [C, *S], g [C, *S]) -> [*S]`, for one image and one class."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch.func import vmap

from funcam.errors import FuncamError, nearest
from funcam.methods import METHODS, Method

_EXPECTED = "a function of the features A [C, *S] and their gradient g [C, *S] of one image and one class, -> map [*S]"

Function = Callable[..., Any]


def user_method(function: Function, options: Mapping[str, Any]) -> tuple[Method, Function]:
    """What the table would say of a function, and the function with its options.

    Args:
        function: the method.
        options: its keyword arguments.

    Raises:
        FuncamError: it can't be called with A, g and the options.

    Example:
        >>> method, function = user_method(lambda A, g, *, power=1: (g * A).sum(0) ** power, {"power": 2})
        >>> method.takes, function(torch.ones(2, 3), torch.ones(2, 3))
        (('A', 'g'), tensor([4., 4., 4.]))
    """
    name = name_of(function)
    if isinstance(function, type):
        raise FuncamError(
            f"the class {name} was given as a method; expected {_EXPECTED}, or a name, nearest: "
            f"{nearest(name, METHODS)}"
        )
    if not torch.compiler.is_dynamo_compiling():
        _check_signature(name, function, options)
    method = Method(name, name, "", ("A", "g"), "map", "a function of the caller's", "")
    return method, partial(function, **options) if options else function


def name_of(function: Function) -> str:
    """What a function is called; that of a partial is its function's."""
    name = getattr(function, "__name__", None)
    if name is None and isinstance(function, partial):
        return name_of(function.func)
    return str(name or type(function).__name__)


def _check_signature(name: str, function: Function, options: Mapping[str, Any]) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # torch's own functions have none
        return
    try:
        signature.bind(..., ..., **options)
    except TypeError as error:
        words = "".join(f", {key}=..." for key in options)
        raise FuncamError(
            f"the method {name}{signature} can't be called as {name}(A, g{words}): {error}; expected {_EXPECTED}"
        ) from error


def user_maps(name: str, function: Function, A: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """The function's maps `[B, k, *S]` of features `[B, C, *S]` and gradients `[k, B, C, *S]`.

    By `vmap`, or where it can't be (a branch on a value, NumPy) one after the other. The function gets copies: what it
    does to them in place stays its own.

    Args:
        name: what it is called, for messages.
        function: the method, for one image and one class.
        A: the features.
        g: the gradient of each score.

    Raises:
        FuncamError: it fails, or returns something else than a map.
    """
    one = partial(_one_map, name, function)
    if not g.shape[0] * g.shape[1]:
        return A.new_zeros((g.shape[1], g.shape[0], *A.shape[2:]))
    if g.shape[0] == g.shape[1] == 1:
        return one(A[0], g[0, 0])[None, None]
    try:
        maps: torch.Tensor = vmap(vmap(one), in_dims=(None, 0))(A, g)
    except FuncamError:
        if torch.compiler.is_dynamo_compiling():
            raise
        maps = torch.stack([torch.stack([one(*pair) for pair in zip(A, row, strict=True)]) for row in g])
    return maps.transpose(0, 1)


def _one_map(name: str, function: Function, A: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    try:
        values = function(A.clone(), g.clone())
    except (FuncamError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if torch.compiler.is_dynamo_compiling():
            raise
        reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        raise FuncamError(f"the method {name!r} failed on A and g of shape {list(A.shape)}: {reason}") from error
    if not isinstance(values, torch.Tensor) or values.shape != A.shape[1:] or values.is_complex():
        what = (
            f"{values.dtype} {list(values.shape)}" if isinstance(values, torch.Tensor) else f"a {type(values).__name__}"
        )
        raise FuncamError(
            f"the method {name!r} returned {what} for A and g of shape {list(A.shape)}; expected a map, a tensor of "
            f"real numbers {list(A.shape[1:])}"
        )
    return values if values.is_floating_point() else values.to(A.dtype)
