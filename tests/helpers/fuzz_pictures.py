"""Pictures that are fuzzed: changed inside, or swollen: with large sides, and parts that come a million times."""

from __future__ import annotations

import io
import random
import struct
import zlib
from typing import Any, NamedTuple

import fuzz_mutations as change
import numpy as np
from fuzz_mutations import Mutation
from PIL import Image

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "JPEG": ("RGB", {}),
    "JPEG progressive": ("RGB", {"progressive": True}),
    "PNG": ("RGB", {}),
    "PNG palette": ("P", {"transparency": 3}),
    "PNG 16": ("I;16", {}),
    "GIF": ("P", {}),
    "BMP": ("RGB", {}),
    "TIFF": ("I", {}),
    "TIFF lzw": ("RGB", {"compression": "tiff_lzw"}),
    "TIFF float": ("F", {}),
    "WEBP": ("RGBA", {"lossless": True}),
    "PPM": ("RGB", {}),
    "JPEG2000": ("RGB", {}),
}


class Swelling(NamedTuple):
    """Where a picture swells.

    Attributes:
        places: where parts may come a thousand to a million times, from the beginning or the end.
        parts: what may come there.
        sides: where the width and height are, and how they are written.
    """

    places: tuple[int, ...]
    parts: tuple[bytes, ...]
    sides: tuple[int, str] | None = None


def pictures() -> list[tuple[bytes, tuple[Mutation, ...]]]:
    """Each picture, with the ways to make it worse."""
    return [*map(_saved, FORMATS), *_by_hand()]


def _saved(form: str) -> tuple[bytes, tuple[Mutation, ...]]:
    (mode, options), stream, kind = FORMATS[form], io.BytesIO(), form.partition(" ")[0]
    Image.fromarray(PIXELS).convert("I" if mode == "I;16" else mode).convert(mode).save(stream, kind, **options)
    start = {"JPEG": 20, "GIF": 13, "BMP": 18, "TIFF": 8, "WEBP": 16, "PPM": 3, "JPEG2000": 40}.get(kind, 8)
    data = stream.getvalue()
    inside = change.keeping(start)
    swelling = _swelling(kind, data)
    ways = (inside, inside, change.keeping(len(data) // 3), *([swollen(swelling)] if swelling else []))
    return data, tuple(_mended(way) for way in ways) if kind == "PNG" else ways


def _swelling(kind: str, data: bytes) -> Swelling | None:
    match kind:
        case "PNG":
            return Swelling(
                (33, -12), (_chunk(b"tEXt", b"a\0b"), _chunk(b"abCd", b""), _chunk(b"IDAT", b"")), (16, ">II")
            )
        case "JPEG":
            frame = next(data.index(mark) for mark in (b"\xff\xc0", b"\xff\xc2") if mark in data)
            scan = data[data.rindex(b"\xff\xda") : -2]
            return Swelling(
                (2, -2), (b"\xff\xe5\0\2", b"\xff", b"\xff\xfe\x0f\xff" + bytes(4093), scan), (frame + 5, ">HH")
            )
        case "GIF":
            comment = b"\xff" + b"a" * 255
            return Swelling((data.index(b",", 13 + 768),), (b"!\xfe" + comment * 9999 + b"\0",), (6, "<HH"))
        case "BMP":
            return Swelling((-1,), (b"\0",), (18, "<ii"))
    return None


def _by_hand() -> list[tuple[bytes, tuple[Mutation, ...]]]:
    """What Pillow reads and doesn't write: run lengths in BMP files, PPM files of 16 bits and of digits."""
    runs = b"\x08\x05\0\0" * 8 + b"\0\1"
    header = struct.pack("<LllHHLLllLL", 40, 8, 8, 1, 8, 1, len(runs), 0, 0, 256, 0)
    bmp = b"BM" + struct.pack("<LHHL", 1078 + len(runs), 0, 0, 1078) + header + bytes(1024) + runs
    steps = (b"\1\5", b"\0\0", b"\1\5\0\0", b"\xff\7", b"\0\2\1\1", b"\0\4abcd")
    sixteen, digits = b"P6 00008 00008 1000\n" + bytes(384), b"P3 00008 00008 255\n" + b"7 " * 192
    inside = change.change_bytes
    return [
        (bmp, (inside, change.keeping(1078), swollen(Swelling((1078,), steps, (18, "<ii"))))),
        (sixteen, (inside, change.keeping(15), swollen(Swelling((3, -1), (b"#\n", bytes(999)), (3, "digits"))))),
        (digits, (inside, change.keeping(15), swollen(Swelling((3, -1), (b"#\n", b"7 ", b"123 "), (3, "digits"))))),
    ]


def swollen(swelling: Swelling) -> Mutation:
    """The way to make a picture worse by what it claims and how often; one in five, else bytes are changed."""

    def swell(rng: random.Random, data: bytes) -> bytes:
        if rng.random() < 0.8:
            return change.keeping(20)(rng, data)
        if swelling.sides and rng.random() < 0.7:
            data = _enlarged(rng, data, *swelling.sides)
        return change.stuffed(rng, data, rng.choice(swelling.places), rng.choice(swelling.parts))

    return swell


def _enlarged(rng: random.Random, data: bytes, at: int, form: str) -> bytes:
    width, height = (rng.choice([1, 40, 1000, 8000, 13_000, 65_000]) for _ in range(2))
    if form == "digits":
        return data[:at] + b"%05d %05d" % (width, height) + data[at + 11 :]
    return data[:at] + struct.pack(form, width, height) + data[at + struct.calcsize(form) :]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _mended(mutation: Mutation) -> Mutation:
    return lambda rng, data: _with_checksums(mutation(rng, data))


def _with_checksums(data: bytes) -> bytes:
    """A PNG file whose chunks have the right checksums again, as far as there are chunks."""
    out, at = bytearray(data), 8
    while at + 12 <= len(out):
        end = at + 8 + int.from_bytes(out[at : at + 4], "big")
        if end + 4 > len(out):
            break
        out[end : end + 4] = zlib.crc32(out[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(out)
