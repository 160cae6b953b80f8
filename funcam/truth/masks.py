"""Masks that are rendered when they are asked for: polygons, run lengths, files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from funcam.errors import FuncamError
from funcam.files import parsing
from funcam.imaging.decoding import load_whole, opened, tiles
from funcam.truth.truth import Box, Mask

_FORMATS = ("PNG", "BMP", "GIF", "TIFF")

_MOST_DIGITS = 8
"""Characters of a run length: 40 bits, of which a million add up to less than 64."""

_BAND = 2**20
"""So many pixels, or crossings of edges, are looked at together."""


@dataclass(frozen=True, slots=True)
class Polygons:
    """The pixels whose centres lie in any of the polygons (even-odd rule).

    Attributes:
        rings: each a polygon, `(x0, y0, x1, y1, ...)` in pixels.
        size: the `(width, height)` of the image that they are in pixels of.

    Example:
        >>> Polygons(((0, 0, 2, 0, 2, 1, 0, 1),), (3, 2))(2, 3).astype(int)
        array([[1, 1, 0],
               [0, 0, 0]])
    """

    rings: tuple[tuple[float, ...], ...]
    size: tuple[int, int]

    def __call__(self, height: int, width: int) -> NDArray[np.bool_]:
        scale = np.array([width / self.size[0], height / self.size[1]])
        points = [np.array(ring, float).reshape(-1, 2) * scale for ring in self.rings]
        return _filled(_edges(points), height, width)


@dataclass(frozen=True, slots=True)
class RunLengths:
    """COCO's run lengths: how many pixels are off, on, off, ..., down the columns.

    Attributes:
        counts: the lengths, or COCO's text for them.
        size: the `(width, height)` of the mask.

    Example:
        >>> RunLengths((1, 2, 3), (3, 2))(2, 3).astype(int)
        array([[0, 1, 0],
               [1, 0, 0]])
    """

    counts: tuple[int, ...] | str
    size: tuple[int, int]

    def __call__(self, height: int, width: int) -> NDArray[np.bool_]:
        lengths = run_lengths(self.counts)
        values = np.arange(len(lengths)) % 2 == 1
        mask = np.repeat(values, lengths).reshape(self.size).T
        return resized(mask, height, width)

    def box(self) -> Box | None:
        """The box around the pixels that are on; None where none is.

        Example:
            >>> RunLengths((1, 2, 3), (3, 2)).box()
            (0.0, 0.0, 2.0, 2.0)
        """
        height, ends = self.size[1], run_lengths(self.counts).cumsum()
        first, last = ends[0::2][: len(ends) // 2], ends[1::2] - 1
        first, last = first[first <= last], last[first <= last]  # a run of no pixels is none
        if not first.size:
            return None
        whole = first // height != last // height  # it goes through the bottom of a column, and the top of the next
        top, bottom = np.where(whole, 0, first % height).min(), np.where(whole, height - 1, last % height).max()
        return float(first[0] // height), float(top), float(last[-1] // height + 1), float(bottom + 1)


@dataclass(frozen=True, slots=True)
class MaskFile:
    """A mask in a picture: what is not 0 (black; a palette's first colour) is the object.

    Attributes:
        path: the picture's file.

    Example:
        >>> MaskFile(Path("masks/dog.png"))(375, 500).sum()  # doctest: +SKIP
        np.int64(61433)
    """

    path: Path

    def __call__(self, height: int, width: int) -> NDArray[np.bool_]:
        return resized(file_pixels(self.path), height, width)


@dataclass(frozen=True, slots=True)
class Turned:
    """A mask of the picture as its file stores it, turned upright by the file's EXIF orientation.

    Attributes:
        mask: of the stored picture.
        orientation: EXIF's number, 5 to 8.

    Example:
        >>> stored = Polygons(((0, 0, 1, 0, 1, 1, 0, 1),), (2, 1))
        >>> Turned(stored, 6)(2, 1).astype(int)
        array([[1],
               [0]])
    """

    mask: Mask
    orientation: int

    def __call__(self, height: int, width: int) -> NDArray[np.bool_]:
        turned = self.mask(width, height).T
        rows, columns = self.orientation in (7, 8), self.orientation in (6, 7)
        return turned[:: -1 if rows else 1, :: -1 if columns else 1]


def run_lengths(counts: tuple[int, ...] | str) -> NDArray[np.int64]:
    """The run lengths as numbers: as they are, or out of COCO's text.

    In the text each number is a row of characters, 48 + 5 bits of it, the lowest first, + 32 where more follow; the
    last one's fifth bit is the sign; from the fourth number on it is the difference to the number two before.

    Raises:
        FuncamError: the text is cut off, has other characters or a number larger than any picture.

    Source: pycocotools, `rleFrString` in `maskApi.c`.

    Example:
        >>> run_lengths("01f02^O00000004N")
        array([ 0,  1, 22,  3,  4,  3,  4,  3,  4,  3,  4,  3,  8,  1])
    """
    if not isinstance(counts, str):
        return np.array(counts, np.int64)
    bits = np.frombuffer(counts.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.int64) - 48
    others = np.flatnonzero((bits < 0) | (bits > 63))
    if others.size:
        character = counts[others[0]]
        raise FuncamError(f"run lengths hold {character!r}, which is none of COCO's characters; encode them again")
    last = np.flatnonzero(bits < 32)
    if bits.size != (last[-1] + 1 if last.size else 0):
        raise FuncamError("run lengths are cut off in the middle of a number; encode them again")
    first = np.concatenate([[0], last[:-1] + 1])[: last.size]
    digits = last - first + 1
    if digits.max(initial=0) > _MOST_DIGITS:
        raise FuncamError("run lengths hold a number larger than any picture; encode them again")
    places = np.arange(bits.size) - np.repeat(first, digits)
    numbers: NDArray[np.int64] = np.add.reduceat((bits & 31) << (5 * places), first) if first.size else first
    numbers -= np.where(bits[last] & 16, 1 << (5 * digits), 0)
    for same in (slice(1, None, 2), slice(2, None, 2)):
        numbers[same] = numbers[same].cumsum()
    return numbers


def file_pixels(path: Path) -> NDArray[np.bool_]:
    """The pixels of a mask's file that are not 0, bool `[H, W]`; where there are colours, in any of them.

    Raises:
        FuncamError: the file can't be read.

    Example:
        >>> file_pixels(Path("masks/dog.png")).shape  # doctest: +SKIP
        (375, 500)
    """
    name = repr(str(path))
    with parsing(f"{name} can't be read as a mask", "save it as PNG again"), opened(path, _FORMATS) as image:
        picture = load_whole(image, path)
        mask = np.empty(picture.size[::-1], bool)
        for rows, columns, tile in tiles(picture):
            mask[rows, columns] = _not_zero(tile)
    return mask


def _not_zero(tile: Image.Image) -> NDArray[np.bool_]:
    if tile.mode in ("RGBA", "CMYK", "YCbCr"):
        tile = tile.convert("RGB")
    pixels: NDArray[np.bool_] = np.asarray(tile.convert("L") if tile.mode == "LA" else tile) != 0
    return np.asarray(pixels.any(axis=2), bool) if pixels.ndim == 3 else pixels


def mask_box(mask: NDArray[np.bool_]) -> Box | None:
    """The box around a mask's pixels; None where it has none.

    Example:
        >>> mask_box(np.array([[False, True, True], [False, False, False]]))
        (1.0, 0.0, 3.0, 1.0)
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def resized(mask: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """The mask at another size: each pixel is what lies at its centre.

    Example:
        >>> resized(np.array([[True, False]]), 1, 4)
        array([[ True,  True, False, False]])
    """
    rows = (np.arange(height) * 2 + 1) * mask.shape[0] // (2 * height)
    columns = (np.arange(width) * 2 + 1) * mask.shape[1] // (2 * width)
    picked: NDArray[np.bool_] = mask[rows[:, None], columns]
    return picked


class _Edges(NamedTuple):
    """The edges of polygons: the ring that each is of, and its ends, `(x, y)`."""

    ring: NDArray[np.int64]
    start: NDArray[np.float64]
    end: NDArray[np.float64]


def _edges(rings: Sequence[NDArray[np.float64]]) -> _Edges:
    numbers = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    ends = [np.roll(ring, -1, axis=0) for ring in rings]
    none = np.empty((0, 2))
    return _Edges(numbers, np.concatenate([none, *rings]), np.concatenate([none, *ends]))


def _filled(edges: _Edges, height: int, width: int) -> NDArray[np.bool_]:
    """The pixels whose centres lie in any ring: inside it changes wherever a row's centre line meets an edge.

    All edges are taken together, some rows at a time: a file may hold thousands of rings as large as the picture.
    """
    mask = np.empty((height, width), bool)
    ends = np.sort([edges.start[:, 1], edges.end[:, 1]], axis=0)
    first, last = np.clip(np.ceil(ends - 0.5), 0, height).astype(np.int64)
    down = max(1, _BAND // max(len(edges.ring), width))
    for top in range(0, height, down):
        band = mask[top : top + down]
        changes = np.zeros((band.shape[0], width + 1), np.int32)
        rows, columns = _crossings(edges, np.clip(first - top, 0, len(band)), np.clip(last - top, 0, len(band)), top)
        cells = rows * (width + 1) + np.clip(np.ceil(columns - 0.5), 0, width).astype(np.int64)
        np.add.at(changes.reshape(-1), cells[::2], 1)
        np.add.at(changes.reshape(-1), cells[1::2], -1)
        np.greater(changes.cumsum(axis=1, out=changes)[:, :-1], 0, out=band)
    return mask


def _crossings(
    edges: _Edges, first: NDArray[np.int64], last: NDArray[np.int64], top: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Where edges meet the centre lines of rows, ring by ring in each row, from left to right: two by two a span."""
    counts = last - first
    edge = np.repeat(np.arange(len(counts)), counts)
    rows = first[edge] + np.arange(len(edge)) - np.repeat(counts.cumsum() - counts, counts)
    (x0, y0), (x1, y1) = edges.start[edge].T, edges.end[edge].T
    columns = x0 + (rows + top + 0.5 - y0) * (x1 - x0) / (y1 - y0)
    order = np.lexsort((columns, edges.ring[edge], rows))
    return rows[order], columns[order]
