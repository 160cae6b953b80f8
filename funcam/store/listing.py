"""The listing on the disk: which image is in which row. A run that goes on places rows as the first one did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, zip_longest
from pathlib import Path

from funcam.errors import FuncamError, json_text, quoted
from funcam.files import MIB, exists, parse_json, read_bytes, write_atomically
from funcam.sources import Item, item_line, item_of
from funcam.store.layout import listing_path

_LARGEST = 1024 * MIB
_ANEW = "begin anew in another folder, or give the source as it was"


def listed_count(folder: Path) -> int | None:
    """How many images are listed; None where they aren't all yet.

    Example:
        >>> listed_count(Path("no-such-store")) is None
        True
    """
    path = _whole(folder)
    if not exists(path):
        return None
    told = parse_json(read_bytes(path, most=MIB), repr(str(path)), _ANEW)
    count = told.get("images") if isinstance(told, dict) else None
    if not isinstance(count, int) or count < 1:
        raise FuncamError(f"{str(path)!r} is damaged; {_ANEW}")
    return count


def settle_listing(folder: Path, items: Iterable[Item], run: int) -> int:
    """List the images of a source, or find the same in the listing that is there: how many they are.

    Args:
        folder: the store.
        items: the images, in their order; one at a time is held of a listing that is there, a shard of a new one.
        run: images of a shard.

    Raises:
        FuncamError: there are none, the source has changed since it was listed, or the disk is full.

    Example:
        >>> settle_listing(Path("store"), list_items(["photos"]), 4096)  # doctest: +SKIP
        100000
    """
    known = listed_count(folder)
    if known is not None:
        _compare(folder, items, known, run)
        return known
    count, left = 0, iter(items)
    while lines := [item_line(item) for item in islice(left, run)]:
        write_atomically(listing_path(folder, count // run), b"".join(lines), links=False)
        count += len(lines)
    if not count:
        raise FuncamError("the source holds no image; give another one")
    write_atomically(_whole(folder), f"{json_text({'images': count})}\n".encode(), links=False)
    return count


def listed_run(folder: Path, number: int, run: int, count: int) -> list[Item]:
    """The images of a shard.

    Args:
        folder: the store.
        number: of the shard.
        run: images of a shard.
        count: images in all.

    Raises:
        FuncamError: there is no such shard, or its listing is damaged.

    Example:
        >>> listed_run(Path("store"), 0, 4096, 100_000)[0].path  # doctest: +SKIP
        'photos/cat.jpg'
    """
    wanted = min(run, count - number * run)
    if number < 0 or wanted < 1:
        raise FuncamError(f"shard {number} isn't in the store, which has {count:,} images in shards of {run:,}")
    path = listing_path(folder, number)
    lines = read_bytes(path, most=_LARGEST).splitlines()
    if len(lines) != wanted:
        raise FuncamError(f"{str(path)!r} has {len(lines):,} lines, not {wanted:,}: it is damaged; {_ANEW}")
    return [item_of(line) for line in lines]


def _compare(folder: Path, items: Iterable[Item], count: int, run: int) -> None:
    for index, (there, now) in enumerate(zip_longest(_items(folder, count, run), items)):
        if there != now:
            was, is_ = (_told(there, now), _told(now, there)) if there and now else (_named(there), _named(now))
            raise FuncamError(
                f"the source has changed since it was listed: image {index:,} was {was}, now {is_}; {_ANEW}"
            )


def _items(folder: Path, count: int, run: int) -> Iterator[Item]:
    for number in range(-(-count // run)):
        yield from listed_run(folder, number, run, count)


def _told(item: Item, other: Item) -> str:
    """An item, with what tells it from another that is called the same."""
    return _named(item) if item.path != other.path else f"{quoted(item.path)} ({item.label}, {item.place[1:]})"


def _named(item: Item | None) -> str:
    return "not there" if item is None else quoted(item.path)


def _whole(folder: Path) -> Path:
    return folder / "listing" / "whole.json"
