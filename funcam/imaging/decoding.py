"""A decoded picture as uint8 RGB, upright: tile by tile, so that nothing but the result grows with the picture."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from funcam.errors import unwarned
from funcam.files import open_regular
from funcam.imaging import heif, webp
from funcam.imaging.bounds import MOST_BYTES, Header, refuse_large, refuse_strips
from funcam.imaging.ending import ends_early

# Pillow knows fifty formats, and some start other programs (EPS runs Ghostscript); only pictures are let in.
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000", "AVIF", "HEIF")

_TILE = 2**16
_TWELVE_BITS = 2**12
"""Pixels that are converted at once: as many as a processor's cache holds."""

# EXIF orientation -> (swap the axes, then flip the rows, then flip the columns).
_TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


@contextmanager
def opened(path: str | os.PathLike[str], formats: Sequence[str] = FORMATS) -> Iterator[Image.Image]:
    """A picture's file, its header read; Pillow's warnings about large files and odd metadata are not shown.

    Args:
        path: the file.
        formats: which of Pillow's it may have.

    Raises:
        FuncamError: it is no regular file, can't be opened, or has more before its pixels than any picture.
        Exception: whatever Pillow raises.
    """
    _know_formats()
    name = repr(os.fsdecode(path))
    with unwarned(), Header(open_regular(path, most=MOST_BYTES), name) as stream:
        if heif.begins(stream.peek(12)[:12]):
            heif.register()
        refuse_strips(stream, name)
        with Image.open(stream, formats=[name for name in formats if name in Image.OPEN]) as image:
            stream.whole()
            yield image


@cache
def _know_formats() -> None:
    """Have Pillow know those formats; `Image.init` would import forty more."""
    Image.preinit()
    from PIL import Jpeg2KImagePlugin, MpoImagePlugin, TiffImagePlugin, WebPImagePlugin  # noqa: F401

    with suppress(ImportError):  # an older Pillow has none
        from PIL import AvifImagePlugin  # noqa: F401


def load_whole(image: Image.Image, path: str | os.PathLike[str]) -> Image.Image:
    """The decoded picture; Pillow leaves black what a PNG file ends before.

    Args:
        image: its header was read.
        path: its file.

    Raises:
        FuncamError: it is larger than its decoder can be let in to, see `bounds`.
        OSError: the file's data end early.
        Exception: whatever Pillow raises.
    """
    refuse_large(image, path)
    if image.format == "WEBP" and (picture := webp.decoded(image, path)):
        return picture
    image.load()
    if image.format == "PNG":
        last = image.crop((0, max(image.height - 2, 0), *image.size)).getbbox(alpha_only=False)
        if image.info.get("interlace") or last is None or last[3] < min(image.height, 2):
            with open_regular(path) as stream:
                if ends_early(stream):
                    raise OSError("its data end before the picture does")
    return image


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation, 1..8; read after the pixels, because some formats keep it behind them."""
    try:
        value = image.getexif().get(0x0112, 1)
        return int(value) if value in _TURNS else 1
    except Exception:  # Damaged metadata is no reason to refuse whole pixels.
        return 1


def tiles(image: Image.Image) -> Iterator[tuple[slice, slice, Image.Image]]:
    """A decoded picture in pieces: the rows, the columns, and the picture of them."""
    across = min(image.width, _TILE)
    down = max(_TILE // across, 1)
    for top in range(0, image.height, down):
        for left in range(0, image.width, across):
            bottom, right = min(top + down, image.height), min(left + across, image.width)
            yield slice(top, bottom), slice(left, right), image.crop((left, top, right, bottom))


def upright_rgb(image: Image.Image, ends: tuple[float, float] | None) -> NDArray[np.uint8]:
    """A decoded picture as uint8 RGB `[H, W, 3]`, turned as its EXIF orientation says.

    Transparency is laid on white; of 16 bits a channel the upper 8 are kept.

    Args:
        image: the picture.
        ends: what becomes black and white, as `stretch_of` says.

    Example:
        >>> upright_rgb(Image.new("L", (3, 2), 7), None).shape
        (2, 3, 3)
    """
    swap, rows, columns = _TURNS[orientation_of(image)]
    shape = image.size if swap else image.size[::-1]
    pixels = np.empty((*shape, 3), np.uint8)
    stored = pixels[:: -1 if rows else 1, :: -1 if columns else 1]
    stored = stored.swapaxes(0, 1) if swap else stored
    white_is_zero = getattr(image, "tag_v2", {}).get(262) == 0
    for down, across, tile in tiles(image):
        if ends is not None:
            grey = _stretched(tile, *ends)[..., None]
            stored[down, across] = 255 - grey if white_is_zero and image.mode.startswith("I;16") else grey
        elif image.mode.startswith("I;16"):
            stored[down, across] = _high_byte(tile, image)[..., None]
        else:
            stored[down, across] = _colours(tile)
    return pixels


def _colours(tile: Image.Image) -> NDArray[np.uint8]:
    if not tile.has_transparency_data:
        return np.asarray(tile.convert("RGB"))
    layer = tile if tile.mode == "RGBA" else tile.convert("RGBA")
    paper = Image.new("RGB", tile.size, "white")
    paper.paste(layer, mask=layer.getchannel("A"))
    return np.asarray(paper)


def _high_byte(tile: Image.Image, image: Image.Image) -> NDArray[np.uint8]:
    """A 16-bit grey image in 8 bits. Pillow leaves two things in a TIFF file to us: 12 bits, and white as zero."""
    tags = getattr(image, "tag_v2", {})
    bits, white_is_zero = int(tags.get(258, (16,))[0]), tags.get(262) == 0
    values = (np.asarray(tile) >> (bits - 8)).astype(np.uint8)
    return 255 - values if white_is_zero else values


def stretch_of(image: Image.Image) -> tuple[float, float] | None:
    """What becomes black and white of values that aren't bytes; None for those that are taken as they are.

    Whole numbers and floats: bytes, 16 bits and 0..1 by their range, else the extremes. Grey values of 16 bits: the
    extremes where they use 12 bits or fewer, as cameras and microscopes write them. What is not finite, as where a
    sensor saw nothing, is no extreme, and becomes black.

    Raises:
        ValueError: no value is finite.

    Example:
        >>> stretch_of(Image.fromarray(np.array([[7, 4095]], np.uint16)))
        (7.0, 4095.0)
    """
    sixteen = image.mode.startswith("I;16")
    if not (sixteen or image.mode in ("I", "F")):
        return None
    if sixteen and int(getattr(image, "tag_v2", {}).get(258, (16,))[0]) < 16:
        return None
    ends = [(values.min(), values.max()) for values in (_finite(tile) for _, _, tile in tiles(image)) if values.size]
    if not ends:
        raise ValueError("all its values are NaN or infinite")
    low, high = float(min(low for low, _ in ends)), float(max(high for _, high in ends))
    if sixteen:
        return (low, high) if 0 < high < _TWELVE_BITS else None
    whole = 255.0 if high <= 255 else 65535.0
    full = whole if image.mode == "I" else 1.0
    return (0.0, full) if low >= 0 and high <= full else (low, high)


def _stretched(tile: Image.Image, low: float, high: float) -> NDArray[np.uint8]:
    values = np.asarray(tile).astype(np.float64)
    values[~np.isfinite(values)] = low
    values -= low
    values *= 255 / (high - low or 1.0)
    return np.rint(values, out=values).astype(np.uint8)


def _finite(tile: Image.Image) -> NDArray[Any]:
    values = np.asarray(tile)
    return values if tile.mode.startswith("I") else values[np.isfinite(values)]
