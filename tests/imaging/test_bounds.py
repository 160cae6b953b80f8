"""Files that claim what no picture has: refused before it is read; those just within the bounds are read."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from funcam.comparison.contents import Contents
from funcam.comparison.dataset import Example
from funcam.errors import FuncamError
from funcam.imaging import bounds
from funcam.imaging.reading import find_images, read_image
from funcam.resuming.content import file_letters

GIGABYTE = 900_000_000


def chunk(kind: bytes, data: bytes, length: int | None = None) -> bytes:
    head = struct.pack(">L", len(data) if length is None else length) + kind + data
    return head + struct.pack(">L", zlib.crc32(kind + data))


HEADER = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">LLBBBBB", 8, 8, 8, 0, 0, 0, 0))
PIXELS = chunk(b"IDAT", zlib.compress(bytes(72)))
END = chunk(b"IEND", b"")


def tiff(*tags: tuple[int, int, int, int], rest: bytes = b"") -> bytes:
    entries = b"".join(struct.pack("<HHLL", *tag) for tag in sorted(tags))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4) + rest


GREY = ((258, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1))
EIGHT = (*GREY, (256, 4, 1, 8), (257, 4, 1, 8), (278, 4, 1, 8), (273, 4, 1, 8))


def saved(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    stream = io.BytesIO()
    (image or Image.new("RGB", (64, 64), (9, 80, 200))).save(stream, kind, **options)
    return stream.getvalue()


JPEG = saved("JPEG")
COMMENT = b"GIF89a\x08\0\x08\0\x80\0\0\0\0\0\xff\xff\xff!\xfe"

# The beginning of a file, how many bytes of nothing follow, and what is told.
CLAIMS: dict[str, tuple[bytes, int, str]] = {
    "text before a PNG's pixels": (HEADER + struct.pack(">L", GIGABYTE) + b"tEXta\0", GIGABYTE, "32 MiB before"),
    "text behind a PNG's pixels": (HEADER + PIXELS + struct.pack(">L", GIGABYTE) + b"tEXt", GIGABYTE, "32 MiB beside"),
    "small chunks before a PNG's pixels": (HEADER + chunk(b"abCd", b"") * 300_000 + PIXELS, 0, "32 MiB before"),
    "small chunks behind a PNG's pixels": (HEADER + PIXELS + chunk(b"abCd", b"") * 300_000, 0, "32 MiB beside"),
    "pieces of a PNG's pixels": (HEADER + chunk(b"IDAT", b"") * 300_000 + PIXELS, 0, "32 MiB beside"),
    "text in a TIFF": (tiff(*EIGHT, (270, 1, GIGABYTE, 500)), GIGABYTE, "32 MiB before"),
    "strips": (tiff(*GREY, (256, 4, 1, 1), (257, 4, 1, 9**7), (273, 1, 9**7, 500), (278, 4, 1, 1)), 9**7, "131,072"),
    "tiles": (tiff(*GREY, (256, 4, 1, 1), (257, 4, 1, 9**7), (322, 4, 1, 1), (323, 4, 1, 1), (324, 1, 9**7, 500)), 9**7,
        "131,072 strips or tiles"),
    "a tile of a TIFF": (tiff(*GREY, (256, 4, 1, 64), (257, 4, 1, 64), (259, 3, 1, 8), (322, 4, 1, 16384),
        (323, 4, 1, 16384), (324, 4, 1, 500), (325, 4, 1, 500)), 999, "more pixels than is safe"),
    "a WebP": (b"RIFF" + struct.pack("<I", 2**32 - 16) + b"WEBPVP8L", GIGABYTE, "64 MiB before"),
    "an AVIF": (struct.pack(">I", 28) + b"ftypavif\0\0\0\0avifmif1miaf", GIGABYTE, "64 MiB before"),
    "a BMP's header": (b"BM" + bytes(12) + struct.pack("<L", GIGABYTE), GIGABYTE, "32 MiB before"),
    "a JPEG 2000's header": (b"\0\0\0\x0cjP  \r\n\x87\n" + struct.pack(">I", GIGABYTE) + b"jp2h", GIGABYTE, "4 MiB b"),
    "segments of a JPEG": (JPEG[:2] + b"\xff\xe5\0\2" * 300_000 + JPEG[2:], 0, "32 MiB before"),
    "filling in a JPEG": (JPEG[:2] + b"\xff" * 300_000 + JPEG[2:], 0, "32 MiB before"),
    "a GIF's comment": (COMMENT + (b"\xff" + bytes(255)) * 9_000, 0, "4 MiB before"),
    "a PGM's comment": (b"P5\n#" + b" " * 300_000 + b"\n8 8 255\n" + bytes(64), 0, "32 MiB before"),
    "any file": (HEADER + PIXELS + END, 60 * 2**30, "larger than 1 GiB"),
}  # fmt: skip


@pytest.mark.parametrize("name", CLAIMS)
def test_what_no_picture_has(name: str, tmp_path: Path) -> None:
    beginning, nothing, told = CLAIMS[name]
    with open(tmp_path / "x", "wb") as stream:
        stream.write(beginning)
        stream.truncate(len(beginning) + nothing)
    with pytest.raises(FuncamError, match=told) as caught:
        read_image(tmp_path / "x")
    assert str(tmp_path / "x") in str(caught.value)


def with_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan comes again until there are so many."""
    data = saved("JPEG", progressive=True)
    starts = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    return data[:-2] + data[starts[-1] : -2] * (count - len(starts)) + b"\xff\xd9"


def test_scans_up_to_the_bound(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(with_scans(bounds.SCANS))
    assert read_image(path).shape == (64, 64, 3)
    path.write_bytes(with_scans(bounds.SCANS + 1))
    with pytest.raises(FuncamError, match=r"x.jpg' has more than 32 scans"):
        read_image(path)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (JPEG, 1),
        (JPEG + with_scans(12)[2:], 1),  # a video or another picture behind the first
        (JPEG[:2] + b"\xff\xe1\0\x06\xff\xda\0\0" + JPEG[2:], 1),
        (with_scans(12), 12),
        (with_scans(12)[:-2] + b"\xff\xff\xfe\0\2\xff\xd0\xff\0" + b"\xff\xd9" + b"\xff\xda" * 9, 12),
        (with_scans(12)[:-2] + b"\xff\xfe\0\2" * 2**15, 33),
        (b"\xff\xd8", 0),
    ],
)
def test_scans_are_those_of_the_first_picture(data: bytes, expected: int) -> None:
    assert bounds.scans(io.BytesIO(data)) == expected


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 64])
def test_scans_however_the_file_is_cut_into_pieces(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "_PIECE", piece)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
    data = saved("JPEG", noise, progressive=True, quality=95)
    assert bounds.scans(io.BytesIO(data)) == data.count(b"\xff\xda") == 10


def test_a_jpeg_of_several_scans_that_is_not_progressive_is_one_too(tmp_path: Path) -> None:
    """The frame says three components, the first scan holds one."""
    frame = b"\xff\xc0\0\x11\x08\0\x08\0\x08\x03\x01\x11\0\x02\x11\0\x03\x11\0"
    scan = b"\xff\xda\0\x08\x01\x01\0\0\x3f\0\0"
    assert bounds.scans(io.BytesIO(b"\xff\xd8" + frame + scan * 3 + b"\xff\xd9")) == 3


def bmp_rle() -> bytes:
    pixels, start = b"\x08\x05\0\0" * 8 + b"\0\1", 14 + 40 + 1024
    header = struct.pack("<LllHHLLllLL", 40, 8, 8, 1, 8, 1, len(pixels), 0, 0, 256, 0)
    return b"BM" + struct.pack("<LHHL", start + len(pixels), 0, 0, start) + header + bytes(1024) + pixels


KINDS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "jpeg": ("jpeg", lambda: JPEG),
    "tiff": ("libtiff", lambda: saved("TIFF", compression="tiff_lzw")),
    "webp": ("WEBP", lambda: saved("WEBP")),
    "jpeg 2000": ("jpeg2k", lambda: saved("JPEG2000")),
    "run lengths in a bmp": ("bmp_rle", bmp_rle),
    "ppm of 16 bits": ("ppm", lambda: b"P6 8 8 1000\n" + bytes(8 * 8 * 6)),
    "ppm of digits": ("ppm_plain", lambda: b"P3 8 8 255\n" + b"7 " * 192),
}


@pytest.mark.parametrize("name", KINDS)
def test_each_decoder_has_its_bounds(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, data = KINDS[name]
    path = tmp_path / "x"
    path.write_bytes(data())
    assert read_image(path).shape[2] == 3
    monkeypatch.setitem(bounds.MOST, decoder, bounds.Most(60))
    with pytest.raises(FuncamError, match="more pixels than is safe"):
        read_image(path)
    monkeypatch.setitem(bounds.MOST, decoder, bounds.Most(9999, 100))
    with pytest.raises(FuncamError, match=r"too large for its kind|before its pixels"):
        read_image(path)


def test_the_content_of_a_file_that_is_too_large_is_nothing_and_stops_nobody(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    with open(path, "wb") as stream:
        stream.truncate(60 * 2**30)
    with pytest.raises(FuncamError, match="larger than 1 GiB"):
        file_letters(path)
    assert Contents([Example("x", lambda: read_image(path), source=path)]).of("x") is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.parametrize("argument", ["{}", "{}/*", "{}/**"])
def test_pipes_and_broken_links_are_found_and_told_by_who_reads_them(argument: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.jpg").symlink_to("nowhere")
    (tmp_path / "c.png").symlink_to("c.png")
    (tmp_path / "d.png").mkdir()
    Image.new("RGB", (4, 3)).save(tmp_path / "e.png")
    found = find_images([argument.format(tmp_path)])
    assert [path.name for path in found.paths] == ["a.png", "b.jpg", "c.png", "e.png"]
    for path, told in zip(found.paths[:3], ["not a regular file", "mend the link", "can't be read"], strict=True):
        with pytest.raises(FuncamError, match=told):
            read_image(path)


@pytest.mark.skipif(not os.path.exists("/proc/kmsg"), reason="no such file here")
def test_a_file_that_waits_for_what_to_give_is_empty() -> None:
    with pytest.raises(FuncamError, match=r"kmsg' (is empty|may not be read)"):
        read_image("/proc/kmsg")
