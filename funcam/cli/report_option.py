"""`--report`: a page or a gallery. It takes no file of somebody else's place, and says where it takes a report's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from funcam.cli.configuration import configured
from funcam.cli.messages import UsageError, check_colormap, complain

Reports: TypeAlias = Annotated[list[Path] | None, typer.Option("--report", help="A page (.html) or a gallery (.md).")]
Overwrite: TypeAlias = Annotated[
    bool, typer.Option("--overwrite", help="Replace results of other options, and files that funcam did not write.")
]

Colormap: TypeAlias = Annotated[str | None, typer.Option("--colormap", help="The report's: cividis (else), jet, ...")]
Alpha: TypeAlias = Annotated[
    float | None, typer.Option("--alpha", min=0, max=1, help="The report's weight of the heat; else 0.65.")
]


def report_style(reports: Sequence[Path], colormap: str | None, alpha: float | None) -> tuple[str, float | None]:
    """A report's colour map and weight of the heat, from the options or the configuration; "" and None for its own.

    Raises:
        UsageError: there is no such colour map, or no report that could be drawn so.
    """
    for option, value in (("--colormap", colormap), ("--alpha", alpha)):
        if value is not None and not reports:
            raise UsageError(f"{option} {value} is of a report's maps, and none is made; give --report report.html too")
    if colormap is not None:
        check_colormap(colormap)
    usual = configured(Path.cwd()) if reports else {}
    return colormap or usual.get("colormap", ""), usual.get("alpha") if alpha is None else alpha


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


def tell_replaced(paths: Sequence[Path], question: str, overwrite: bool) -> None:
    """Say before the long work that a report will replace that of another question.

    Args:
        paths: the reports.
        question: what they answer, in letters.
        overwrite: whether others are replaced without a word.
    """
    if overwrite or not paths:
        return
    from funcam.report.mark import answers_another

    for path in paths:
        if answers_another(path, question):
            complain(
                f"--report {str(path)!r} shows what other images, networks or options gave, and is replaced when this "
                "is done; stop with Ctrl-C to keep it, or choose another name"
            )
