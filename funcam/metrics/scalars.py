"""Numbers that a metric is given: how many, how large, which size. What is of another kind is refused in one line."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch

from funcam.errors import FuncamError


def told(value: Any) -> str:
    """What was given, for one line of an error message.

    Example:
        >>> told("8"), told(list(range(100)))
        ("'8'", 'a list')
    """
    text = repr(value)
    return text if len(text) <= 80 and "\n" not in text else f"a {type(value).__name__}"


def whole(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """A whole number in a range, and neither a boolean nor a float.

    Raises:
        FuncamError: it is another kind, or outside.

    Example:
        >>> whole("steps", 8)
        8
    """
    plain = _plain(value)
    number = int(plain) if isinstance(plain, Integral) and not isinstance(plain, bool) else None
    if number is None or number < least or (most is not None and number > most):
        room = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise FuncamError(f"{name} is {told(plain)}; expected a whole number {room}")
    return number


def seed_of(value: Any) -> int:
    """A seed that torch takes.

    Raises:
        FuncamError: it is no whole number from 0 to 2**63 - 1.

    Example:
        >>> seed_of(3)
        3
    """
    return whole("seed", value, least=0, most=2**63 - 1)


def real(name: str, value: Any, low: float = -math.inf, high: float = math.inf, *, above: float | None = None) -> float:
    """A finite number in a range: `low <= value <= high`, and greater than `above` where that is given.

    Raises:
        FuncamError: it is no number, not finite, or outside.

    Example:
        >>> real("level", 0.5)
        0.5
    """
    plain = _plain(value)
    number = float(plain) if isinstance(plain, Real) and not isinstance(plain, bool) else math.nan
    if not (math.isfinite(number) and low <= number <= high) or (above is not None and number <= above):
        raise FuncamError(f"{name} is {told(plain)}; expected {_room(low, high, above)}")
    return number


def reals(name: str, values: Any, low: float = -math.inf, high: float = math.inf) -> tuple[float, ...]:
    """One finite number or more, each in a range.

    Raises:
        FuncamError: there is none, or one that is outside or no number.

    Example:
        >>> reals("shares", [0.1, 0.5], 0, 1)
        (0.1, 0.5)
    """
    expected = f"expected at least one, each {_room(low, high).removeprefix('a number ')}"
    if isinstance(values, str | bytes) or not isinstance(values, Iterable) or getattr(values, "ndim", 1) != 1:
        raise FuncamError(f"{name} are {told(values)}; {expected}: a list or tuple")
    plain = [_plain(value) for value in values]
    kinds = all(isinstance(value, Real) and not isinstance(value, bool) for value in plain)
    if not plain or not kinds or not all(math.isfinite(value) and low <= value <= high for value in plain):
        raise FuncamError(f"{name} are {told(plain)}; {expected}")
    return tuple(float(value) for value in plain)


def _room(low: float, high: float, above: float | None = None) -> str:
    if above is not None:
        return f"a finite number above {above:g}" + (f", at most {high:g}" if high < math.inf else "")
    if high < math.inf:
        return f"a number from {low:g} to {high:g}"
    return "a finite number" + (f" of at least {low:g}" if low > -math.inf else "")


def _plain(value: Any) -> Any:
    """What a tensor or array without axes holds; NumPy's booleans are Python's."""
    scalar = isinstance(value, torch.Tensor | np.ndarray | np.generic) and value.ndim == 0
    return value.item() if scalar else value


def size_of(size: Any) -> tuple[int, int]:
    """`(H, W)`, whole numbers of pixels.

    Raises:
        FuncamError: it is something else.

    Example:
        >>> size_of([224, 224])
        (224, 224)
    """
    if isinstance(size, str) or not isinstance(size, Iterable) or len(sides := list(size)) != 2:
        raise FuncamError(f"size is {told(size)}; expected (height, width), such as (224, 224)")
    return whole("the height in size", sides[0]), whole("the width in size", sides[1])


def device_of(device: Any) -> torch.device:
    """The device of that name; None for the CPU.

    Raises:
        FuncamError: torch knows none.

    Example:
        >>> device_of(None)
        device(type='cpu')
    """
    try:
        return torch.device("cpu" if device is None else device)
    except (RuntimeError, TypeError):
        raise FuncamError(
            f"device is {told(device)}; expected None, 'cpu', 'cuda:0' or a torch.device"
        ) from None
