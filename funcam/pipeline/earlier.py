"""Which images an earlier run has explained: known by all that their results were made from, not by a file's name. No
torch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from funcam.errors import FuncamError
from funcam.imaging.reading import folded
from funcam.resuming.content import file_letters, letters
from funcam.resuming.places import ASKED, named_in, other_name, readable, way

MADE_FROM = "made_from"
CONTENTS = "contents"
_TOLD = {"image", "layer", "predictions", "explained", "notes", "seconds"}


@dataclass(frozen=True)
class ImageSource:
    """An image to explain.

    Attributes:
        name: its file, or what the scene is called.
        stem: what the names of its results start with.
        seed: of the scene; None for a file.
        data: what the file would hold, where there is none; `name` is what messages call it.
        plain: whether its results may be called by its stem alone: not where another image of the call has it.
    """

    name: str
    stem: str
    seed: int | None = None
    data: bytes | None = None
    plain: bool = True


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


def asked_of(options: str, source: ImageSource, folder: Path) -> str:
    """What tells what was asked of an image from what else was, in letters: the options, and which image it is.

    Args:
        options: all that was asked of every image, in letters; "" where nobody asks.
        source: the image. What is in its file may change under the same name.
        folder: the one of the results: an image is known by its way from there, so that both may be moved.
    """
    if not options:
        return ""
    if source.data is not None:
        return letters(options.encode() + source.data)
    which = f"scene {source.seed}" if source.seed is not None else way(folder, source.name)
    return letters(f"{options} {which}".encode(errors="surrogateescape"))


def told_apart(sources: Sequence[ImageSource], options: str, folder: Path, ending: str) -> list[ImageSource]:
    """The images, of those whose stems are alike all but one marked: its results have the names without letters.

    It is the one whose results have them already, else the first.

    Args:
        sources: the images of a call.
        options: as in `asked_of`.
        folder: the one of the results.
        ending: what the names of their records end with.
    """
    alike: dict[str, list[ImageSource]] = defaultdict(list)
    for source in sources:
        alike[folded(source.stem)].append(source)
    marked: set[ImageSource] = set()
    for first, *others in alike.values():
        has = (other for other in others if _has_plain(other, options, folder, ending))
        marked |= {first, *others} - {next(has, first)}
    return [replace(source, plain=False) if source in marked else source for source in sources]


def _has_plain(source: ImageSource, options: str, folder: Path, ending: str) -> bool:
    record = readable(folder / f"{source.stem}-{ending}.json")
    return record is not None and record.get(ASKED) == asked_of(options, source, folder)


def contents_of(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """What is in the pictures and maps of these files, in letters; records, which hold that, left out.

    Raises:
        FuncamError: one can't be read.
    """
    return {name: file_letters(folder / name) for name in names if not name.endswith(".json")}


def explained_before(
    question: str, options: str, source: ImageSource, folder: Path, ending: str
) -> dict[str, Any] | None:
    """The record of an image whose results are all there as they were written, and made from just this; else None.

    Args:
        question: as in `made_from`.
        options: as in `asked_of`.
        source: the image.
        folder: where its record would be.
        ending: what the record's name ends with.
    """
    asked = asked_of(options, source, folder)
    name = f"{source.stem}-{ending}"
    records = (folder / f"{chosen}.json" for chosen in (name, other_name(name, asked)))
    return next((found for record in records if (found := _holds(record, question, asked, source))), None)


def _holds(record: Path, question: str, asked: str, source: ImageSource) -> dict[str, Any] | None:
    try:
        found = readable(record)
        if found is None or found.get(ASKED) != asked or found.get("failed"):
            return None
        if found.get(MADE_FROM) != made_from(question, source):
            return None
        nets = found.get("nets", [found])
        if not all(net.keys() >= _TOLD for net in nets):
            return None
        written = {name: letters for each in (found, *nets) for name, letters in each[CONTENTS].items()}
        return found if written == contents_of(record.parent, named_in(found)) else None
    except (FuncamError, LookupError, TypeError, AttributeError, OSError, ValueError):
        return None  # no record, another file in its place, or an image that can't be read: whoever explains it tells
