"""An item of a listing: an image that lies somewhere, with the class that it was given."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from funcam.errors import FuncamError, cut, printable

LeftOut = Callable[[str], object]
"""Called with the name of each image of a format that can't be read, where such are left out."""

_LONGEST_LABEL = 1000
"""Letters of a class."""


class Place(NamedTuple):
    """Where an image's bytes lie.

    Attributes:
        file: a path, or an address such as `s3://bucket/photos/dog.jpg`.
        start: the first of its bytes in a tar file, or its row in a Parquet file; None where the file is the image.
        size: how many bytes it has in a tar file; None elsewhere.
    """

    file: str
    start: int | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """An image of a source.

    Attributes:
        path: what it is called; fit to be printed, never to be written to. Two items may be called the same.
        place: where its bytes lie.
        label: its class as the source tells it, a name or an index; None where it tells none.
        problem: why it can't be read, where that was found while it was listed.
        unlabelled: why its class can't be read, where the source tells one: only who asks for it lacks it.
    """

    path: str
    place: Place
    label: str | None = None
    problem: str | None = None
    unlabelled: str | None = None


def ignored(_name: str) -> None:
    """Nobody asks for what is left out."""


def made_item(
    name: str,
    place: Place,
    label: str | None = None,
    problem: str | None = None,
    unlabelled: str | None = None,
) -> Item:
    """An item under a name that may come from anybody's file.

    Args:
        name: what it is called, whatever letters there are in it.
        place: where its bytes lie.
        label: its class; one of over 1,000 letters can't be read.
        problem: why it can't be read.
        unlabelled: why its class can't be read.

    Example:
        >>> made_item("a\\x1b[31m.jpg", Place("a.tar", 512, 99)).path
        'a\\\\x1b[31m.jpg'
    """
    text = label.strip() if label else ""
    if len(text) > _LONGEST_LABEL:
        text, unlabelled = "", f"its class has more than {_LONGEST_LABEL:,} letters"
    return Item(shown_path(name), place, text or None, problem, unlabelled)


def shown_path(name: str) -> str:
    """A name as it may be printed and kept as UTF-8: control characters escaped, cut in its middle where it is long.

    Example:
        >>> shown_path("a\\x1b\\udcff.jpg")
        'a\\\\x1b\\\\udcff.jpg'
    """
    return cut(printable(name)).encode("utf-8", "backslashreplace").decode()


def item_line(item: Item) -> bytes:
    """An item as a line of a listing.

    Example:
        >>> item_line(Item("dog.jpg", Place("dog.jpg"), "207"))
        b'["dog.jpg", null, null, null, "207"]\\n'
    """
    file, start, size = item.place
    values = [item.path, None if file == item.path else file, start, size, item.label, item.problem, item.unlabelled]
    while values[-1] is None:
        values.pop()
    return json.dumps(values).encode() + b"\n"


def item_of(line: bytes) -> Item:
    """The item that a line of a listing tells.

    Raises:
        FuncamError: the line is damaged.

    Example:
        >>> item_of(b'["dog.jpg", null, null, null, "207"]').label
        '207'
    """
    try:
        path, file, start, size, label, problem, unlabelled = [*json.loads(line), *[None] * 6][:7]
        texts, numbers = (path, file, label, problem, unlabelled), (start, size)
        told = all(isinstance(text, str | None) for text in texts) and isinstance(path, str)
        if not (told and all(isinstance(number, int | None) for number in numbers)):
            raise ValueError
    except (ValueError, TypeError, RecursionError):
        raise FuncamError("a line of the listing is damaged; begin anew in another folder") from None
    return Item(path, Place(path if file is None else file, start, size), label, problem, unlabelled)
