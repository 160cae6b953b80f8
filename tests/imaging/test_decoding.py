"""Pictures in pieces: the same pixels as in one, little memory beside the result; PNG files whose data end early."""

from __future__ import annotations

import re
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from picture_memory import taken
from PIL import Image

from funcam.errors import FuncamError
from funcam.imaging import bounds, decoding
from funcam.imaging.reading import read_image
from funcam.truth.masks import file_pixels

SIDE = 2500
SIDEWAYS = b"Exif\0\0II*\0" + struct.pack("<IHHHIII", 8, 1, 0x0112, 3, 1, 6, 0)


def png(width: int, height: int, rows: bytes, *, colours: int = 0, interlaced: bool = False) -> bytes:
    """A PNG file of 8 bits, byte by byte."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, colours, 0, 0, interlaced)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def white(width: int, height: int) -> bytes:
    return (b"\0" + b"\xff" * width) * height


@pytest.mark.parametrize("read", [read_image, file_pixels])
@pytest.mark.parametrize("rows", [b"", white(10, 1), white(10, 9), white(10, 9) + b"\0\xff\xff", white(10, 10)[:-1]])
def test_a_png_whose_data_end_early_is_refused(read: Callable[[Path], object], rows: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(png(10, 10, rows))
    with pytest.raises(FuncamError, match=r"x.png.*(data end before|truncated)"):
        read(path)


@pytest.mark.parametrize("rows", [white(10, 10), (b"\0" * 11) * 10, white(10, 8) + b"\0" * 22, white(10, 12)])
def test_a_png_that_is_whole_is_read_however_black_it_ends(rows: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(png(10, 10, rows))
    expected = np.frombuffer(rows[:110], np.uint8).reshape(10, 11)[:, 1:]
    np.testing.assert_array_equal(read_image(path), np.repeat(expected[..., None], 3, 2))


@pytest.mark.parametrize("width", [1, 2, 5, 9, 16])
@pytest.mark.parametrize("height", [1, 2, 3, 8, 9])
def test_interlaced_png_files(width: int, height: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    starts = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    passes = [pixels[y::down, x::across] for x, y, across, down in starts]
    rows = b"".join(b"\0" + row.tobytes() for part in passes if part.size for row in part)
    path = tmp_path / "x.png"
    path.write_bytes(png(width, height, rows, colours=2, interlaced=True))
    np.testing.assert_array_equal(read_image(path), pixels)
    path.write_bytes(png(width, height, rows[:-1], colours=2, interlaced=True))
    with pytest.raises(FuncamError, match=r"data end before|truncated"):
        read_image(path)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pieces_make_what_the_whole_makes(
    mode: str, orientation: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(1).integers(0, 256, (31, 47, 4), np.uint8)
    grey = Image.fromarray(values[..., 0])
    image = Image.fromarray(values.astype(np.int32)[..., 0] * 300) if mode in ("I", "I;16", "F") else grey
    image = Image.fromarray(values).convert(mode) if mode in ("RGB", "RGBA", "CMYK") else image.convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "x.tif"
    image.save(path, exif=exif)
    whole = read_image(path)
    monkeypatch.setattr(decoding, "_TILE", 13)
    np.testing.assert_array_equal(read_image(path), whole)
    assert whole.flags.c_contiguous
    assert whole.shape == ((31, 47, 3) if orientation < 5 else (47, 31, 3))


def _int32() -> Image.Image:
    return Image.fromarray(np.arange(SIDE * SIDE, dtype=np.int32).reshape(SIDE, SIDE))


CASES: dict[str, tuple[Callable[[], Image.Image], dict[str, object], int]] = {
    "i.tif": (_int32, {}, 4),
    "f.tif": (lambda: Image.fromarray(np.full((SIDE, SIDE), 3.5, np.float32)), {}, 4),
    "p.png": (lambda: Image.new("P", (SIDE, SIDE), 3), {"transparency": 3}, 1),
    "rgba.png": (lambda: Image.new("RGBA", (SIDE, SIDE), (1, 2, 3, 4)), {}, 4),
    "i16.png": (lambda: Image.new("I;16", (SIDE, SIDE), 300), {}, 2),
    "turned.jpg": (
        lambda: Image.new("RGB", (SIDE, SIDE), "red"),
        {"exif": SIDEWAYS},
        4,
    ),
    "cmyk.jpg": (lambda: Image.new("CMYK", (SIDE, SIDE), (1, 2, 3, 4)), {}, 4),
}


@pytest.mark.long
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is watched through /proc")
@pytest.mark.parametrize("name", CASES)
def test_at_most_four_bytes_a_pixel_above_the_decoded_picture(name: str, tmp_path: Path) -> None:
    make, options, decoded = CASES[name]
    make().save(tmp_path / name, **options)
    # The half: what Pillow and the allocator need beside a picture of this size.
    assert taken(tmp_path / name) / SIDE**2 < decoded + 4 + 0.5


def test_pillow_s_limit_holds_where_another_library_lifted_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    (tmp_path / "x.png").write_bytes(png(20_000, 20_000, b""))
    with pytest.raises(FuncamError, match=re.escape("holds more pixels than is safe")):
        read_image(tmp_path / "x.png")


def test_formats_whose_decoders_hold_a_picture_several_times_have_a_lower_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.webp"
    Image.new("RGB", (40, 30)).save(path)
    assert read_image(path).shape == (30, 40, 3)
    monkeypatch.setitem(bounds.MOST, "WEBP", bounds.Most(1000))
    with pytest.raises(FuncamError, match=re.escape("holds more pixels than is safe")):
        read_image(path)
