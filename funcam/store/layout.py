"""The files of a store, and who may write to it.

question.json           what it answers
listing/00000.jsonl     the images of a shard, a line each; listing/whole.json once all are listed
maps-00000.parquet      a whole shard
parts/00001-0000.parquet, .halved   batches of one that isn't whole yet
pictures/00000/  where they were asked for
log.jsonl, lock         when and where; who writes
"""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path

from funcam.errors import FuncamError
from funcam.files import exists, make_folder, remove
from funcam.resuming.alone import lock

QUESTION = "question.json"
_OURS = re.compile(r"question\.json|listing|parts|pictures|maps-\d+\.parquet|log\.jsonl|lock|\..*")


def shard_path(folder: Path, number: int) -> Path:
    """Where a whole shard lies."""
    return folder / f"maps-{number:05d}.parquet"


def listing_path(folder: Path, number: int) -> Path:
    """Where the images of a shard are listed."""
    return folder / "listing" / f"{number:05d}.jsonl"


def part_path(folder: Path, number: int, batch: int, ending: str = "parquet") -> Path:
    """Where a batch lies until its shard is whole."""
    return folder / "parts" / f"{number:05d}-{batch:04d}.{ending}"


def pictures_path(folder: Path, number: int) -> Path:
    """Where the pictures of a shard lie, where they were asked for."""
    return folder / "pictures" / f"{number:05d}"


def batches_there(folder: Path) -> list[tuple[int, int]]:
    """The batches that are written, each with its shard, of shards that aren't whole yet."""
    found = (re.fullmatch(r"(\d+)-(\d+)\.parquet", name) for name in os.listdir(folder / "parts"))
    return [(int(name[1]), int(name[2])) for name in found if name]


def remove_parts(folder: Path, whole: Container[int]) -> None:
    """Remove the batches of shards that are whole: a process that was killed may have left them.

    Args:
        folder: the store.
        whole: the numbers of these shards.

    Example:
        >>> remove_parts(Path("store"), {0, 1})  # doctest: +SKIP
    """
    for name in os.listdir(folder / "parts"):
        number = re.match(r"(\d+)-\d+\.", name)
        if number and int(number[1]) in whole:
            (folder / "parts" / name).unlink(missing_ok=True)


def remove_shard(folder: Path, number: int) -> None:
    """Remove a shard, whole or begun, and its pictures, which go first: without them it is as it was.

    Args:
        folder: the store.
        number: of the shard.

    Example:
        >>> remove_shard(Path("store"), 3)  # doctest: +SKIP
    """
    pictures = pictures_path(folder, number)
    if pictures.is_dir() and not pictures.is_symlink():
        for name in os.listdir(pictures):
            remove(pictures / name)
    remove(shard_path(folder, number))
    remove_parts(folder, {number})


def is_store(folder: Path) -> bool:
    """Whether a folder is one that `funcam batch` wrote.

    Example:
        >>> is_store(Path("no-such-folder"))
        False
    """
    return exists(folder / QUESTION) and exists(folder / "listing")


@contextmanager
def locked(path: Path) -> Iterator[Path]:
    """The folder of a store, made where there is none, while nobody else writes to it.

    The lock is the system's: it ends with the process, however that ends.

    Args:
        path: the folder.

    Raises:
        FuncamError: somebody else writes to it, it holds other things than a store, or can't be made.

    Example:
        >>> with locked(Path("store")) as folder:  # doctest: +SKIP
        ...     settle_question(folder, question)
    """
    folder = make_folder(path)
    other = next((name for name in sorted(os.listdir(folder)) if not _OURS.fullmatch(name)), None)
    if other is not None:
        raise FuncamError(f"{str(path)!r} holds other files ({other!r}); give a new folder for the store")
    for name in ("listing", "parts"):
        make_folder(folder / name, links=False)
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except OSError as error:
        raise FuncamError(f"can't write {str(folder / 'lock')!r}: {error.strerror}; remove it") from None
    try:
        try:
            lock(descriptor)
        except OSError:
            raise FuncamError(f"another process writes to {str(path)!r}; wait for it, or give another folder") from None
        yield folder
    finally:
        os.close(descriptor)
