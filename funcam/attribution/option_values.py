"""What an option of a method may be, found without torch: the command line refuses a wrong value before any work."""

from __future__ import annotations

import ast
import math
from typing import Any

from funcam.attribution.option_names import option_kinds
from funcam.errors import FuncamError, nearest, shown
from funcam.methods import METHODS, find_method

_MASK, _SEED = "cam", "seed"
_WORDS = {"bool": "true or false", "str": "a word"}


def check_option(name: str, option: str, value: Any) -> None:
    """Refuse a value that is not of the option's kind; counts are 1 or more, other numbers not negative.

    Args:
        name: the method's.
        option: one that it has.
        value: what it is to be.

    Raises:
        FuncamError: it can't be that.

    Example:
        >>> check_option("score-cam", "strongest", 0)
        Traceback (most recent call last):
        funcam.errors.FuncamError: strongest=0 does not fit score-cam; expected a whole number of at least 1
    """
    kind, optional, _ = option_kinds(name)[option].partition(" | None")
    least = int(kind == "int" and option != _SEED)
    if option == _MASK:
        _check_mask(name, value)
    elif not (optional and value is None) and not _fits(kind, value, least):
        raise FuncamError(f"{option}={shown(value)} does not fit {name}; expected {_expected(kind, least)}")


def _fits(kind: str, value: Any, least: int) -> bool:
    if kind in _WORDS:
        return type(value).__name__ == kind
    if words := _choices(kind):
        return value in words
    number = isinstance(value, int if kind == "int" else (int, float)) and not isinstance(value, bool)
    return number and least <= value < math.inf


def _expected(kind: str, least: int) -> str:
    number = f"a {'whole ' * (kind == 'int')}number of at least {least}"
    return _WORDS.get(kind) or " or ".join(_choices(kind)) or number


def _choices(kind: str) -> list[str]:
    return ast.literal_eval(kind.removeprefix("Literal")) if kind.startswith("Literal") else []


def _check_mask(name: str, cam: Any) -> None:
    if find_method(cam).gives != "map":
        maps = [method.name for method in METHODS.values() if method.gives == "map"]
        raise FuncamError(f"{name} takes a map as its mask and {cam!r} is none; nearest: {nearest(cam, maps)}")
