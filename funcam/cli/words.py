"""What the commands share: how they speak to the user. Importing it costs nothing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console

EPILOG = "Try `funcam explain` without an image first: it explains a scene with the network in the package."


FAILURE, USAGE, INTERRUPTED = 1, 2, 130


class UsageError(typer.BadParameter):
    """Wrong use, found before any work is done: one line, exit code 2."""

    def __str__(self) -> str:
        return str(self.message)


def complain(message: str, code: int = FAILURE) -> int:
    """Say what is wrong on standard error, in one line; returns the exit code."""
    print(f"funcam: {' '.join(message.split())}", file=sys.stderr)
    return code


def console(stderr: bool = False) -> Console:
    """A Rich console: styled on a terminal, plain and as wide as it needs elsewhere."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, width=None if stream.isatty() else 120)
