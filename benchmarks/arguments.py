"""Values of the options that the benchmarks take; what they refuse argparse tells, beside the option's name."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError


def count(text: str) -> int:
    """A whole number of at least 1.

    Example:
        >>> count("8")
        8
        >>> count("0")
        Traceback (most recent call last):
        argparse.ArgumentTypeError: '0' is no whole number of at least 1
    """
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return number


def counts(text: str) -> tuple[int, ...]:
    """Such numbers, separated by commas.

    Example:
        >>> counts("1,8")
        (1, 8)
    """
    return tuple(map(count, text.split(",")))


def words(text: str) -> tuple[str, ...]:
    """Words, separated by commas.

    Example:
        >>> words("resnet50,vgg16")
        ('resnet50', 'vgg16')
    """
    found = tuple(map(str.strip, text.split(",")))
    if not all(found):
        raise ArgumentTypeError(f"{text!r} has a comma with nothing beside it")
    return found


def positive(text: str) -> float:
    """A finite number above 0.

    Example:
        >>> positive("1.15")
        1.15
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ArgumentTypeError(f"{text!r} is no finite number above 0")
    return number
