"""The suites by name: every module of `micro` and `e2e` that has groups."""

from __future__ import annotations

import importlib
import pkgutil
from fnmatch import fnmatch
from typing import cast

from benchmarks.suite import e2e, micro
from benchmarks.suite.case import Suite


def names() -> list[str]:
    """`micro/alpha`, `e2e/grad`, ...: a new module is found by itself."""
    return [
        f"{package.__name__.rpartition('.')[2]}/{found.name}"
        for package in (micro, e2e)
        for found in pkgutil.iter_modules(package.__path__)
        if not found.name.startswith("shared_")
    ]


def suite(name: str) -> Suite:
    """The module of a suite."""
    return cast(Suite, importlib.import_module(f"benchmarks.suite.{name.replace('/', '.')}"))


def chosen(patterns: list[str]) -> list[str]:
    """The suites that a pattern fits, whole or without the folder; all without patterns.

    Raises:
        ValueError: a pattern fits none.
    """
    known = names()
    for pattern in patterns:
        if not any(_fits(name, pattern) for name in known):
            raise ValueError(f"no suite is named {pattern!r}; there are {', '.join(known)}")
    return [name for name in known if not patterns or any(_fits(name, pattern) for pattern in patterns)]


def _fits(name: str, pattern: str) -> bool:
    return any(fnmatch(part, pattern) for part in (name, *name.split("/")))
