"""What tells a report from a file of somebody else's: only a report is replaced unasked. No torch."""

from __future__ import annotations

import os
import re
from pathlib import Path

from funcam.imaging.marks import is_others

PAGE = '<meta name="generator" content="funcam">'
"""In the head of a page."""

GALLERY = "<!-- funcam's gallery -->"
"""In the first paragraph of a gallery, where a reader does not see it."""

_PICTURE = re.compile(r"\d{4}-.+\.jpg")
_BEGINNING = 2**16  # bytes: a title may be long


def is_free(path: str | os.PathLike[str]) -> bool:
    """Whether nothing but an earlier report is lost where one is written: a link that lies there is replaced itself.

    Example:
        >>> is_free("no-such-folder/report.html")
        True
    """
    place = Path(path)
    if place.is_symlink() or not place.is_file():
        return True
    with place.open("rb") as file:
        beginning = file.read(_BEGINNING).decode("utf-8", errors="replace")
    return not beginning.strip() or PAGE in beginning or GALLERY in beginning


def taken_beside(path: Path) -> Path | None:
    """A picture of somebody else's that would be lost in the folder of a gallery; None where there is none."""
    folder = path.with_name(f"{path.stem}-gallery")
    if path.suffix.lower() != ".md" or not folder.is_dir():
        return None
    pictures = (each for each in sorted(folder.iterdir()) if _PICTURE.fullmatch(each.name))
    return next(filter(is_others, pictures), None)
