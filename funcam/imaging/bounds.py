"""What a picture's file may claim: so many bytes, pixels, scans and tags, found before anything is decoded.

Pillow believes a header: it reads whole chunks of text, makes an object for each tile, decodes each scan. Its decoders
of WebP, AVIF, JPEG 2000 and of whole TIFF strips hold a picture several times, those written in Python take a
microsecond a pixel. The bounds hold any file within a gigabyte and some seconds; figures in `docs/safety.md`.
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from io import BufferedReader
from typing import BinaryIO, NamedTuple

from PIL import Image

from funcam.errors import FuncamError
from funcam.files import MIB, open_regular
from funcam.imaging import webp
from funcam.imaging.ending import bytes_beside
from funcam.imaging.memory import ALLOWED, BYTES_A_PIXEL, OF_PHONES, beside

MOST_BYTES = 1024 * MIB
"""Of any file: a multi-page TIFF, of which only the first page is read."""


MOST_PIXELS = 178_956_970
"""Of anything that tells a picture's size: Pillow's limit against decompression bombs."""


class Most(NamedTuple):
    """What a file may have, by the decoder that it needs.

    Attributes:
        pixels: of the picture, or of a tile in it.
        size: in bytes.
    """

    pixels: int
    size: int = MOST_BYTES


PLAIN = Most(110_000_000)
"""A phone's 108 megapixels, in seven or eight bytes each."""

SCANS = 32
SEVERAL_SCANS = Most(2**26, 128 * MIB)
"""Of a JPEG file: its coefficients lie in the memory as long as scans add to them."""

MOST: dict[str, Most] = {
    "jpeg": Most(PLAIN.pixels, 256 * MIB),
    "libtiff": Most(2**26),
    "WEBP": Most(2**25, 64 * MIB),
    "AVIF": Most(2**25, 64 * MIB),
    "HEIF": Most(2**25, 64 * MIB),
    "jpeg2k": Most(2**24, 32 * MIB),
    "bmp_rle": Most(2**22, 2 * MIB),
    "ppm": Most(2**20, 8 * MIB),
    "ppm_plain": Most(2**16, MIB // 8),
}
"""By the name of Pillow's decoder, or of the format where it tells none; else `PLAIN`."""

_HEADER = 32 * MIB
_HEADERS = {b"GIF8": 4 * MIB, b"\0\0\0\x0c": 4 * MIB}
"""What is read of a file before its pixels, by its beginning; of WebP, AVIF and HEIF, which are read at once, all."""
_READ = 512
"""Bytes that a read counts for at least: a header of a million small parts takes as long as a large one."""

_STRIPS = 2**17
"""Of a TIFF file: each strip and tile is an object."""
_PLACES = (273, 324)

_PIECE = 2**16
_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd9-\xfe])")
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = 0xC2
_END, _SCAN = 0xD9, 0xDA
_MARKERS = 2**14


class Header(BufferedReader):
    """A picture's file, of which no more is read than a header has until `whole` is called.

    Example:
        >>> with Header(open_regular("photo.png"), "'photo.png'") as stream:  # doctest: +SKIP
        ...     stream.read(4)
        b'\\x89PNG'
    """

    def __init__(self, file: BufferedReader, name: str) -> None:
        super().__init__(file.detach())
        beginning = self.peek(12)[:12]
        at_once = beginning[:4] == b"RIFF" or beginning[4:8] == b"ftyp"
        self._most = MOST["WEBP"].size if at_once else _HEADERS.get(beginning[:4], _HEADER)
        self._left: float = self._most
        self._name = name

    def whole(self) -> None:
        """Let all of it be read."""
        self._left = math.inf

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any file; one that has nothing to give yet, as some in `/proc`, has no more."""
        wanted = os.fstat(self.fileno()).st_size if size is None or size < 0 else size
        self._left -= max(wanted, _READ)
        if self._left < 0:
            told = f"{self._name} has more than {self._most // MIB} MiB before its pixels"
            raise FuncamError(f"{told}; make it smaller or save it without metadata")
        return super().read(size) or b""


def refuse_strips(stream: BinaryIO, name: str) -> None:
    """Do nothing unless it is a TIFF file that says that it has hundreds of thousands of strips or tiles.

    Args:
        stream: the file, at its beginning; it is there again afterwards.
        name: what messages call it.

    Raises:
        FuncamError: it says so.

    Example:
        >>> with open("scan.tif", "rb") as stream:  # doctest: +SKIP
        ...     refuse_strips(stream, "'scan.tif'")
    """
    head = stream.read(16)
    if head[:2] in (b"II", b"MM"):
        with suppress(struct.error, OSError, OverflowError, ValueError):  # Pillow will say that it is damaged
            counts = [count for tag, count in _tags(stream, head) if tag in _PLACES]
        if max(counts, default=0) > _STRIPS:
            raise FuncamError(f"{name} has more than {_STRIPS:,} strips or tiles; save it again in fewer")
    stream.seek(0)


def refuse_large(image: Image.Image, path: str | os.PathLike[str]) -> None:
    """Do nothing if what a picture's decoder needs is within bounds.

    Args:
        image: its header was read.
        path: its file.

    Raises:
        FuncamError: it has too many pixels, bytes, or scans, too much beside the picture, or its decoder would take
            more beside it than `memory` says.

    Example:
        >>> refuse_large(Image.new("RGB", (9, 9)), "photo.png")
    """
    name, size, count = repr(os.fsdecode(path)), os.path.getsize(path) if os.path.exists(path) else 0, 1
    parts = getattr(image, "tile", [])
    decoder = parts[0].codec_name if parts else ""
    most = MOST.get(image.format or "", MOST.get(decoder, PLAIN))
    if decoder == "jpeg":
        with open_regular(path) as stream:
            count = scans(stream)
        if count > SCANS:
            raise FuncamError(f"{name} has more than {SCANS} scans; save it again")
        most = SEVERAL_SCANS if count > 1 else most
    if _pixels(image) > most.pixels:
        told = f"{name} holds more pixels than is safe to unpack (more than {most.pixels:,} of its kind)"
        raise FuncamError(f"{told}; make it smaller first")
    if size > most.size:
        raise FuncamError(
            f"{name} is larger than {most.size // 1024:,} KiB, too large for its kind; make it smaller first"
        )
    moves = image.format == "WEBP" and webp.moves(path)
    taken = beside(image, size, scans=count, moves=moves)
    allowed = OF_PHONES.get(image.format or "", ALLOWED)
    if taken > max(BYTES_A_PIXEL * image.width * image.height, allowed):
        told = f"its decoder may take {taken / MIB:,.0f} MiB beside the picture, more than {allowed // MIB}"
        raise FuncamError(f"{name} holds more pixels than is safe to unpack ({told}); save it as PNG or smaller first")
    if image.format == "PNG":
        with open_regular(path) as stream:
            if bytes_beside(stream, _HEADER) > _HEADER:
                raise FuncamError(
                    f"{name} has more than {_HEADER // MIB} MiB beside its pixels; save it without metadata"
                )


def scans(stream: BinaryIO) -> int:
    """How many scans a JPEG file's picture is in, counted to a few more than are read; 1 where the first has all of it.

    Args:
        stream: the file.

    Example:
        >>> with open("photo.jpg", "rb") as stream:  # doctest: +SKIP
        ...     scans(stream)
        1
    """
    stream.seek(2)
    count = components = frame = 0
    for _ in range(_MARKERS):
        marker = _next_marker(stream)
        if marker is None or marker == _END or count > SCANS:
            return count
        length = int.from_bytes(stream.read(2))
        segment = stream.read(max(length - 2, 0))
        if marker in _FRAMES:
            frame, components = marker, segment[5] if len(segment) > 5 else 0
        elif marker == _SCAN:
            count += 1
            if frame != _PROGRESSIVE and segment[:1] == bytes([components]):
                return 1
    return SCANS + 1


def _next_marker(stream: BinaryIO) -> int | None:
    kept = b""
    while piece := stream.read(_PIECE):
        if match := _MARKER.search(kept + piece):
            stream.seek(match.end() - len(kept) - len(piece), os.SEEK_CUR)
            return match[1][0]
        kept = piece[-1:]
    return None


def _tags(stream: BinaryIO, head: bytes) -> Iterator[tuple[int, int]]:
    """The tags of a TIFF file's first directory, and how many values each has."""
    order, big = "<" if head[:2] == b"II" else ">", 43 in head[2:4]
    (start,) = struct.unpack_from(order + ("Q" if big else "I"), head, 8 if big else 4)
    stream.seek(start)
    number, entry = struct.Struct(order + ("Q" if big else "H")), struct.Struct(order + ("HxxQ8x" if big else "HxxI4x"))
    (entries,) = number.unpack(stream.read(number.size))
    for _ in range(min(entries, _STRIPS)):
        yield entry.unpack(stream.read(entry.size))


def _pixels(image: Image.Image) -> int:
    """Of the picture, or of a TIFF file's tile, which may be larger."""
    sides = [getattr(image, "tag_v2", {}).get(tag) for tag in (322, 323)]
    across, down = (side if isinstance(side, int) else 0 for side in sides)
    return max(image.width * image.height, across * down)
