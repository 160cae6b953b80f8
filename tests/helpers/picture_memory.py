"""What reading a picture takes: the peak of resident memory in a fresh process, in bytes a pixel, for each decoder.

python tests/helpers/picture_memory.py --side 1500 3000     # the figures in docs/safety.md
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

_PROGRAM = """
import re, sys
from pathlib import Path
from PIL import Image
from funcam.imaging.reading import read_image
held = lambda what: 1024 * int(re.search(what + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
for small in (sys.argv[1] + ".small.png", sys.argv[1] + ".small.webp"):  # what is imported is not the picture's
    Image.new("RGB", (9, 9)).save(small)
    read_image(small)
before = held("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
assert read_image(sys.argv[1]).size
print(held("VmHWM") - before)
"""


def taken(path: Path) -> int:
    """The most bytes that a fresh process held while it read a picture, less what it held before."""
    command = [sys.executable, "-c", _PROGRAM, str(path)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _noise(side: int, mode: str) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (side, side, len(mode)), np.uint8)
    return Image.frombytes(mode, (side, side), values.tobytes())


def _flat(side: int, mode: str) -> Image.Image:
    return Image.new(mode, (side, side), (9, 80, 200, 7)[: len(mode)])


def _by_pillow(make: Callable[[int, str], Image.Image], mode: str, kind: str, side: int, **options: object) -> bytes:
    stream = io.BytesIO()
    make(side, mode).save(stream, kind, **options)
    return stream.getvalue()


def _strip(make: Callable[[int, str], Image.Image], mode: str, compression: str, side: int) -> bytes:
    return _by_pillow(make, mode, "TIFF", side, compression=compression, tiffinfo={278: side})


def _deep(suffix: str, bits: int, channels: int, options: tuple[int, ...], side: int) -> bytes:
    values = np.random.default_rng(0).integers(0, 2**bits, (side, side, channels), np.uint16)
    return bytes(cv2.imencode(suffix, values, options)[1])


def _jpeg_2000_that_claims_24_bits(side: int) -> bytes:
    data = bytearray(_deep(".jp2", 16, 3, (), side))
    size = data.index(b"\xff\x51") + 40
    for place in (size, size + 3, size + 6, data.index(b"ihdr") + 14):
        data[place] = 23
    return bytes(data)


CASES: dict[str, Callable[[int], bytes]] = {
    "PNG, RGBA, noise": lambda side: _by_pillow(_noise, "RGBA", "PNG", side, compress_level=1),
    "PNG of 16 bits, RGBA, noise": partial(_deep, ".png", 16, 4, (cv2.IMWRITE_PNG_COMPRESSION, 1)),
    "JPEG, CMYK, noise": lambda side: _by_pillow(_noise, "CMYK", "JPEG", side, quality=95),
    "JPEG, progressive, colours at half the size": lambda side: _by_pillow(
        _noise, "RGB", "JPEG", side, progressive=True, subsampling=2
    ),
    "JPEG, progressive, colours at full size": lambda side: _by_pillow(
        _flat, "RGB", "JPEG", side, progressive=True, subsampling=0
    ),
    "JPEG, progressive, CMYK": lambda side: _by_pillow(_noise, "CMYK", "JPEG", side, progressive=True),
    "TIFF, LZW, RGB, noise": lambda side: _by_pillow(_noise, "RGB", "TIFF", side, compression="tiff_lzw"),
    "TIFF, LZW in one strip, RGB, noise": partial(_strip, _noise, "RGB", "tiff_lzw"),
    "TIFF, JPEG in one strip, RGB, noise": partial(_strip, _noise, "RGB", "jpeg"),
    "TIFF of 16 bits, LZW, RGBA, noise": partial(_deep, ".tif", 16, 4, (cv2.IMWRITE_TIFF_COMPRESSION, 5)),
    "GIF": lambda side: _by_pillow(_noise, "L", "GIF", side),
    "WebP, flat": lambda side: _by_pillow(_flat, "RGB", "WEBP", side),
    "WebP, RGBA, noise": lambda side: _by_pillow(_noise, "RGBA", "WEBP", side, method=0),
    "WebP without loss, RGBA, noise": lambda side: _by_pillow(
        _noise, "RGBA", "WEBP", side, lossless=True, method=0, quality=0
    ),
    "WebP that moves": lambda side: _by_pillow(
        _flat, "RGB", "WEBP", side, lossless=True, save_all=True, append_images=[Image.new("RGB", (side, side))]
    ),
    "AVIF, colours at half the size, flat": lambda side: _by_pillow(_flat, "RGB", "AVIF", side, speed=10),
    "AVIF, RGBA, noise": lambda side: _by_pillow(_noise, "RGBA", "AVIF", side, subsampling="4:4:4", speed=10),
    "AVIF of 12 bits, RGBA, noise": partial(
        _deep, ".avif", 12, 4, (cv2.IMWRITE_AVIF_DEPTH, 12, cv2.IMWRITE_AVIF_SPEED, 10, cv2.IMWRITE_AVIF_QUALITY, 100)
    ),
    "JPEG 2000, RGB": lambda side: _by_pillow(_flat, "RGB", "JPEG2000", side),
    "JPEG 2000 without loss, RGBA, noise": lambda side: _by_pillow(_noise, "RGBA", "JPEG2000", side),
    "JPEG 2000 of 16 bits, RGB, noise": partial(_deep, ".jp2", 16, 3, ()),
    "JPEG 2000 that claims 24 bits, RGB": _jpeg_2000_that_claims_24_bits,
}
"""What a decoder takes most for: noise, which is not compressed, and what has most samples; and the usual."""


def main() -> None:
    """Print the figures: of each picture by its side, the decoded one among them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, nargs="+", default=[1500, 3000])
    sides = parser.parse_args().side
    for name, make in CASES.items():
        print(f"| {name} | {' | '.join(_told(make(side), side) for side in sides)} |", flush=True)


def _told(data: bytes, side: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x")
        path.write_bytes(data)
        try:
            return f"{taken(path) / side**2:.1f}"
        except subprocess.CalledProcessError:
            return "refused"


if __name__ == "__main__":
    main()
