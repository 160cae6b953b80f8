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
    return tuple(option_kinds(name))


@cache
def option_kinds(name: str) -> dict[str, str]:
    """The types of a method's options, as its function or the table's defaults say them, by their names.

    Args:
        name: the method's.

    Raises:
        FuncamError: there is no such method.

    Example:
        >>> option_kinds("ss-cam")["strongest"], option_kinds("finer-cam")
        ('int | None', {'gamma': 'float', 'similar': 'int'})
    """
    method = find_method(name)
    family = Path(funcam.methods.__file__).parent / f"{method.module}.py"
    source = ast.parse(family.read_text(encoding="utf-8"))
    functions = (each for each in source.body if isinstance(each, ast.FunctionDef))
    function = next(each for each in functions if each.name == method.function_name)
    own = {each.arg: ast.unparse(each.annotation) for each in function.args.kwonlyargs if each.annotation is not None}
    of_table = {option: type(default).__name__ for option, default in method.options.items()}
    return {option: kind for option, kind in {**own, **of_table}.items() if option not in OURS}


def no_option(method: str, option: str, known: Iterable[str]) -> str:
    """Says that a method has no such option, and which it has.

    Example:
        >>> no_option("grad-cam", "k", option_names("grad-cam"))
        "grad-cam has no option 'k'; it has none"
    """
    return f"{method} has no option {option!r}; it has {', '.join(map(repr, known)) or 'none'}"
