"""Numbers that a metric is given: how many, how large, which size. What is of another kind is refused in one line."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

from funcam.errors import FuncamError, finite_number, shown, whole_number


def whole(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """A whole number in a range, and neither a boolean nor a float.

    Raises:
        FuncamError: it is another kind, or outside.

    Example:
        >>> whole("steps", 8)
        8
    """
    number = whole_number(name, value, least)
    if most is not None and number > most:
        raise FuncamError(f"{name} is {number}; expected a whole number from {least} to {most}")
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
    number = finite_number(name, value)
    if not low <= number <= high or (above is not None and number <= above):
        least = f"above {above:g}" if above is not None else f"of at least {low:g}"
        raise FuncamError(f"{name} is {number:g}; expected a number {least}{_at_most(high)}")
    return number


def reals(name: str, values: Any, low: float = -math.inf, high: float = math.inf) -> tuple[float, ...]:
    """One finite number or more, each in a range.

    Raises:
        FuncamError: there is none, or one that is outside or no number.

    Example:
        >>> reals("shares", [0.1, 0.5], 0, 1)
        (0.1, 0.5)
    """
    room = f", each from {low:g} to {high:g}" if high < math.inf else ""
    expected = f"a list or tuple of numbers, at least one{room}"
    if isinstance(values, str | bytes) or not isinstance(values, Iterable) or getattr(values, "ndim", 1) != 1:
        raise FuncamError(f"{name} are {shown(values)}; expected {expected}")
    numbers = tuple(finite_number(f"one of {name}", value) for value in values)
    if not numbers or not all(low <= number <= high for number in numbers):
        raise FuncamError(f"{name} are {shown(list(numbers))}; expected {expected}")
    return numbers


def _at_most(high: float) -> str:
    return f", at most {high:g}" if high < math.inf else ""


def size_of(size: Any) -> tuple[int, int]:
    """`(H, W)`, whole numbers of pixels.

    Raises:
        FuncamError: it is something else.

    Example:
        >>> size_of([224, 224])
        (224, 224)
    """
    if isinstance(size, str) or not isinstance(size, Iterable) or len(sides := list(size)) != 2:
        raise FuncamError(f"size is {shown(size)}; expected (height, width), such as (224, 224)")
    return whole("the height in size", sides[0]), whole("the width in size", sides[1])


def sides_of(size: Any) -> tuple[int, ...]:
    """One to three whole numbers of pixels: the sides of a signal, an image or a volume.

    Raises:
        FuncamError: it is something else.

    Example:
        >>> sides_of([224, 224])
        (224, 224)
    """
    if isinstance(size, str) or not isinstance(size, Iterable) or not 1 <= len(sides := list(size)) <= 3:
        raise FuncamError(f"size is {shown(size)}; expected a side for each axis of space, such as (224, 224)")
    return tuple(whole("a side of size", side) for side in sides)


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
        raise FuncamError(f"device is {shown(device)}; expected None, 'cpu', 'cuda:0' or a torch.device") from None
