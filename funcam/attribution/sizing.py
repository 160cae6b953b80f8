"""How large a panel of an explanation becomes, reckoned from its first row, before a thousand are drawn."""

from __future__ import annotations

from funcam.errors import FuncamError
from funcam.imaging.bounds import PLAIN
from funcam.imaging.panel import PanelRow, panel, within_tile
from funcam.imaging.reading import Pixels
from funcam.imaging.render import LONGEST

_SMALLEST_TILE = 32


def small_row(picture: Pixels | None, row: PanelRow, tile: int) -> PanelRow:
    """A row with its pictures as large as they stand in the panel.

    Args:
        picture: the image in front of the row; None for none.
        row: its pictures may be of any size.
        tile: the side of each picture in the panel.
    """
    first = next(iter(row.pictures.values())) if picture is None else picture
    size = (first.shape[0], first.shape[1])
    return PanelRow(
        row.name, {title: within_tile(each, size, tile) for title, each in row.pictures.items()}, row.probability
    )


def refuse_large(
    picture: Pixels | None, row: PanelRow, extent: tuple[int, int], tile: int, suffix: str = ".png"
) -> None:
    """Do nothing unless a panel of so many images and classes holds more pixels than funcam reads, or its format has.

    Args:
        picture: the image in front of the first row; None for none.
        row: the first row.
        extent: how many images there are, and classes of each.
        tile: the side of each picture.
        suffix: of the format.

    Raises:
        FuncamError: how large it would be, how large it may be, and which smaller tile is small enough.
    """
    height, width = _size(picture, row, extent, tile)
    said = _too_large(height, width, suffix)
    if not said:
        return
    smaller = tile // 2
    while smaller >= _SMALLEST_TILE and _too_large(*_size(picture, row, extent, smaller), suffix):
        smaller //= 2
    ways = [f"give tile={smaller}"] if smaller >= _SMALLEST_TILE else []
    ways += ["write a .png"] if suffix != ".png" and not _too_large(height, width, ".png") else []
    ways += ["explain fewer classes", "draw one map with .heatmap(index=..., target=...)"]
    raise FuncamError(
        f"a panel of {extent[0] * extent[1]:,} rows has {width:,} x {height:,} pixels, and {said}; "
        f"{', '.join(ways[:-1])}, or {ways[-1]}"
    )


def _size(picture: Pixels | None, row: PanelRow, extent: tuple[int, int], tile: int) -> tuple[int, int]:
    """(height, width) of a panel but for its first line; all rows are alike."""
    one, two = (panel(picture, [row] * count, tile=tile).shape for count in (1, 2))
    images, classes = extent
    return images * (one[0] + (classes - 1) * (two[0] - one[0])), one[1]


def _too_large(height: int, width: int, suffix: str) -> str:
    """In which way a picture is too large; nothing where it isn't."""
    longest = LONGEST.get(suffix)
    if longest is not None and max(height, width) > longest:
        return f"{suffix} holds at most {longest:,} a side"
    return f"{PLAIN.pixels:,} are read and drawn at the most" if height * width > PLAIN.pixels else ""
