"""What a decoder takes beside the decoded picture is no more than is reckoned, and is refused before it is taken."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from picture_memory import CASES, taken
from PIL import Image, ImageCms, ImageOps

from funcam.errors import FuncamError
from funcam.imaging import bounds, memory, webp
from funcam.imaging.decoding import opened
from funcam.imaging.reading import read_image

SIDE = 1400
COSTLY = (
    "WebP, RGBA",
    "WebP without",
    "WebP that",
    "AVIF",
    "JPEG 2000",
    "JPEG, progressive, colours at full",
    "JPEG, progressive, CMYK",
    "one strip",
)


def written(name: str, side: int, folder: Path) -> Path:
    path = folder / "x"
    path.write_bytes(CASES[name](side))
    return path


@pytest.mark.long
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is watched through /proc")
@pytest.mark.parametrize("name", CASES)
def test_no_decoder_takes_more_than_is_reckoned(name: str, tmp_path: Path) -> None:
    side = 1600 if name.startswith("AVIF") else SIDE  # its decoder has some megabytes of its own
    path = written(name, side, tmp_path)
    with opened(path) as image:
        decoded = 1 if image.mode in ("L", "P") else 4
        scans = 2 if "progressive" in name else 1
        moves = image.format == "WEBP" and webp.moves(path)
        reckoned = memory.beside(image, path.stat().st_size, scans=scans, moves=moves) / side**2
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


@pytest.mark.parametrize(
    ("name", "side"), [("WebP that moves", 2520), ("AVIF, RGBA, noise", 2060), ("JPEG 2000, RGB", 1800)]
)
def test_pictures_of_more_than_is_allowed_are_refused_before_they_are_decoded(
    name: str, side: int, tmp_path: Path
) -> None:
    """A small file's header with large sides in it: a decoder would find it damaged."""
    path = written(name, 64, tmp_path)
    with opened(path) as image:
        image._size = (side, side)  # as if the header said so
        with pytest.raises(FuncamError, match="more pixels than is safe"):
            bounds.refuse_large(image, path)
        image._size = (side - 40, side - 40)
        bounds.refuse_large(image, path)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("turn", [1, 3, 6, 8])
def test_a_webp_is_what_pillow_makes_of_it(mode: str, lossless: bool, turn: int, tmp_path: Path) -> None:
    """Its pixels, its transparency on white, its orientation, a colour profile or none."""
    shades = np.random.default_rng(turn).integers(0, 256, (5, 7, len(mode)), np.uint8).repeat(6, 0).repeat(6, 1)
    exif = Image.Exif()
    exif[0x0112] = turn
    path = tmp_path / "x.webp"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(shades).save(path, lossless=lossless, exif=exif, icc_profile=profile)
    with Image.open(path) as image:
        assert image.mode == mode
        expected = ImageOps.exif_transpose(image)
        paper = Image.new("RGBA", expected.size, "white")
        paper.alpha_composite(expected.convert("RGBA"))
    # Pillow rounds transparency in two ways.
    assert np.abs(np.asarray(paper.convert("RGB")).astype(int) - read_image(path)).max() <= (mode == "RGBA")


def test_a_webp_that_moves_gives_its_first_frame_and_one_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.webp"
    path.write_bytes(CASES["WebP that moves"](32))
    assert webp.moves(path)
    assert (read_image(path) == (9, 80, 200)).all()
    Image.new("RGB", (32, 32)).save(path)
    assert not webp.moves(path)
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(FuncamError, match=r"truncated or damaged|is empty|not an image"):
            read_image(path)
