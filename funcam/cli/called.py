"""Of the command that is called the parameters are read; of the others the list tells the name and what they do."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Callable
from typing import Any

import typer
from typer.models import CommandInfo

from funcam.cli.completion import completed


class App(typer.Typer):
    """Typer's application, without reading for one command the hundred parameters of all."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command, as Typer does: that of `args`, else of `sys.argv`; for the shell's completion all are read."""
        given = kwargs.get("args", args[0] if args else None)
        words = {word for each in (sys.argv[1:] if given is None else given) for word in str(each).split()}
        every = "_FUNCAM_COMPLETE" in os.environ
        one = copy.copy(self)
        one.registered_commands = [
            _whole(info) if every or words.issuperset(str(info.name).split()) else _told(info)
            for info in self.registered_commands
        ]
        return super(App, one).__call__(*args, **kwargs)


def _whole(info: CommandInfo) -> CommandInfo:
    return _with(info, completed(_function(info)))


def _told(info: CommandInfo) -> CommandInfo:
    def told() -> None: ...

    told.__doc__ = _function(info).__doc__
    return _with(info, told)


def _function(info: CommandInfo) -> Callable[..., Any]:
    assert info.callback is not None  # `Typer.command` has made it of a function
    return info.callback


def _with(info: CommandInfo, function: Callable[..., Any]) -> CommandInfo:
    another = copy.copy(info)
    another.callback = function
    return another
