"""Lists of images: lines of a text file or of standard input, and CSV files that give the class too. Streamed."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO

from funcam.errors import FuncamError, quoted
from funcam.files import parsing
from funcam.sources.item import Item, Place, made_item
from funcam.sources.places import file_system, is_address, joined, opened_place
from funcam.truth.csv_boxes import CLASS_COLUMNS, FILE_COLUMNS

_LONGEST = 2**16
"""Bytes of a line."""

_EXPECTED = "expected the header path,class (or path alone) and a row for each image"
_BOM = b"\xef\xbb\xbf"


def listed_lines(stream: BinaryIO, folder: str = "") -> Iterator[Item]:
    """The images that lines name, one a line; empty lines are passed over.

    Args:
        stream: the lines, of whatever letters names of files have; null characters may end them instead.
        folder: where relative paths begin; the current folder where none is given.

    Example:
        >>> import io
        >>> [item.path for item in listed_lines(io.BytesIO(b"dog.jpg\\r\\ncat.jpg"), "photos")]
        ['photos/dog.jpg', 'photos/cat.jpg']
    """
    for number, line in enumerate(_lines(stream), start=1):
        if line is None:
            yield made_item(f"line {number}", Place(""), problem=f"the line has more than {_LONGEST:,} bytes")
        elif line.strip():
            yield _item(os.fsdecode(line), folder)


def listed_in(file: str) -> Iterator[Item]:
    """The images that a text file names, one a line; relative paths begin where the file lies.

    Args:
        file: a path or an address.

    Raises:
        FuncamError: it can't be read.

    Example:
        >>> [item.path for item in listed_in("photos/list.txt")]  # doctest: +SKIP
        ['photos/dog.jpg', 'photos/cat.jpg']
    """
    with opened_place(file) as stream, parsing(f"{file!r} can't be read", "check the file"):
        yield from listed_lines(stream, _folder_of(file))


def listed_rows(file: str) -> Iterator[Item]:
    """The images in a CSV file with a header, and their classes where it has a column of them.

    The columns go by the names that a CSV file of truth may have: `path`, `file`, `image`, ...; `class`, `label`, ...
    Commas, semicolons or tabs separate. Relative paths begin where the file lies.

    Args:
        file: a path or an address.

    Raises:
        FuncamError: it can't be read, is no CSV in UTF-8, or has no such header.

    Example:
        >>> [(item.path, item.label) for item in listed_rows("photos/list.csv")]  # doctest: +SKIP
        [('photos/dog.jpg', 'golden retriever')]
    """
    folder = _folder_of(file)
    with opened_place(file) as stream, parsing(f"{file!r} can't be read as CSV", _EXPECTED):
        texts = _texts(stream, file)
        first = next(texts, "")
        separator = max(",;\t", key=first.count)
        headings = [cell.strip().lower() for cell in next(csv.reader([first], delimiter=separator), [])]
        file_at, class_at = (_first(headings, names) for names in (FILE_COLUMNS, CLASS_COLUMNS))
        if file_at is None:
            raise FuncamError(f"{file!r} begins with {quoted(first.rstrip(), 80)}; {_EXPECTED}")
        rows = csv.reader(texts, delimiter=separator, strict=True)
        for row in rows:
            path, label = (row[at] if at is not None and at < len(row) else "" for at in (file_at, class_at))
            if path.strip():
                yield _item(path, folder, label)
            elif any(cell.strip() for cell in row):
                yield made_item(f"row {rows.line_num + 1} of {file}", Place(""), label, "the row names no image")


def _item(text: str, folder: str, label: str = "") -> Item:
    try:
        path = _resolved(text, folder)
    except FuncamError as error:
        return made_item(text, Place(""), label, str(error))
    return made_item(path, Place(path), label)


def _resolved(text: str, folder: str) -> str:
    """A path of a list, seen from where the program runs.

    A list that lies in a bucket was written by whoever may write there: it names what lies beside it.
    """
    if is_address(text):
        file_system(text)
    if not is_address(folder):
        return text if is_address(text) else os.path.join(folder, text)
    protocol = folder.partition("://")[0]
    if is_address(text) and text.partition("://")[0] == protocol:
        return text
    if is_address(text) or text.startswith("/") or "\\" in text or ".." in PurePosixPath(text).parts:
        raise FuncamError(
            f"a list at {protocol}:// may name what lies in folders beside it or other {protocol}:// only"
        )
    return joined(folder, text)


def _folder_of(file: str) -> str:
    return file.rpartition("/")[0] if is_address(file) else os.path.dirname(file)


def _lines(stream: BinaryIO) -> Iterator[bytes | None]:
    """The lines without their ends; None for one that is too long.

    Where there is a null character only these end lines, as `find -print0` writes them: names may hold line feeds.
    """
    block, begun = stream.read(_LONGEST).removeprefix(_BOM), b""
    end, stray = (b"\0", b"") if b"\0" in block else (b"\n", b"\r")
    while block:
        *lines, begun = (begun + block).split(end)
        yield from (_whole(line, stray) for line in lines)
        begun = begun[:_LONGEST]  # of a line that is too long no more is kept
        block = stream.read(_LONGEST)
    if begun:
        yield _whole(begun, stray)


def _whole(line: bytes, stray: bytes) -> bytes | None:
    return line.rstrip(stray) if len(line) < _LONGEST else None


def _texts(stream: BinaryIO, file: str) -> Iterator[str]:
    """The lines of a text in UTF-8, each with its end."""
    for number, line in enumerate(iter(lambda: stream.readline(_LONGEST), b""), start=1):
        if len(line) == _LONGEST and not line.endswith(b"\n"):
            raise FuncamError(f"{file!r}, line {number}, has more than {_LONGEST:,} bytes; {_EXPECTED}")
        try:
            yield (line.removeprefix(_BOM) if number == 1 else line).decode()
        except UnicodeDecodeError:
            raise FuncamError(f"{file!r}, line {number}, is not UTF-8; save it as UTF-8 text") from None


def _first(headings: list[str], names: tuple[str, ...]) -> int | None:
    return next((headings.index(name) for name in names if name in headings), None)
