"""By what names images are known, and those of formats that can't be read. No torch."""

from __future__ import annotations

import os
from collections.abc import Iterable

from funcam.imaging import heif

# fmt: off
SUFFIXES: tuple[str, ...] = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm", ".pbm", ".pnm",
    ".jp2", ".avif",
)
# fmt: on
"""The suffixes, in lower case, by which an image is known in a folder and among a glob's matches; HEIC's come to them
where it can be read.
"""

_OF_CAMERAS = (".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf", ".psd", ".svg", ".jxl")
"""Those of images that can't be read: they are counted, so that nobody misses them later."""

_NAMED = 3
"""So many of what is left out are named."""


def is_image_name(name: str) -> bool:
    """Whether a file's name ends as an image's does.

    Example:
        >>> is_image_name("photos/dog.JPG"), is_image_name("photos/dog.txt")
        (True, False)
    """
    suffix = _suffix(name)
    return suffix in SUFFIXES or (suffix in heif.SUFFIXES and heif.is_installed())


def is_unreadable_name(name: str) -> bool:
    """Whether a file's name ends as that of an image of a format that can't be read here.

    Example:
        >>> is_unreadable_name("photos/dog.CR2"), is_unreadable_name("photos/dog.txt")
        (True, False)
    """
    return _suffix(name) in (*_OF_CAMERAS, *heif.SUFFIXES) and not is_image_name(name)


def left_out(names: Iterable[str]) -> str:
    """Which files are images of formats that can't be read, in words; "" where none is.

    Example:
        >>> left_out(["a.png", "b.psd"])
        "1 image is left out, of formats that can't be read ('b.psd'); convert to JPEG or PNG what is to be done"
    """
    left = [name for name in names if is_unreadable_name(name)]
    if not left:
        return ""
    named = ", ".join(map(repr, left[:_NAMED])) + (", ..." if len(left) > _NAMED else "")
    several = f"{len(left):,} images are" if len(left) > 1 else "1 image is"
    return f"{several} left out, of formats that can't be read ({named}); convert to JPEG or PNG what is to be done"


def heic_offer(told: Iterable[str]) -> list[str]:
    """A line on what reads HEIC, where some is told of and nothing here reads it.

    Args:
        told: names of files, or lines with such.
    """
    wanted = any(suffix in line.lower() for line in told for suffix in heif.SUFFIXES)
    return [f"HEIC: {heif.OFFER}"] if wanted and not heif.is_installed() else []


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()
