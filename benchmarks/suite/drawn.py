"""Pictures for files where nobody gave any: as smooth and as busy as photos, so that they compress alike."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from funcam.imaging.render import save_picture


def photo(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Noise of several sizes added up, the larger the stronger."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for cells in (4, 16, 64, max(height, width)):
        noise = rng.standard_normal((cells, cells, 3), np.float32) / cells**0.5
        total += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    total = (total - total.min()) / (total.max() - total.min())
    return np.rint(255 * total).astype(np.uint8)


def photos(folder: Path, count: int, size: tuple[int, int]) -> list[Path]:
    """So many JPEG files."""
    paths = [folder / f"photo{number:03}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        save_picture(path, photo(*size, seed=number))
    return paths
