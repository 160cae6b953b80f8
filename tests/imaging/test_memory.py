"""What a decoder takes beside the decoded picture is no more than is reckoned, and is refused before it is taken."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from picture_memory import CASES, taken
from PIL import Image

from funcam.errors import FuncamError
from funcam.imaging import bounds, memory
from funcam.imaging.decoding import opened
from funcam.imaging.reading import read_image

SIDE = 1500
COSTLY = ("WebP", "AVIF", "JPEG 2000", "JPEG, progressive, colours at full", "JPEG, progressive, CMYK", "one strip")


def written(name: str, side: int, folder: Path) -> Path:
    path = folder / "x"
    path.write_bytes(CASES[name](side))
    return path


@pytest.mark.long
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is watched through /proc")
@pytest.mark.parametrize("name", CASES)
def test_no_decoder_takes_more_than_is_reckoned(name: str, tmp_path: Path) -> None:
    side = 2000 if name.startswith("AVIF") else SIDE  # its decoder has some megabytes of its own
    path = written(name, side, tmp_path)
    with opened(path) as image:
        decoded = 1 if image.mode in ("L", "P") else 4
        scans = 2 if "progressive" in name else 1
        reckoned = memory.beside(image, path.stat().st_size, scans=scans) / side**2
    # The 1.2: what Pillow and the allocator need beside a picture of this size.
    assert taken(path) / side**2 < decoded + reckoned + 1.2


@pytest.mark.parametrize("name", CASES)
def test_only_what_takes_more_than_four_bytes_a_pixel_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(name, 64, tmp_path)
    assert read_image(path).shape == (64, 64, 3)
    monkeypatch.setattr(bounds, "ALLOWED", 64 * 64)
    if any(part in name for part in (*COSTLY, "16 bits, LZW")):
        with pytest.raises(FuncamError, match=r"x' holds more pixels than is safe to unpack.*save it as PNG"):
            read_image(path)
        with Image.open(path) as image:  # what the message says to do helps
            (image.convert("RGB")).save(tmp_path / "y.png")
        assert read_image(tmp_path / "y.png").shape == (64, 64, 3)
    elif "LZW" not in name:  # noise that becomes larger, by as much as the header of so small a file
        assert read_image(path).shape == (64, 64, 3)


@pytest.mark.parametrize(("format_", "side"), [("WEBP", 5400), ("JPEG2000", 3800)])
def test_pictures_of_more_than_is_allowed_are_refused_before_they_are_decoded(
    format_: str, side: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small file's header with large sides in it: a decoder would find it damaged."""
    stream = io.BytesIO()
    Image.new("RGB", (64, 64)).save(stream, format_)
    path = tmp_path / "x"
    path.write_bytes(stream.getvalue())
    with opened(path) as image:
        image._size = (side, side)  # as if the header said so
        with pytest.raises(FuncamError, match="more pixels than is safe"):
            bounds.refuse_large(image, path)
        image._size = (side - 200, side - 200)
        bounds.refuse_large(image, path)
