"""A report's pictures as bytes: small photos, tiny maps, and where the page finds them."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import quote

import cv2
import numpy as np
from numpy.typing import NDArray

from funcam.files import make_folder, write_atomically
from funcam.imaging.fit import View, onto_image
from funcam.imaging.reading import Pixels, read_image
from funcam.imaging.render import picture_size, resize_picture

LONGEST = 320
"""The longer side of a report's pictures, in pixels."""

_PER_IMAGE = 64  # cells of a map's longer side on a picture that the network saw a part of


class Shelf(Protocol):
    """Where pictures are put: it takes a picture's bytes and gives the address at which the page finds it.

    Attributes:
        longest_map: the longest side of a map; larger ones are shrunk.
    """

    longest_map: int

    def put(self, name: str, data: bytes) -> str:
        """The address of a JPEG."""
        ...


class Inline:
    """Everything in the page itself."""

    longest_map = LONGEST

    def put(self, name: str, data: bytes) -> str:
        """A data URI."""
        return data_uri("jpeg", data)


class Beside:
    """Files in a folder beside the page, which the page loads as they are needed."""

    longest_map = 96  # The maps stay in the page, and hundreds of maps as large as images would be too much of it.

    def __init__(self, folder: Path) -> None:
        self.folder = make_folder(folder, links=False)

    def put(self, name: str, data: bytes) -> str:
        """The path of the written file, relative to the page."""
        write_atomically(self.folder / name, data, links=False)
        return quote(f"{self.folder.name}/{name}", errors="surrogateescape")


def data_uri(kind: str, data: bytes) -> str:
    """Bytes of a picture as an address that holds them.

    Example:
        >>> data_uri("png", b"abc")
        'data:image/png;base64,YWJj'
    """
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def small_picture(picture: Pixels | Path, longest: int = LONGEST) -> Pixels:
    """A picture, read if it is a path, no larger than `longest` a side.

    Raises:
        FuncamError: the file can't be read, or it is no picture.

    Example:
        >>> small_picture(np.zeros((600, 800, 3), np.uint8)).shape
        (240, 320, 3)
    """
    pixels = read_image(picture) if isinstance(picture, Path) else picture
    if max(pixels.shape[:2]) <= longest:
        return pixels
    return resize_picture(pixels, picture_size((pixels.shape[0], pixels.shape[1]), longest))


def on_picture(values: NDArray[np.float32], view: View) -> NDArray[np.float32]:
    """A map that covers the whole picture: where the network saw a part of it, the rest is 0.

    Args:
        values: the map, of what the network saw.
        view: which part of the picture that is.
    """
    height, width = view.image_size
    if view.box == (0, 0, width, height):
        return values
    scale = _PER_IMAGE / max(height, width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    placed: NDArray[np.float32] = np.nan_to_num(onto_image(values, view, size))
    return placed


def jpeg(picture: Pixels, quality: int = 84) -> bytes:
    """A picture, uint8 RGB [H, W, 3], as JPEG."""
    return _encoded(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])


def grey_png(values: NDArray[Any], longest: int) -> bytes:
    """A map with values in 0..1 as a PNG of 8 bits, a pixel a cell, no more than `longest` cells a side.

    Example:
        >>> grey_png(np.zeros((7, 7), np.float32), 96)[:4]
        b'\\x89PNG'
    """
    cells = np.asarray(values, dtype=np.float32)
    if max(cells.shape) > longest:
        height, width = picture_size((cells.shape[0], cells.shape[1]), longest)
        cells = cast(NDArray[np.float32], cv2.resize(cells, (width, height), interpolation=cv2.INTER_AREA))
    levels = np.rint(np.clip(np.nan_to_num(cells), 0, 1) * 255).astype(np.uint8)
    return _encoded(".png", levels, [cv2.IMWRITE_PNG_COMPRESSION, 9])


def _encoded(suffix: str, pixels: NDArray[Any], settings: list[int]) -> bytes:
    return bytes(cv2.imencode(suffix, pixels, settings)[1].tobytes())
