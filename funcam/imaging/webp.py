"""WebP through OpenCV, which holds a still picture twice; Pillow, made for those that move, holds it four times."""

from __future__ import annotations

import os

import numpy as np
from PIL import Image

from funcam.files import open_regular

_MOVES = 2
"""Of the flags in the chunk `VP8X`, with which each file begins that is more than a picture."""


def moves(path: str | os.PathLike[str]) -> bool:
    """Whether a WebP file says that it is an animation, be it of one frame.

    Args:
        path: the file.

    Example:
        >>> moves("dog.webp")  # doctest: +SKIP
        False
    """
    with open_regular(path) as stream:
        head = stream.read(21)
    return head[12:16] == b"VP8X" and head[20:] > b"" and bool(head[20] & _MOVES)


def decoded(image: Image.Image, path: str | os.PathLike[str]) -> Image.Image | None:
    """The picture in a WebP file, with its EXIF data, as Pillow has it; None of an animation.

    Args:
        image: its header was read.
        path: its file.

    Raises:
        OSError: the file is damaged, or its data end early.

    Example:
        >>> with Image.open("dog.webp") as image:  # doctest: +SKIP
        ...     decoded(image, "dog.webp").mode
        'RGB'
    """
    import cv2  # Only for this: it takes a tenth of a second.

    if moves(path):
        return None
    with open_regular(path) as stream:
        data = np.frombuffer(stream.read(), np.uint8)
    # Pillow takes transparency where the header says so, whatever the data hold; the orientation is ours to honour.
    kind = cv2.IMREAD_UNCHANGED if image.mode == "RGBA" else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(data, kind)
    del data
    if pixels is None or pixels.shape[:2] != image.size[::-1]:
        raise OSError("its data end early or are damaged")
    mode = "RGBA" if pixels.shape[2] == 4 else "RGB"
    picture = Image.frombytes(mode, image.size, pixels.data, "raw", "BGRA" if mode == "RGBA" else "BGR")
    picture.info = image.info
    return picture
