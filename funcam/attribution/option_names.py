"""What can be set of a method, read in its function's source: to import that would import torch."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import funcam.methods
from funcam.methods import find_method

OURS = ("chunk", "reduce")
"""Keywords that are not the caller's: memory and smoothing set them."""


@cache
def option_names(name: str) -> tuple[str, ...]:
    """The names of a method's options.

    Args:
        name: the method's.

    Raises:
        FuncamError: there is no such method.

    Example:
        >>> option_names("finer-cam"), option_names("grad-cam")
        (('gamma', 'similar'), ())
    """
    method = find_method(name)
    family = Path(funcam.methods.__file__).parent / f"{method.module}.py"
    source = ast.parse(family.read_text(encoding="utf-8"))
    functions = (each for each in source.body if isinstance(each, ast.FunctionDef))
    function = next(each for each in functions if each.name == method.function_name)
    own = (argument.arg for argument in function.args.kwonlyargs if argument.arg not in OURS)
    return (*own, *method.options)


def no_option(method: str, option: str, known: Iterable[str]) -> str:
    """Says that a method has no such option, and which it has.

    Example:
        >>> no_option("grad-cam", "k", option_names("grad-cam"))
        "grad-cam has no option 'k'; it has none"
    """
    return f"{method} has no option {option!r}; it has {', '.join(map(repr, known)) or 'none'}"
