"""`--report`: a page or a gallery, and that it takes no file of somebody else's place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from funcam.cli.messages import UsageError

Reports: TypeAlias = Annotated[list[Path] | None, typer.Option("--report", help="A page (.html) or a gallery (.md).")]
Overwrite: TypeAlias = Annotated[
    bool, typer.Option("--overwrite", help="Replace results of other options, and files that funcam did not write.")
]


def check_reports(paths: Sequence[Path], overwrite: bool) -> None:
    """Find before the long work where a report can't be written; its folder is made.

    Raises:
        UsageError: another kind of file, something in its place that funcam did not write, or no folder for it.
    """
    if not paths:
        return
    from funcam.errors import FuncamError
    from funcam.files import make_folder
    from funcam.report.mark import is_free, taken_beside

    for path in paths:
        told = f"--report {str(path)!r}"
        if path.suffix.lower() not in (".html", ".htm", ".md"):
            raise UsageError(f"{told}: expected a page (.html) or a gallery (.md)")
        try:
            if path.is_dir():
                raise UsageError(f"{told} is a folder; name a file in it, such as {str(path / 'report.html')!r}")
            if not overwrite and not is_free(path):
                raise UsageError(
                    f"{told} is there and funcam did not write it; choose another name, or add --overwrite"
                )
            if not overwrite and (taken := taken_beside(path)) is not None:
                raise UsageError(
                    f"{told}: {str(taken)!r} is there and funcam did not write it; choose another name, or add "
                    "--overwrite"
                )
            make_folder(path.parent)
        except (FuncamError, OSError, ValueError) as error:
            if isinstance(error, UsageError):
                raise
            raise UsageError(f"{told}: {error}") from error
