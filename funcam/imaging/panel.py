"""One picture of everything: the image and its maps side by side, a row for each explained class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw

from funcam.errors import FuncamError, shown, whole_number
from funcam.imaging.reading import Pixels, check_image
from funcam.imaging.render import resize_picture
from funcam.imaging.text import lettered, shorten, wrap

Colour: TypeAlias = tuple[int, int, int]

_PAPER: Colour = (255, 255, 255)
_INK: Colour = (24, 24, 27)
_SOFT: Colour = (113, 113, 122)
_RULE: Colour = (228, 228, 231)
_TRAY: Colour = (244, 244, 245)

TILE = 256
"""The side in pixels of a square picture in a panel, if nobody says."""

_MOST_COLUMNS = 8
_LARGEST_TILE = 2048
_WIDEST = 10  # square tiles: where a panel of wide images ends, so that it is not shrunk beyond reading.
_LEADING = 1.35  # a line of text is so many times as high as its letters' size
_STEEPEST = 3.0  # A longer image lies in a tray of this aspect: tiles as long as it would leave no room to read.


@dataclass(frozen=True)
class PanelRow:
    """The pictures of one explained class.

    Attributes:
        name: the class's name.
        pictures: by title, each uint8 RGB [H, W, 3] of any size; every row of a panel has the same titles.
        probability: of the class, 0..1, or None.

    Example:
        >>> PanelRow("tabby cat", {"Grad-CAM": np.zeros((4, 4, 3), np.uint8)}, probability=0.25).name
        'tabby cat'
    """

    name: str
    pictures: Mapping[str, Pixels]
    probability: float | None = None


def panel(
    image: Pixels | None, rows: Sequence[PanelRow], *, title: str = "", subtitle: str = "", tile: int = TILE
) -> Pixels:
    """The image and the pictures of each class side by side, on white, with their names.

    Each row begins with the image, where there is one. More than eight columns, fewer of wide images, are broken into
    lines of about equal length. Text that finds no room is wrapped or loses a part to an ellipsis.

    Args:
        image: uint8 RGB [H, W, 3]; None for rows that need none.
        rows: one for each class.
        title: the panel's first line, the file's name say.
        subtitle: its second line, the network and the layer say.
        tile: the side in pixels of a square picture; others get about the same area. Text grows with it.

    Returns:
        uint8 RGB, about `columns * tile` wide.

    Raises:
        FuncamError: no rows, rows with different titles, a tile below 32 pixels, or something that is no image.

    Example:
        >>> photo = np.zeros((64, 64, 3), np.uint8)
        >>> panel(photo, [PanelRow("tabby cat", {"Grad-CAM": photo}, 0.25)], title="cat.jpg").shape
        (456, 572, 3)
    """
    _check(image, rows, tile)
    scale = _Scale(tile)
    shared = {} if image is None else {"Image": image}
    height, width, _ = next(iter({**shared, **rows[0].pictures}.values())).shape
    box = _tile_size((height, width), tile)
    count = len(shared) + len(rows[0].pictures)
    columns = math.ceil(count / math.ceil(count / min(_MOST_COLUMNS, _WIDEST * tile // box[1])))
    width = columns * box[1] + (columns - 1) * scale.px(12)
    parts = [_head(title, subtitle, width, scale)] if title or subtitle else []
    for row in rows:
        tiles = [*shared.items(), *row.pictures.items()]
        parts += [_name(row, width, scale), *_lines(tiles, columns, box, scale)]
    return _framed(parts, scale.px(24))


def contact_sheet(named: Sequence[tuple[str, Pixels]], *, columns: int = 6, tile: int = 192) -> Pixels:
    """Many pictures on one sheet, each below its name.

    Args:
        named: names, and pictures uint8 RGB [H, W, 3] of any size.
        columns: pictures in a line.
        tile: the side in pixels of the square that a picture is put into.

    Raises:
        FuncamError: there is no picture, or one is none.

    Example:
        >>> contact_sheet([("a", np.zeros((40, 60, 3), np.uint8)), ("b", np.zeros((9, 9, 3), np.uint8))]).shape
        (259, 429, 3)
    """
    if not named:
        raise FuncamError("a contact sheet has at least one picture; got none")
    for _, picture in named:
        check_image(picture)
    scale = _Scale(tile)
    lines = _lines(named, min(columns, len(named)), (tile, tile), scale)
    return _framed(lines, scale.px(24))


@dataclass(frozen=True)
class _Scale:
    """Lengths that grow with the tiles."""

    tile: int

    def px(self, length: float) -> int:
        """Pixels for a length that is given for tiles of 256 pixels."""
        return max(1, round(length * self.tile / 256))

    def text(self, size: float) -> int:
        """A font's size; small tiles keep letters that can be read."""
        return max(11, self.px(size))


def _check_tile(tile: int) -> None:
    whole_number("a panel's tile", tile)
    if tile < 32:
        raise FuncamError(f"a panel's tile has at least 32 pixels; got {tile!r}")
    if tile > _LARGEST_TILE:
        raise FuncamError(f"a panel's tile has at most {_LARGEST_TILE:,} pixels; got {tile!r}")


def _check(image: Pixels | None, rows: Sequence[PanelRow], tile: int) -> None:
    _check_tile(tile)
    if not isinstance(rows, Sequence) or not all(isinstance(row, PanelRow) for row in rows):
        raise FuncamError(f"a panel's rows are a list of PanelRow; got {shown(rows)}")
    if not rows or not rows[0].pictures:
        raise FuncamError("a panel has at least one row with at least one picture; got none")
    titles = list(rows[0].pictures)
    for row in rows:
        if list(row.pictures) != titles:
            raise FuncamError(f"every row of a panel has the same titles, {titles}; got {list(row.pictures)}")
    if image is not None:
        check_image(image)
    for row in rows:
        for picture in row.pictures.values():
            check_image(picture)


def size_in_panel(image_size: tuple[int, int], tile: int = TILE) -> tuple[int, int]:
    """(height, width) at which pictures of an image stand in a panel: drawn so, they aren't resized for it.

    Args:
        image_size: (height, width) of the image.
        tile: as in `panel`.

    Example:
        >>> size_in_panel((480, 640))
        (222, 296)
    """
    return _within(image_size, _tile_size(image_size, tile))


def within_tile(picture: Pixels, image_size: tuple[int, int], tile: int = TILE) -> Pixels:
    """A picture as large as it stands in a panel of an image's pictures.

    Args:
        picture: uint8 RGB [H, W, 3].
        image_size: (height, width) of the image.
        tile: as in `panel`.

    Raises:
        FuncamError: as `panel`, of a tile.

    Example:
        >>> within_tile(np.zeros((960, 1280, 3), np.uint8), (480, 640)).shape
        (222, 296, 3)
    """
    _check_tile(tile)
    size = _within((picture.shape[0], picture.shape[1]), _tile_size(image_size, tile))
    return resize_picture(picture, size)


def _within(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """(height, width) as large as it fits into a box."""
    scale = min(box[0] / size[0], box[1] / size[1])
    # At least 6 pixels: a sliver of 1 x 8000 is to be seen.
    height, width = (min(side, max(6, round(length * scale))) for side, length in zip(box, size, strict=True))
    return height, width


def _tile_size(image_size: tuple[int, int], tile: int) -> tuple[int, int]:
    """(height, width): the image's aspect within bounds, and the area of a square tile."""
    aspect = float(np.clip(image_size[1] / image_size[0], 1 / _STEEPEST, _STEEPEST))
    return round(tile / math.sqrt(aspect)), round(tile * math.sqrt(aspect))


def _head(title: str, subtitle: str, width: int, scale: _Scale) -> Pixels:
    lines = [_text(title, width, scale.text(30), _INK, keep_end=True)] if title else []
    if subtitle:
        lines.append(_text(subtitle, width, scale.text(20), _SOFT, keep_end=True))
    rule = _blank(scale.px(1), width, _RULE)
    return np.vstack([*lines, _blank(scale.px(14), width), rule, _blank(scale.px(4), width)])


def _name(row: PanelRow, width: int, scale: _Scale) -> Pixels:
    """The class's name and its probability, which always finds room."""
    size = scale.text(26)
    above, below = _blank(scale.px(14), width), _blank(scale.px(2), width)
    if row.probability is None:
        return np.vstack([above, _text(row.name, width, size, _INK), below])
    share = f"{100 * row.probability:.1f} %"
    room = math.ceil(lettered(share, size)[1].getlength(share)) + scale.px(12)
    name, font = lettered(row.name, size)
    taken = min(math.ceil(font.getlength(name)) + scale.px(12), max(width - room, 1))
    line = np.hstack([_text(name, taken, size, _INK), _text(share, width - taken, size, _SOFT)])
    return np.vstack([above, line, below])


def _lines(named: Sequence[tuple[str, Pixels]], columns: int, box: tuple[int, int], scale: _Scale) -> list[Pixels]:
    """The tiles under their titles, `columns` in a line."""
    width = columns * box[1] + (columns - 1) * scale.px(12)
    return [_line(named[start : start + columns], width, box, scale) for start in range(0, len(named), columns)]


def _line(named: Sequence[tuple[str, Pixels]], width: int, box: tuple[int, int], scale: _Scale) -> Pixels:
    """Tiles side by side on a sheet so wide, all titles as high as the highest."""
    size = scale.text(20)
    wrapped = [_wrapped(title, box[1], size) for title, _ in named]
    letters = round(_LEADING * size)
    below = letters * max(map(len, wrapped))
    top = below + scale.px(3)
    sheet = _blank(top + box[0] + scale.px(12), width)
    for column, ((_, picture), words) in enumerate(zip(named, wrapped, strict=True)):
        cell = sheet[:, column * (box[1] + scale.px(12)) :][:, : box[1]]
        for up, line in enumerate(reversed(words)):
            cell[below - (up + 1) * letters : below - up * letters] = _text(line, box[1], size, _SOFT)
        cell[top : top + box[0]] = _tile(picture, box)
    return sheet


def _tile(picture: Pixels, box: tuple[int, int]) -> Pixels:
    """A picture as large as it fits into (height, width), in the middle of a tray."""
    height, width = _within((picture.shape[0], picture.shape[1]), box)
    resized = resize_picture(picture, (height, width))
    if (height, width) == box:
        return resized
    tile = _blank(*box, _TRAY)
    top, left = (box[0] - height) // 2, (box[1] - width) // 2
    tile[top : top + height, left : left + width] = resized
    return tile


def _wrapped(title: str, width: int, size: int) -> list[str]:
    line, font = lettered(title, size)
    return wrap(line, width, font)


@lru_cache(maxsize=64)  # most of it is the same in every panel of a folder
def _text(text: str, width: int, size: int, colour: Colour, keep_end: bool = False) -> Pixels:
    """One line of text on white, [`_LEADING` sizes, width, 3], all on the same baseline whatever the font."""
    line, font = lettered(text, size)
    sheet = Image.new("RGB", (width, round(_LEADING * size)), "white")
    ImageDraw.Draw(sheet).text((0, size), shorten(line, width, font, keep_end), fill=colour, font=font, anchor="ls")
    written = np.array(sheet)
    written.setflags(write=False)
    return written


def _blank(height: int, width: int, colour: Colour = _PAPER) -> Pixels:
    if colour == _PAPER:
        return np.full((height, width, 3), 255, np.uint8)  # one number fills faster than three
    return np.full((height, width, 3), colour, np.uint8)


def _framed(parts: Sequence[Pixels], margin: int) -> Pixels:
    """Parts of one width, one below the other on a sheet with margins."""
    sheet = _blank(sum(map(len, parts)) + 2 * margin, parts[0].shape[1] + 2 * margin)
    top = margin
    for part in parts:
        sheet[top : top + len(part), margin:-margin] = part
        top += len(part)
    return sheet
