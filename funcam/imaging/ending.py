"""Whether the data of a PNG file end before its picture does; Pillow leaves the rest black and says nothing."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

_HEADER = struct.Struct(">IIBBBBB")
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
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
