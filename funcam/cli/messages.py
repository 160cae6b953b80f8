"""What the commands share: how they speak to the user. Importing it costs nothing."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from funcam.errors import FuncamError, cut, nearest, one_line

if TYPE_CHECKING:
    from rich.console import Console

_UNFOLDED = 1000
EPILOG = "Try `funcam explain` without an image first: it explains a scene with the network in the package."


FAILURE, USAGE, INTERRUPTED, UNREAD = 1, 2, 130, 141


class UsageError(typer.BadParameter):
    """Wrong use, found before any work is done: one line, exit code 2."""

    def __str__(self) -> str:
        return str(self.message)


def check_choice(option: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a value that is none of the few that an option has.

    Raises:
        UsageError: it is none of them.

    Example:
        >>> check_choice("--fit", "stretch", ("squash", "crop", "pad"))
        Traceback (most recent call last):
        funcam.cli.messages.UsageError: --fit 'stretch' is unknown; expected squash, crop or pad
    """
    if value not in choices:
        known = " or ".join(filter(None, (", ".join(choices[:-1]), choices[-1])))
        raise UsageError(f"{option} {value!r} is unknown; expected {known}")


def check_colormap(name: str) -> None:
    """Refuse a colour map that there is none of.

    Raises:
        UsageError: there is none of the name.
    """
    from funcam.imaging.colormaps import COLORMAPS

    if name not in COLORMAPS:
        raise UsageError(f"--colormap {name!r} is unknown; nearest: {nearest(name, COLORMAPS)}")


def check_file(option: str, path: Path | None) -> None:
    """Refuse what is no file that can be read as often as one likes; without an option there is nothing to refuse.

    Raises:
        UsageError: there is none of the name, or a folder, a pipe or a device.
    """
    if path is None or os.path.isfile(path):
        return
    told = f"{option} {str(path)!r}"
    if os.path.isdir(path):
        raise UsageError(f"{told} is a folder; name a file in it")
    if os.path.exists(path):
        raise UsageError(f"{told} is not a regular file; save what it gives to one first")
    raise UsageError(f"{told}: there is no such file")


def make_results_folder(out: Path) -> None:
    """Make the folder of `--out`.

    Raises:
        UsageError: it can't be made, or is a store, which would hold other files than its own then.
    """
    from funcam.files import make_folder
    from funcam.store.layout import is_store

    try:
        make_folder(out)
    except FuncamError as error:
        raise UsageError(f"--out: {error}") from error
    if is_store(out):
        raise UsageError(f"--out: {str(out)!r} is a store of funcam batch; give another folder")


@contextmanager
def loading(what: str, silent: bool) -> Iterator[None]:
    """A spinner on a terminal while something loads; elsewhere nothing is written, where a full disk would end it."""
    if silent or not sys.stderr.isatty():
        yield
        return
    from funcam.cli.tables import plain

    with console(stderr=True).status(f"loading {plain(what)}".rstrip()):
        yield


def complain(message: str, code: int = FAILURE, *, above: Console | None = None) -> int:
    """Say what is wrong on standard error, in one line of a thousand characters, control characters of names escaped.

    Args:
        message: what.
        code: the exit code that it leads to.
        above: the console on which a bar is drawn; Rich folds what is printed past it, also in the middle of a name.

    Returns:
        The exit code.
    """
    line = f"funcam: {cut(one_line(message))}"
    if above is None:
        with suppress(OSError):  # a disk that is full: the exit code has to tell
            print(line, file=sys.stderr, flush=True)
    else:
        above.print(line, soft_wrap=True, markup=False)
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
    width = None if stream.isatty() else _UNFOLDED
    shown = Console(stderr=stderr, highlight=False, emoji=False, width=width)  # :dog: may be in a file's name
    if shown.is_dumb_terminal:  # Rich takes each for 80 columns wide
        shown.width, shown.height = shutil.get_terminal_size()
    return shown
