"""`-` among images: file names on standard input, one a line or with null characters between, or one image's bytes."""

from __future__ import annotations

import codecs
import os
import re
import sys
from collections.abc import Sequence

from funcam.cli.messages import UsageError

STDIN = "-"
NAME, STEM = "standard input", "stdin"
_MOST = 2**30
# No name holds such characters; an image's file does in its first bytes, but for Netpbm's that are written as text.
_BINARY = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f]|\AP[1-6]\s+(#|\d+\s+\d+\s)")
_BEGINNING = 4096


def from_standard_input(images: Sequence[str]) -> tuple[list[str], bytes | None]:
    """The images with what `-` stands for in its place, and the bytes of an image if it was one.

    Args:
        images: as they were given.

    Raises:
        UsageError: there is nothing on standard input, or too much.
    """
    if STDIN not in images:
        return list(images), None
    if images.count(STDIN) > 1:
        raise UsageError("- was given more than once, and standard input can be read once; give it once")
    data = sys.stdin.buffer.read(_MOST + 1)
    if len(data) > _MOST:
        raise UsageError("-: standard input holds more than a gigabyte; save it to files first")
    place = images.index(STDIN)
    if _BINARY.search(data[:_BEGINNING]):
        return [*images[:place], *images[place + 1 :]], data
    names = [os.fsdecode(name) for name in _names(data) if name.strip()]
    if not names:
        raise UsageError("-: standard input gave no file names and no image; pipe some into it, or name files")
    return [*images[:place], *names, *images[place + 1 :]], None


def _names(data: bytes) -> list[bytes]:
    """The names in a list: a name that stands before a null character may hold line feeds."""
    data = data.removeprefix(codecs.BOM_UTF8)  # lists of Windows begin so
    return data.split(b"\0") if b"\0" in data else [name.rstrip(b"\r") for name in data.split(b"\n")]


def behind(data: bytes | None) -> list[str]:
    """A line on what stands behind an image on standard input, which nobody looks at.

    Args:
        data: the bytes, if there is an image.
    """
    from funcam.imaging.ending import surplus

    count = surplus(data or b"")
    if not count:
        return []
    return [f"-: {count:,} bytes behind the image are left out; give one image, or the names of several"]
