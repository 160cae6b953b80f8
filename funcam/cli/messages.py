"""What the commands share: how they speak to the user. Importing it costs nothing."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import typer

from funcam.errors import FuncamError

if TYPE_CHECKING:
    from rich.console import Console

_UNFOLDED = 1000
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


def reason(error: Exception) -> str:
    """What is wrong, for `complain`; an error that nobody foresaw is raised again for those who want to see where."""
    if isinstance(error, FuncamError | UsageError):
        return str(error)
    if os.environ.get("FUNCAM_DEBUG"):
        raise error
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
    return f"{type(error).__name__}: {first} (FUNCAM_DEBUG=1 shows where)"


def console(stderr: bool = False) -> Console:
    """A Rich console: styled and folded on a terminal, plain and a line for a line elsewhere."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, width=None if stream.isatty() else _UNFOLDED)
