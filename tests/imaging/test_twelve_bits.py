"""Grey values of 16 bits that use 12 of them or fewer are stretched, as floats are, and it is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from funcam.imaging.reading import read, read_image

VALUES = np.arange(12, dtype=np.uint16).reshape(3, 4) * 300 + 100


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize(("factor", "stretched"), [(1, True), (16, False)])
def test_what_uses_twelve_bits_is_stretched(tmp_path: Path, suffix: str, factor: int, stretched: bool) -> None:
    values = VALUES * factor
    path = tmp_path / f"scan.{suffix}"
    Image.fromarray(values).save(path)
    low, high = int(values.min()), int(values.max())
    want = np.rint((values - low) / (high - low) * 255) if stretched else values >> 8
    assert read(path).stretched is stretched
    assert np.array_equal(read_image(path), np.repeat(want[..., None], 3, 2).astype(np.uint8))


def test_nothing_is_not_stretched(tmp_path: Path) -> None:
    path = tmp_path / "black.png"
    Image.fromarray(np.zeros((2, 2), np.uint16)).save(path)
    assert not read(path).stretched
    assert not read_image(path).any()
    Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(path)
    assert not read(path).stretched
