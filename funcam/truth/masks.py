"""Masks that are rendered when they are asked for: polygons, run lengths, files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from funcam.errors import FuncamError
from funcam.files import parsing
from funcam.imaging.decoding import load_whole, opened, tiles
from funcam.truth.truth import Box, Mask

_FORMATS = ("PNG", "BMP", "GIF", "TIFF")


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
        mask = np.zeros((height, width), bool)
        for ring in self.rings:
            mask |= _filled(np.array(ring, float).reshape(-1, 2) * scale, height, width)
        return mask


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
        FuncamError: the text is cut off or has other characters.

    Source: pycocotools, `rleFrString` in `maskApi.c`.

    Example:
        >>> run_lengths("01f02^O00000004N")
        array([ 0,  1, 22,  3,  4,  3,  4,  3,  4,  3,  4,  3,  8,  1])
    """
    if not isinstance(counts, str):
        return np.array(counts, np.int64)
    numbers: list[int] = []
    value = shift = 0
    for character in counts:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 55:
            raise FuncamError(f"run lengths hold {character!r}, which is none of COCO's characters; encode them again")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= 1 << shift if bits & 16 else 0
            numbers.append(value + (numbers[-2] if len(numbers) > 2 else 0))
            value = shift = 0
    if shift:
        raise FuncamError("run lengths are cut off in the middle of a number; encode them again")
    return np.array(numbers, np.int64)


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
        load_whole(image, path)
        mask = np.empty(image.size[::-1], bool)
        for rows, columns, tile in tiles(image):
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


def _filled(points: NDArray[np.float64], height: int, width: int) -> NDArray[np.bool_]:
    """The pixels whose centres lie in one polygon: inside changes wherever a row's centre line meets an edge."""
    changes = np.zeros((height, width + 1), np.uint8)  # whether it is odd is all that counts, and 256 is even
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        low, high = sorted((y0, y1))
        rows = np.arange(*np.clip(np.ceil((low - 0.5, high - 0.5)), 0, height), dtype=np.int64)
        if rows.size:
            crossings = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
            changes[rows, np.clip(np.ceil(crossings - 0.5), 0, width).astype(np.int64)] += 1
    inside: NDArray[np.bool_] = changes.cumsum(axis=1, dtype=np.uint8)[:, :-1] % 2 == 1
    return inside
