"""What an object holds, and what a user's code takes from the modules around it. Nothing of it is called."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any

from funcam.network.held import fields_of
from funcam.resuming.sources import is_installed


def state_of(value: Any) -> Mapping[str, Any]:
    """What an object's pickle would hold: its attributes, or what its class says; empty for locks and the like.

    Args:
        value: the object.

    Example:
        >>> from fractions import Fraction
        >>> state_of(Fraction(1, 3))["1"]
        (1, 3)
    """
    held = fields_of(value)
    own = any(name in vars(base) for base in type(value).__mro__[:-1] for name in ("__reduce__", "__reduce_ex__"))
    if held and not own:
        return held
    try:
        parts = value.__reduce_ex__(2)
    except Exception:  # it can't be pickled
        return held
    if not isinstance(parts, tuple):
        return {"name": parts}
    return {str(at): list(part) if at > 2 and part is not None else part for at, part in enumerate(parts[:5])}


def used_by(code: Any) -> dict[str, Any]:
    """What a function takes from its module and others by name; of a class what it holds and what its methods take.

    Args:
        code: a function, or a class.

    Example:
        >>> limit = 3
        >>> used_by(lambda: limit)
        {'limit': 3}
    """
    if isinstance(code, FunctionType):
        return dict(_taken(code))
    held = {}
    for name, part in vars(code).items() if isinstance(code, type) else ():
        for inner in (getattr(part, "fget", None), getattr(part, "func", None), getattr(part, "__func__", None)):
            part = inner or part
        if isinstance(part, FunctionType) or not (name.startswith("__") and name.endswith("__")):
            held[name] = part
    return held


def _taken(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """What goes by a name of the function's in its module, and in the user's modules that it names."""
    names, around = sorted(set(_names(function.__code__))), function.__globals__
    yield from ((name, around[name]) for name in names if name in around)
    package = around.get("__package__") or ""
    waiting: list[Any] = [around.get(name) for name in names]
    waiting += [sys.modules.get(word) for name in names for word in (name, f"{package}.{name}")]
    met: dict[str, ModuleType] = {}
    while waiting:
        module = waiting.pop()
        if isinstance(module, ModuleType) and module.__name__ not in met and not is_installed(module):
            met[module.__name__] = module
            waiting += [vars(module)[name] for name in names if name in vars(module)]
    for word, module in sorted(met.items()):
        yield from ((f"{word}.{name}", vars(module)[name]) for name in names if name in vars(module))


def _names(code: CodeType) -> Iterator[str]:
    """The names that a function uses, those of functions in it too; not its own variables."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
