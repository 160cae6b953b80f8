"""`--open`: a panel or a report, shown by the program that the desktop or `$BROWSER` has for it."""

from __future__ import annotations

import webbrowser
from pathlib import Path

from funcam.cli.messages import complain


def show(path: Path) -> None:
    """Open a file; where no program can, a line tells where it is.

    Args:
        path: an existing file.
    """
    try:
        opened = webbrowser.open(path.resolve().as_uri())
    except (webbrowser.Error, OSError):
        opened = False
    if not opened:
        complain(f"--open: no program to show it was found; open {str(path)!r} yourself, or set BROWSER")
