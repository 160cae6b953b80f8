"""Typer's tables of help without Rich's Markdown and tracebacks, which they import and help doesn't use."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from funcam.cli.standing_in import standing_in

_UNUSED = ("rich.markdown", "rich.traceback")


class StandIn(ModuleType):
    """Stands for the module while the tables are imported: what is taken from it there is a class of it."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Later(name, (), {"__module__": self.__name__})


class _Later(type):
    """A class that is imported when something is made of it, or asked of it."""

    def __call__(cls, *arguments: Any, **options: Any) -> Any:
        return cls._own()(*arguments, **options)

    def __getattr__(cls, name: str) -> Any:
        return getattr(cls._own(), name)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls._own())

    def _own(cls) -> Any:
        if cls.__module__ == "rich.traceback":
            from rich import traceback

            return getattr(traceback, cls.__name__)
        from rich import markdown

        return getattr(markdown, cls.__name__)


def import_tables() -> None:
    """Import Typer's tables; while this process has one thread, as it has when help is told."""
    if "typer.rich_utils" in sys.modules:
        return
    with standing_in(map(StandIn, _UNUSED)):
        import typer.rich_utils  # noqa: F401
