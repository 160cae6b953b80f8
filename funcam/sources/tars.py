"""WebDataset's tar shards: images by their suffix, and the class from the `.cls` or `.json` of the same sample.

Only headers and classes are read while a shard is listed. Nothing is unpacked: what a member is called is shown, and
never a path to anything.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from itertools import groupby
from typing import BinaryIO, NamedTuple

from funcam.errors import FuncamError, reason_in
from funcam.files import MIB, parse_json
from funcam.imaging.suffixes import is_image_name, is_unreadable_name
from funcam.sources.item import Item, LeftOut, Place, ignored, made_item
from funcam.sources.places import opened_place
from funcam.truth.csv_boxes import CLASS_COLUMNS

MOST_BYTES = 256 * MIB
"""Of an image that doesn't lie in a file of its own."""

_HEADER = 2**15
"""Bytes of a header, which may hold a long name: what a tar file claims of it would be read at once."""

_CLASS = 2**10
_RECORD = 2**20
_CLASS_KEYS = ("cls", *CLASS_COLUMNS)
_TOGETHER = 1000
"""Images of a sample that are held until its class is known."""


class Member(NamedTuple):
    """A file in a tar file.

    Attributes:
        name: as the tar file has it.
        start: the first of its bytes.
        size: how many there are.
        problem: why it can't be read.
    """

    name: str
    start: int
    size: int
    problem: str | None = None


def shard_items(file: str, left_out: LeftOut = ignored) -> Iterator[Item]:
    """The images in a tar file, in its order, each with the class of its sample.

    A sample are files in a row whose paths agree up to the first dot of the name. A member that is no file, or claims
    what there isn't, is an item with its problem. Behind a damaged header nothing more is found, which is one, too; so
    is a file that can't be opened.

    Args:
        file: a path or an address.
        left_out: called with the name of each image of a format that can't be read.

    Example:
        >>> [(item.path, item.label) for item in shard_items("train-00000.tar")]  # doctest: +SKIP
        [('train-00000.tar/000017.jpg', '207')]
    """
    try:
        with opened_place(file) as stream:
            for _, sample in groupby(_members(stream), lambda member: _key(member.name)):
                yield from _items(file, stream, sample, left_out)
    except FuncamError as error:
        yield made_item(file, Place(file), problem=str(error))


def _items(file: str, stream: BinaryIO, sample: Iterator[Member], left_out: LeftOut) -> Iterator[Item]:
    """The images of a sample."""
    images: list[Member] = []
    label, record, unlabelled = None, None, None
    for member in sample:
        ending = os.path.splitext(member.name)[1].lower()
        if is_image_name(member.name) or (member.problem and ending not in (".cls", ".json")):
            images.append(member)
        elif ending in (".cls", ".json") and len(images) <= _TOGETHER:
            try:
                if ending == ".cls":
                    label = _content(stream, member, _CLASS).decode().strip()
                else:
                    record = _class_in(_content(stream, member, _RECORD))
            except (FuncamError, UnicodeDecodeError) as error:
                unlabelled = f"its class in {member.name!r} can't be read ({reason_in(error)})"
        elif is_unreadable_name(member.name):
            left_out(os.path.basename(member.name))
        if len(images) > _TOGETHER:  # no sample of WebDataset's; its images go on without a class
            yield _item(file, images.pop(0), None, None)
    for member in images:
        yield _item(file, member, label or record, unlabelled)


def _item(file: str, member: Member, label: str | None, unlabelled: str | None) -> Item:
    place = Place(file, member.start, member.size)
    return made_item(f"{file}/{member.name}" if member.name else file, place, label, member.problem, unlabelled)


def _members(stream: BinaryIO) -> Iterator[Member]:
    """The files in a tar file; folders and hidden files are left out."""
    end, reached = stream.seek(0, os.SEEK_END), -1
    stream.seek(0)
    try:
        with tarfile.open(fileobj=_Headers(stream), mode="r:") as tar:  # type: ignore[call-overload]
            while (info := tar.next()) is not None:
                tar.members.clear()  # it keeps every one
                if info.size < 0 or tar.offset <= reached:  # it would lead back for ever
                    raise tarfile.ReadError("a header claims a size below zero")
                reached = tar.offset
                if not info.isdir() and not os.path.basename(info.name).startswith("."):
                    yield Member(info.name, info.offset_data, info.size, _problem(info, end))
            stream.seek(tar.offset)
            if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError("it has no end")
    except (tarfile.TarError, FuncamError, OSError, ValueError, OverflowError) as error:
        reason = f"the tar file is damaged behind byte {max(reached, 0):,} ({reason_in(error)}); make it anew"
        yield Member("(the rest)" if reached >= 0 else "", max(reached, 0), 0, reason)


def _problem(info: tarfile.TarInfo, end: int) -> str | None:
    if not info.isreg() or info.issparse():
        what = "a link" if info.islnk() or info.issym() else "a sparse file" if info.issparse() else "no file"
        return f"it is {what} in the tar file; put the image itself there"
    if info.size > MOST_BYTES:
        return f"it claims to be larger than {MOST_BYTES // MIB} MiB; make it smaller first"
    if info.offset_data + info.size > end:
        return "the tar file ends before it does; make it anew"
    return None


class _Headers:
    """A tar file as `tarfile` may read it: no more at once than a header has."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _HEADER:
            raise FuncamError(f"a header claims {size:,} bytes")
        return self._stream.read(size)


def _content(stream: BinaryIO, member: Member, most: int) -> bytes:
    """What is in a small member; the stream is left where it was."""
    if member.problem or member.size > most:
        raise FuncamError(member.problem or f"it is larger than {most:,} bytes")
    at = stream.tell()
    stream.seek(member.start)
    content = stream.read(member.size)
    stream.seek(at)
    return content


def _class_in(record: bytes) -> str | None:
    """The class in the JSON of a sample."""
    told = parse_json(record, "it", "expected an object")
    found = (told[key] for key in _CLASS_KEYS if key in told) if isinstance(told, dict) else ()
    value = next((value for value in found if isinstance(value, str | int) and not isinstance(value, bool)), None)
    return None if value is None else str(value)


def _key(name: str) -> str:
    """What the files of a sample share."""
    folder, mark, base = name.rpartition("/")
    return folder + mark + base.partition(".")[0]
