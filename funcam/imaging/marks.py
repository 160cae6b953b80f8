"""By what a picture of funcam's is known from one of somebody else's: a comment in its file. No torch."""

from __future__ import annotations

import os
import zlib
from contextlib import suppress
from pathlib import Path

MARK = b"made by funcam"
_BEGINNING, _END = 256, 256  # bytes in which the comment is


def marked(data: bytes) -> bytes:
    """The bytes of a JPEG, PNG or WebP file with the comment; of another kind as they are."""
    if data.startswith(b"\xff\xd8"):
        return data[:2] + b"\xff\xfe" + (len(MARK) + 2).to_bytes(2, "big") + MARK + data[2:]
    if data.startswith(b"\x89PNG"):
        chunk = b"tEXtSoftware\0" + MARK
        whole = (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
        return data[:33] + whole + data[33:]  # behind the header
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        data += b"FCAM" + len(MARK).to_bytes(4, "little") + MARK + b"\0" * (len(MARK) % 2)
        return data[:4] + (len(data) - 8).to_bytes(4, "little") + data[8:]
    return data


def is_others(path: Path) -> bool:
    """Whether a file is there that funcam did not make: a link or a pipe holds nothing that could be lost.

    Example:
        >>> is_others(Path("no-such-folder/dog.jpg"))
        False
    """
    if os.path.islink(path) or not os.path.isfile(path):  # a Path's own raise where the name is too long
        return False
    with suppress(OSError), path.open("rb") as stream:
        beginning = stream.read(_BEGINNING)
        stream.seek(-min(_END, stream.seek(0, os.SEEK_END)), os.SEEK_END)
        return MARK not in beginning + stream.read()
    return True
