"""Where the data of a picture end: before it does, and Pillow leaves the rest black and says nothing; or behind it."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

_HEADER = struct.Struct(">IIBBBBB")
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""Of a JPEG, but for those that stand within its data."""
_PIECE = 2**16
_CHUNK = 128

# Adam7's passes: the first column and row, and the steps from one to the next.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def ends_early(stream: BinaryIO) -> bool:
    """Whether the compressed data of a PNG file are fewer than its header needs.

    Args:
        stream: the file.

    Example:
        >>> with open("photo.png", "rb") as stream:  # doctest: +SKIP
        ...     ends_early(stream)
        False
    """
    needed, decoder, begun = 1, zlib.decompressobj(), False
    for kind, length in _chunks(stream):
        if kind == b"IHDR":
            needed = _bytes_needed(stream.read(length))
        elif kind == b"IDAT":
            begun = True
            needed -= _decoded(stream, length, decoder, needed)
            if needed <= 0:
                return False
        elif begun:
            break
    return True


def bytes_beside(stream: BinaryIO, most: int) -> int:
    """How many bytes of a PNG file are not its picture's, counted to a little more than `most`.

    Args:
        stream: the file.
        most: how far to count; each chunk counts for as much as it takes to read it.

    Example:
        >>> with open("photo.png", "rb") as stream:  # doctest: +SKIP
        ...     bytes_beside(stream, 2**20)
        316
    """
    count = 0
    for kind, length in _chunks(stream):
        count += _CHUNK + (0 if kind == b"IDAT" else length)
        if kind == b"IEND" or count > most:
            break
    return count


def surplus(data: bytes) -> int:
    """How many bytes stand behind the picture of a PNG, JPEG or WebP file, as where two were written into one.

    Args:
        data: the file's bytes.

    Example:
        >>> surplus(b"RIFF" + (4).to_bytes(4, "little") + b"WEBP" + b"more")
        4
    """
    if data.startswith(b"\x89PNG"):
        end = _png_end(data)
    elif data.startswith(b"\xff\xd8"):
        end = _jpeg_end(data)
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        size = int.from_bytes(data[4:8], "little")
        end = 8 + size + size % 2
    else:
        return 0
    return max(0, len(data) - end)


def _png_end(data: bytes) -> int:
    start = 8
    for kind, length in _chunks(io.BytesIO(data)):
        start += length + 12
        if kind == b"IEND":
            return start
    return len(data)


def _jpeg_end(data: bytes) -> int:
    """Behind the marker of the end; what looks like one in a comment or a thumbnail is passed by."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        if data[place + 1] == 0xD9:
            return place + 2
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        if not (found := _MARKER.search(data, place)):
            break
        place = found.start()
    return place + 2 if data[place : place + 2] == b"\xff\xd9" else len(data)


def _chunks(stream: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """The kind and length of each chunk; whatever of it is read meanwhile, the next one is found behind it."""
    start = 8
    stream.seek(start)
    while len(head := stream.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        yield kind, length
        start += length + 12
        stream.seek(start)


def _bytes_needed(header: bytes) -> int:
    width, height, depth, kind, _, _, interlaced = _HEADER.unpack(header)
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    sides = [(-(-(width - x) // across), -(-(height - y) // down)) for x, y, across, down in passes]
    bits = depth * _CHANNELS[kind]
    return sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sides if columns > 0 and rows > 0)


def _decoded(stream: BinaryIO, length: int, decoder: zlib._Decompress, most: int) -> int:
    """How many bytes a chunk gives, counted to `most`."""
    count = 0
    while length > 0 and count < most and (piece := stream.read(min(length, _PIECE))):
        length -= len(piece)
        while piece and count < most and not decoder.eof:
            count += len(decoder.decompress(piece, _PIECE))
            piece = decoder.unconsumed_tail
    return count
