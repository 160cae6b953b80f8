"""Which images an earlier run has explained: known by all that their results were made from, not by a file's name. No
torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from funcam.errors import FuncamError
from funcam.files import MIB, parse_json, read_text
from funcam.imaging.letters import file_letters, letters

MADE_FROM = "made_from"
_TOLD = {"image", "layer", "predictions", "explained", "notes", "seconds"}


@dataclass(frozen=True)
class ImageSource:
    """An image to explain.

    Attributes:
        name: its file, or what the scene is called.
        stem: what the names of its results start with.
        seed: of the scene; None for a file.
        data: what the file would hold, where there is none; `name` is what messages call it.
    """

    name: str
    stem: str
    seed: int | None = None
    data: bytes | None = None


def made_from(question: str, source: ImageSource) -> str:
    """What tells the results of an image from others: what was asked, and what is in its file.

    Args:
        question: all that is the same for all images, in letters.
        source: the image.

    Raises:
        FuncamError: the file can't be read.

    Example:
        >>> scene = ImageSource("scene 1", "scene1", 1)
        >>> made_from("a", scene) == made_from("a", scene) != made_from("b", scene)
        True
    """
    if source.data is not None:
        content = letters(source.data)
    else:
        content = f"scene {source.seed}" if source.seed is not None else file_letters(source.name)
    return letters(f"{question} {content}".encode())


def explained_before(question: str, source: ImageSource, record: Path) -> dict[str, Any] | None:
    """The record of an image whose results are all there, and made from just this; else None.

    Args:
        question: as in `made_from`.
        source: the image.
        record: where its record would be.
    """
    try:
        found = parse_json(read_text(record, most=MIB), "the record", "a record")
        if not isinstance(found, dict) or found.get(MADE_FROM) != made_from(question, source) or found.get("failed"):
            return None
        nets = found.get("nets", [found])
        if not all(net.keys() >= _TOLD for net in nets):
            return None
        files = [found["files"], *(each["files"] for net in nets for each in (net, *net["explained"]))]
        names = [name for each in files for name in each.values()]
        return found if all((record.parent / name).stat().st_size for name in names) else None
    except (FuncamError, LookupError, TypeError, AttributeError, OSError, ValueError):
        return None  # no record, another file in its place, or an image that can't be read: whoever explains it tells
