"""Pictures of a store, drawn when somebody wants to see them: the image is read again, the map is there.

Images are read one after the other, and decoded and drawn in threads.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeVar

from funcam.errors import FuncamError, about
from funcam.files import make_folder
from funcam.imaging.fit import View, fit_image, onto_image
from funcam.imaging.marks import is_others
from funcam.imaging.panel import contact_sheet
from funcam.imaging.reading import Pixels, read_data
from funcam.imaging.render import overlay, picture_size, resize_picture, save_picture
from funcam.sources import Reader
from funcam.store import Row, Store, content_hash
from funcam.store.layout import pictures_path
from funcam.streaming.in_order import in_order, worker_count
from funcam.zoo.labels import class_name

T = TypeVar("T")

SHEET = "sheet.jpg"
_ON_SHEET = 192


class Look(NamedTuple):
    """How pictures look.

    Attributes:
        colormap: of the heat.
        alpha: its weight, 0..1.
        size: the longest side in pixels; None for the image's own.
        format: of the files.
    """

    colormap: str = "jet"
    alpha: float = 0.5
    size: int | None = None
    format: str = "jpg"


class Seen(NamedTuple):
    """A row and its image, read again.

    Attributes:
        row: the row, with its map.
        image: uint8 RGB, upright, of its own size.
        view: which part of it the network saw.
    """

    row: Row
    image: Pixels
    view: View


def taken_by_others(folder: Path, rows: Sequence[Row], look: Look) -> str | None:
    """A file of somebody else's that `draw_rows` would replace; None where there is none.

    Args:
        folder: the folder for the pictures.
        rows: which are drawn.
        look: how they look.
    """
    names = (SHEET, *(_file_name(row, look) for row in rows))
    return next((name for name in names if is_others(folder / name)), None)


def draw_rows(store: Store, rows: Sequence[Row], folder: Path, look: Look) -> Iterator[tuple[Row, Path | FuncamError]]:
    """Draw rows' maps over their images, a file each, and all of them on one sheet, `sheet.jpg`.

    Args:
        store: where the rows come from.
        rows: which.
        folder: for the pictures; it is made where there is none.
        look: how they look.

    Yields:
        Each row with its picture, or with why there is none.

    Raises:
        FuncamError: a picture can't be written.
    """
    make_folder(folder)
    tiles: list[tuple[str, Pixels]] = []

    def write(seen: Seen) -> tuple[Path, Pixels]:
        picture = drawn(seen, look)
        return _saved(folder, seen.row, picture, look), _small(picture)

    for row, made in seen_again(store, rows, write):
        if isinstance(made, FuncamError):
            yield row, made
        else:
            tiles.append((_caption(row, store.question["classes"]), made[1]))
            yield row, made[0]
    if tiles:
        save_picture(folder / SHEET, contact_sheet(tiles, tile=_ON_SHEET))


def draw_missing(store: Store, look: Look) -> Iterator[tuple[Row, Path | FuncamError]]:
    """Draw the pictures that a store lacks, beside its shards: `pictures/00000/00000017-dog.jpg`.

    A picture is written whole or not at all, so that one that is there is not drawn again.

    Args:
        store: whose rows are drawn; those with an error have no picture.
        look: how they look.

    Yields:
        Each row that had none with its picture, or with why there is none.

    Raises:
        FuncamError: a picture can't be written.
    """
    make_folder(pictures_path(store.folder, 0).parent, links=False)
    for number in store.shards:
        folder = make_folder(pictures_path(store.folder, number), links=False)
        there = set(os.listdir(folder))
        rows = (row for row in store.rows(["error = null"], shards=[number]) if _file_name(row, look) not in there)

        def write(seen: Seen, folder: Path = folder) -> Path:
            return _saved(folder, seen.row, drawn(seen, look), look)

        yield from seen_again(store, rows, write)


def pictures_there(store: Store) -> int:
    """How many pictures lie beside the shards."""
    folders = (pictures_path(store.folder, number) for number in store.shards)
    return sum(not name.startswith(".") for folder in folders if folder.is_dir() for name in os.listdir(folder))


def seen_again(store: Store, rows: Iterable[Row], make: Callable[[Seen], T]) -> Iterator[tuple[Row, T | FuncamError]]:
    """What a function makes of each row and its image, read again.

    Args:
        store: where the rows come from.
        rows: which.
        make: called in a worker thread; what it raises ends it all.

    Yields:
        Each row with what was made of it, or with why it can't be seen: it has no map, or its image can't be read or
        is another one by now.
    """

    def made(read: tuple[Row, bytes | FuncamError]) -> T | FuncamError:
        row, data = read
        try:
            seen = _seen(store, row, data)
        except FuncamError as error:
            return error
        return make(seen)

    with Reader() as reader:
        for outcome in in_order(made, ((row, _read(store, row, reader)) for row in rows), worker_count()):
            yield outcome.item[0], outcome.get()


def drawn(seen: Seen, look: Look) -> Pixels:
    """A row's map over its image, uint8 RGB.

    Args:
        seen: the row and its image.
        look: how it looks.
    """
    assert seen.row.map is not None
    size = picture_size(seen.image.shape[:2], look.size)
    values = onto_image(seen.row.map, seen.view, size)
    return overlay(resize_picture(seen.image, size), values, look.colormap, look.alpha)


def _read(store: Store, row: Row, reader: Reader) -> bytes | FuncamError:
    """The bytes of a row's image, or why it has no picture."""
    try:
        if row.error is not None:
            raise FuncamError(about(row.path, row.error))
        if row.map is None:
            raise FuncamError(f"the store holds no maps (--maps {store.question['map_type']}), figures only")
        return reader.read(store.item(row.index))
    except FuncamError as error:
        return error


def _seen(store: Store, row: Row, data: bytes | FuncamError) -> Seen:
    if isinstance(data, FuncamError):
        raise data
    if content_hash(data) != row.content:
        raise FuncamError(
            f"{row.path!r} has changed since it was explained; the same funcam batch command explains it anew"
        )
    image = read_data(data, row.path).pixels
    told = store.question["input"]
    return Seen(row, image, fit_image(image, tuple(told["size"]), **_fit(told))[1])


def _saved(folder: Path, row: Row, picture: Pixels, look: Look) -> Path:
    path = folder / _file_name(row, look)
    save_picture(path, picture)
    return path


def _file_name(row: Row, look: Look) -> str:
    return f"{row.index:08d}-{_stem(row.path)}.{look.format}"


def _fit(told: dict[str, Any]) -> dict[str, Any]:
    return {"fit": told["fit"], "resize": told["resize"], "interpolation": told["interpolation"]}


def _small(picture: Pixels) -> Pixels:
    return resize_picture(picture, picture_size(picture.shape[:2], _ON_SHEET))


def _caption(row: Row, classes: Sequence[str]) -> str:
    name = "" if row.target is None else class_name(row.target, classes)
    share = "" if row.score is None else f" {100 * row.score:.0f} %" if 0 <= row.score <= 1 else f" {row.score:.3g}"
    return f"{row.index} {name}{share}"


def _stem(path: str) -> str:
    """What of an image's name a file may be called, whatever is in it."""
    return re.sub(r"[^\w.-]+", "_", PurePosixPath(path.replace("\\", "/")).stem)[:80].strip(".") or "image"
