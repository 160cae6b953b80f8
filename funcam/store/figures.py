"""What is told of each map in numbers: where it is largest, where its middle is, how much there is, and a box."""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from funcam.errors import FuncamError


class Figures(NamedTuple):
    """A map in numbers. Places are fractions of the map's width and height, 0 at its left and upper edge.

    Attributes:
        peak: its largest value.
        peak_x: the middle of the cell that has it, the first of several.
        peak_y: as `peak_x`, from above.
        centroid_x: the mean place, weighted with what is positive.
        centroid_y: as `centroid_x`, from above.
        energy: the sum of what is positive.
        box_x0: the box round the largest region (8-connected) of cells of at least a share of the peak.
        box_y0: its upper edge.
        box_x1: its right edge.
        box_y1: its lower edge.
    """

    peak: float
    peak_x: float
    peak_y: float
    centroid_x: float
    centroid_y: float
    energy: float
    box_x0: float
    box_y0: float
    box_x1: float
    box_y1: float


def figures(maps: NDArray[Any], threshold: float = 0.5) -> list[Figures | None]:
    """The figures of each map; None for one that is positive nowhere. What is no number counts as nothing.

    Args:
        maps: `[N, h, w]`.
        threshold: the share of the peak that a cell of the box has at least, above 0 and at most 1.

    Raises:
        FuncamError: they aren't `[N, h, w]`, or the threshold is no share.

    Example:
        >>> figures(np.array([[[0, 0], [0, 4.0]], [[0, 0], [0, 0]]]))[0].box_x0
        0.5
    """
    if maps.ndim != 3 or 0 in maps.shape[1:]:
        raise FuncamError(f"maps have shape {list(maps.shape)}; expected [N, h, w]")
    if not 0 < threshold <= 1:
        raise FuncamError(f"threshold is {threshold}; expected a share of the peak above 0, such as 0.5")
    values = np.nan_to_num(maps.astype(np.float64), nan=0, posinf=0, neginf=0).clip(0)
    count, height, width = values.shape
    across, down = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    flat = values.reshape(count, height * width)  # summed cell by cell, whatever maps there are beside
    energies, at, peaks = flat.sum(1), flat.argmax(1), flat.max(1)
    weights = flat / np.where(energies > 0, energies, 1)[:, None]
    middles = np.stack([(weights * side.ravel()).sum(1) for side in (across, down)], axis=1)
    found: list[Figures | None] = []
    for one in range(count):
        peak = across.flat[at[one]], down.flat[at[one]]
        places = map(float, (peaks[one], *peak, *middles[one], energies[one]))
        box = _box(values[one] >= threshold * peaks[one]) if peaks[one] > 0 else None
        found.append(Figures._make((*places, *box)) if box else None)
    return found


def _box(above: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """The box round the largest region, the first of several."""
    height, width = above.shape
    _, _, regions, _ = cv2.connectedComponentsWithStats(above.view(np.uint8), connectivity=8)
    largest = regions[1 + int(regions[1:, cv2.CC_STAT_AREA].argmax())]
    x, y, wide, high = (int(side) for side in largest[:4])
    return x / width, y / height, (x + wide) / width, (y + high) / height
