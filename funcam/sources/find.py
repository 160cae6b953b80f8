"""What SOURCE may be: folders, globs, lists, tar shards, Parquet files, images; each as the items in it."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO

from funcam.errors import FuncamError
from funcam.imaging.suffixes import heic_offer, is_image_name, is_unreadable_name
from funcam.imaging.suffixes import left_out as told
from funcam.sources.item import Item, LeftOut, Place, ignored, made_item
from funcam.sources.lists import listed_in, listed_lines, listed_rows
from funcam.sources.places import Entry, is_address, joined, kind_at
from funcam.sources.tables import table_items
from funcam.sources.tars import shard_items
from funcam.sources.tree import below, is_glob, matching

STANDARD_INPUT = "-"
_FILES: dict[str, Callable[[str], Iterator[Item]]] = {
    ".parquet": table_items,
    ".txt": listed_in,
    ".csv": listed_rows,
    ".tsv": listed_rows,
}
"""What holds images, by its suffix."""

_TAR = ".tar"
_SHARDS = (_TAR, ".parquet")
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MOST_SHARDS = 10**6
_KINDS = "a folder, a glob, '-', an image, a .txt or .csv list, .tar shards or .parquet files"


def list_items(sources: Sequence[str], lines: BinaryIO | None = None, left_out: LeftOut = ignored) -> Iterator[Item]:
    """The images of some sources, in an order that is the same each time, one by one: memory stays as it is.

    A folder stands for the images below it (folders in it too, sorted; hidden ones are left out; a link that leads
    back ends), a glob for the images, tar shards and Parquet files that it matches, `shards-{0000..0123}.tar` for
    each of these. Paths and addresses that fsspec opens (`s3://`, `gs://`, `hf://`, ...) alike.

    Args:
        sources: paths, addresses, globs, or `-` for paths on standard input.
        lines: standard input.
        left_out: called with the name of each image of a format that can't be read, where such are left out: in
            folders, globs and tar shards.

    Raises:
        FuncamError: there is no such source, at once; one holds no image, when it is reached. What is wrong with a
            single image, shard or folder inside is the problem of an item.

    Example:
        >>> for item in list_items(["photos", "train-{0000..0009}.tar"]):  # doctest: +SKIP
        ...     print(item.path, item.label)
    """
    if isinstance(sources, str) or not sources:
        raise FuncamError(f"sources are {sources!r}; give a list of them, each {_KINDS}")
    parts = [part for source in sources for part in _parted(source)]
    for part in parts:
        _check(part)
    return _listed(parts, lines, left_out)


def _listed(parts: Sequence[str], lines: BinaryIO | None, left_out: LeftOut) -> Iterator[Item]:
    for part in parts:
        items = _items(part, lines, left_out)
        first = next(items, None)
        if first is None:
            raise FuncamError(_empty(part))
        yield first
        yield from items


def _parted(source: str) -> list[str]:
    """The shards that WebDataset's `{0000..0123}` means; whatever else as it is."""
    found = _RANGE.search(source)
    if found is None or kind_at(source):
        return [os.path.expanduser(source) if not is_address(source) and not os.path.lexists(source) else source]
    first, last = int(found[1]), int(found[2])
    if not 0 <= last - first < _MOST_SHARDS:
        raise FuncamError(f"{source!r}: {found[0]} is no range of up to {_MOST_SHARDS:,} shards; write {{0000..0123}}")
    before, behind = source[: found.start()], source[found.end() :]
    return [f"{before}{number:0{len(found[1])}}{behind}" for number in range(first, last + 1)]


def _check(source: str) -> None:
    if source == STANDARD_INPUT:
        return
    if not source:
        raise FuncamError(f"an empty source was given; expected {_KINDS}")
    if source.lower().endswith((".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")):
        raise FuncamError(f"{source!r} is compressed, so that nothing in it can be found again; unpack it to a .tar")
    if not kind_at(source) and not is_glob(source):
        raise FuncamError(f"{source!r} does not exist; give {_KINDS}")


def _items(source: str, lines: BinaryIO | None, left_out: LeftOut) -> Iterator[Item]:
    if source == STANDARD_INPUT:
        if lines is None:
            raise FuncamError("'-' stands for paths on standard input, and there is none; pipe them in")
        return listed_lines(lines)
    kind = kind_at(source)
    if kind == "folder":
        return _images((entry for _, entry in below(source)), left_out)
    if kind == "file":  # before the glob: 'photo[1].jpg' may be a file's name
        return _in_file(source, left_out)
    return _matched(source, left_out)


def _in_file(path: str, left_out: LeftOut) -> Iterator[Item]:
    if _suffix(path) == _TAR:
        return shard_items(path, left_out)
    within = _FILES.get(_suffix(path))
    return within(path) if within else iter([made_item(path, Place(path))])


def _images(found: Iterable[Entry], left_out: LeftOut) -> Iterator[Item]:
    for entry in found:
        if entry.problem or is_image_name(entry.name):
            yield made_item(entry.path, Place(entry.path), problem=entry.problem)
        elif is_unreadable_name(entry.name):
            left_out(entry.name)


def _matched(pattern: str, left_out: LeftOut) -> Iterator[Item]:
    for entry in matching(pattern):
        if not entry.problem and _suffix(entry.name) in _SHARDS:
            yield from _in_file(entry.path, left_out)
        else:
            yield from _images([entry], left_out)


def _empty(source: str) -> str:
    if source == STANDARD_INPUT:
        return "standard input names no image; pipe paths in, one a line"
    folder, left = kind_at(source) == "folder", _all_left_out(source)
    if left:
        what = f"folder {source!r}" if folder else repr(source)
        return "; ".join([f"{what} holds no images that can be read: {told(left)}", *heic_offer(left)])
    if not folder:
        return f"{source!r} holds no image; check it"
    shard = next((entry.name for _, entry in below(source) if _suffix(entry.name) in _SHARDS), None)
    if shard is None:
        return f"folder {source!r} holds no images (.jpg, .png, ...), nor do folders in it; check the path"
    return f"folder {source!r} holds no images, but {shard!r}; give {joined(source, '*' + _suffix(shard))!r}"


def _all_left_out(source: str) -> list[str]:
    """The names of what is left out of a source without images."""
    left: list[str] = []
    deque(_items(source, None, left.append), maxlen=0)
    return left


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()
