"""HEIC, where pillow-heif is installed: as any other picture."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from command_line import photo
from PIL import Image

from funcam.errors import FuncamError
from funcam.imaging import heif
from funcam.imaging.memory import beside
from funcam.imaging.reading import find_images, read_image

needs_heif = pytest.mark.skipif(importlib.util.find_spec("pillow_heif") is None, reason="pillow-heif is an extra")


def test_what_it_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = Image.new("RGB", (1000, 1000))
    picture.format = "HEIF"
    assert beside(picture, 10**6) == 14 * 10**6


@needs_heif
@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_read_upright(tmp_path: Path, orientation: int) -> None:
    heif.register()
    exif = Image.Exif()
    exif[0x0112] = orientation
    half = np.zeros((64, 96, 3), np.uint8)
    half[:20, :30] = (255, 40, 0)
    for name in ("a.heic", "a.png"):
        Image.fromarray(half).save(tmp_path / name, exif=exif.tobytes(), quality=100)
    one, other = read_image(tmp_path / "a.heic").astype(int), read_image(tmp_path / "a.png").astype(int)
    assert one.shape == other.shape
    assert np.abs(one - other).mean() < 6
    assert [path.name for path in find_images([tmp_path]).paths] == ["a.heic", "a.png"]


@needs_heif
def test_transparency_is_laid_on_white_and_what_is_damaged_is_told(tmp_path: Path) -> None:
    heif.register()
    Image.new("RGBA", (64, 64), (0, 0, 0, 0)).save(tmp_path / "a.heic", quality=100)
    assert read_image(tmp_path / "a.heic").min() > 240
    data = (tmp_path / "a.heic").read_bytes()
    for cut in (40, len(data) // 2, len(data) - 9):
        (tmp_path / "b.heic").write_bytes(data[:cut])
        with pytest.raises(FuncamError, match=r"b\.heic"):
            read_image(tmp_path / "b.heic")


@needs_heif
def test_what_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heif.register()
    Image.fromarray(photo()).save(tmp_path / "a.heic")
    monkeypatch.setitem(__import__("funcam.imaging.bounds").imaging.bounds.OF_PHONES, "HEIF", 100)
    monkeypatch.setattr("funcam.imaging.bounds.BYTES_A_PIXEL", 0)
    with pytest.raises(FuncamError, match="more pixels than is safe to unpack"):
        read_image(tmp_path / "a.heic")
