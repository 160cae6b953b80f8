"""COCO's JSON of any size: read entry by entry, and of it kept what is about the images that are compared."""

from __future__ import annotations

import io
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Set
from pathlib import Path, PurePosixPath
from typing import Any, TextIO

from funcam.files import MIB, open_regular, parsing
from funcam.truth.truth import MOST_ENTRIES, refuse_over

LARGEST = 2048 * MIB
_ENTRY = 8 * MIB
"""Letters of one entry; of an object's run lengths and polygons fewer are taken."""
_PIECE = MIB
_LONGEST = 255
"""Letters of a file's name: to normalise a text takes the square of the marks on one letter."""
_SPACE = re.compile(r"[ \t\n\r]*")
_BEHIND = tuple(" \t\n\r,:]}")
_DECODE = json.JSONDecoder().raw_decode


def stem(name: str) -> str:
    """What two names of one image have in common: neither folders nor suffix nor case.

    Example:
        >>> stem("val2017/Dog.JPG")
        'dog'
    """
    own = PurePosixPath(name[-_LONGEST:].replace("\\", "/")).stem.casefold()
    return unicodedata.normalize("NFC", own)


def name_of(image: Mapping[Any, Any]) -> str:
    """The file of an entry of 'images': its name, or what its address ends with, as in LVIS; empty where it has none.

    Example:
        >>> name_of({"coco_url": "http://images.cocodataset.org/val2017/000000397133.jpg"})
        'val2017/000000397133.jpg'
    """
    name, address = image.get("file_name"), image.get("coco_url")
    if isinstance(name, str):
        return name
    return "/".join(address.split("/")[-2:]) if isinstance(address, str) else ""


def about(path: Path, stems: Set[str], expected: str, most_values: int) -> dict[str, list[Mapping[str, Any]]]:
    """The lists of a file of COCO's, cut down to some images: read twice, for annotations may stand before the images.

    Args:
        path: the file.
        stems: of the images.
        expected: what messages say should be there.
        most_values: so many values are kept.

    Raises:
        FuncamError: the file can't be read, is larger than 2 GiB, is no JSON object, or what it says of these images
            is more than is kept of one file.
    """

    def kept(wants: Callable[[str, Mapping[str, Any]], bool]) -> dict[str, list[Mapping[str, Any]]]:
        parts: dict[str, list[Mapping[str, Any]]] = {}
        values = 0
        for part, entry, count in _entries(path, expected):
            entries = parts.setdefault(part, [])
            if isinstance(entry, dict) and wants(part, entry):
                values += count
                refuse_over(values, most_values, "values", repr(str(path)))
                refuse_over(len(entries), MOST_ENTRIES, part, repr(str(path)))
                entries.append(entry)
        return parts

    parts = kept(lambda part, entry: part == "categories" or (part == "images" and stem(name_of(entry)) in stems))
    ids = {shown for image in parts.get("images", ()) if isinstance(shown := image.get("id"), int | str)}
    annotations = kept(lambda part, entry: part == "annotations" and _among(entry.get("image_id"), ids))
    return {name: annotations[name] if name == "annotations" else entries for name, entries in parts.items()}


def _among(value: Any, ids: Set[Any]) -> bool:
    return isinstance(value, int | str) and value in ids


def _entries(path: Path, expected: str) -> Iterator[tuple[str, Any, int]]:
    """The entries of each list of an object: the list's name, the entry, and of how many values it is."""
    name = repr(str(path))
    with (
        parsing(f"{name} is not JSON", expected),
        open_regular(path, name, most=LARGEST) as file,
        io.TextIOWrapper(file, "utf-8-sig") as stream,
    ):
        text = _Text(stream)
        text.take("{")
        while not text.took("}"):
            part, _ = text.value()
            text.take(":")
            if text.took("["):
                while not text.took("]"):
                    entry, count = text.value()
                    yield str(part), entry, count
                    if not text.took(","):
                        text.take("]")
                        break
            else:
                text.value()
            if not text.took(","):
                text.take("}")
                break
        if text.next():
            raise ValueError("it goes on behind its end")


class _Text:
    """A text of which so much is in the memory as a value needs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._text, self._at = stream, "", 0

    def next(self) -> str:
        """The next letter that is no space, left where it is; nothing at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def took(self, letter: str) -> bool:
        """Whether a letter comes next; then it is behind us."""
        there = self.next() == letter
        self._at += there
        return there

    def take(self, letter: str) -> None:
        if not self.took(letter):
            raise ValueError(f"{letter!r} is missing")

    def value(self) -> tuple[Any, int]:
        """The next value, and of how many it is made."""
        self.next()
        while True:
            try:
                value, end = _DECODE(self._text, self._at)
            except RecursionError:
                raise ValueError("nested too deeply") from None
            except ValueError:
                if not self._more():
                    raise
                continue
            if self._text[end : end + 1] in _BEHIND or not self._more():  # else a number may go on
                count = 1 + sum(self._text.count(letter, self._at, end) for letter in ",:[{")
                self._at = end
                return value, count

    def _more(self) -> bool:
        """Read on: as much again, so that a long value is not begun too often."""
        left = self._text[self._at :]
        if len(left) > _ENTRY:
            raise ValueError(f"a value of more than {_ENTRY // MIB} MiB")
        piece = self._stream.read(max(_PIECE, len(left)))
        self._text, self._at = left + piece, 0
        return bool(piece)
