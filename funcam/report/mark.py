"""What tells a report from a file of somebody else's, which isn't replaced unasked, and from one of another question.

No torch.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path

from funcam.imaging.marks import is_others

PAGE = '<meta name="generator" content="funcam">'
"""In the head of a page."""

GALLERY = "<!-- funcam's gallery -->"
"""In the first paragraph of a gallery, where a reader does not see it."""

_QUESTION = "<!-- its question: {} -->"
_ASKED = re.compile(_QUESTION.format("([0-9a-z]+)"))
_PICTURE = re.compile(r"\d{4}-.+\.jpg")
_BEGINNING = 2**16  # bytes: a title may be long


def is_free(path: str | os.PathLike[str]) -> bool:
    """Whether nothing but an earlier report is lost where one is written: a link that lies there is replaced itself.

    Example:
        >>> is_free("no-such-folder/report.html")
        True
    """
    beginning = _beginning(Path(path))
    return not beginning.strip() or PAGE in beginning or GALLERY in beginning


def marked(mark: str, question: str) -> str:
    """A mark with the question that the report answers, in letters, if it has one.

    Example:
        >>> marked(GALLERY, "3fa91c04be")
        "<!-- funcam's gallery --> <!-- its question: 3fa91c04be -->"
    """
    return f"{mark} {_QUESTION.format(question)}" if question else mark


def answers_another(path: str | os.PathLike[str], question: str) -> bool:
    """Whether a report lies there that says that it answers another question: one that would be lost.

    Example:
        >>> answers_another("no-such-folder/report.html", "3fa91c04be")
        False
    """
    asked = _ASKED.search(_beginning(Path(path)))
    return asked is not None and asked[1] != question


def taken_beside(path: Path) -> Path | None:
    """A picture of somebody else's that would be lost in the folder of a gallery; None where there is none."""
    folder = path.with_name(f"{path.stem}-gallery")
    if path.suffix.lower() != ".md" or not folder.is_dir():
        return None
    return next(filter(is_others, _pictures(folder)), None)


def left_over(folder: Path, shown: Collection[str]) -> list[Path]:
    """Pictures in the folder of a gallery that an earlier one showed, and this one does not.

    Args:
        folder: the gallery's.
        shown: the names of its pictures.
    """
    return [each for each in _pictures(folder) if each.name not in shown and not is_others(each)]


def _pictures(folder: Path) -> list[Path]:
    return [each for each in sorted(folder.iterdir()) if _PICTURE.fullmatch(each.name)]


def _beginning(path: Path) -> str:
    """What a file begins with; nothing of a link, which is replaced itself, or where there is none."""
    if path.is_symlink() or not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.read(_BEGINNING).decode("utf-8", errors="replace")
