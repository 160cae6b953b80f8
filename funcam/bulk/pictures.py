"""Pictures of a store, drawn when somebody wants to see them: the image is read again, the map is there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from funcam.errors import FuncamError, about
from funcam.files import make_folder
from funcam.imaging.fit import fit_image, onto_image
from funcam.imaging.panel import contact_sheet
from funcam.imaging.reading import Pixels, read_data
from funcam.imaging.render import overlay, picture_size, resize_picture, save_picture
from funcam.sources import Reader
from funcam.store import Row, Store, content_hash
from funcam.zoo.labels import class_name

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
    with Reader() as reader:
        for row in rows:
            try:
                picture = drawn(store, row, reader, look)
            except FuncamError as error:
                yield row, error
                continue
            path = folder / f"{row.index:08d}-{_stem(row.path)}.{look.format}"
            save_picture(path, picture)
            tiles.append((_caption(row, store.question["classes"]), _small(picture)))
            yield row, path
    if tiles:
        save_picture(folder / SHEET, contact_sheet(tiles, tile=_ON_SHEET))


def drawn(store: Store, row: Row, reader: Reader, look: Look) -> Pixels:
    """A row's map over its image, uint8 RGB.

    Args:
        store: where the row comes from.
        row: which.
        reader: reads the image.
        look: how it looks.

    Raises:
        FuncamError: the row has no map, or its image can't be read or is another one by now.
    """
    if row.error is not None:
        raise FuncamError(about(row.path, row.error))
    if row.map is None:
        raise FuncamError(f"the store holds no maps (--maps {store.question['map_type']}), figures only")
    data = reader.read(store.item(row.index))
    if content_hash(data) != row.content:
        raise FuncamError(f"{row.path!r} has changed since it was explained; explain it again in another store")
    image = read_data(data, row.path).pixels
    size = picture_size(image.shape[:2], look.size)
    view = fit_image(image, tuple(store.question["input"]["size"]), **_fit(store.question["input"]))[1]
    values = onto_image(row.map, view, size)
    return overlay(resize_picture(image, size), values, look.colormap, look.alpha)


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
