"""Maps of signals: a strip in colours, the signal's curve over it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from funcam.errors import FuncamError
from funcam.imaging.arrays import as_values
from funcam.imaging.colormaps import Colormap
from funcam.imaging.fit import onto_image
from funcam.imaging.reading import Pixels
from funcam.imaging.render import heatmap, overlay

_SIZE = 208, 624
_MARGIN = 12
_INK = (24, 24, 27)


def strip(values: ArrayLike, signal: Any = None, colormap: Colormap = "jet") -> Pixels:
    """A map of one axis, time from left to right; with the signal it belongs to, its curve over it.

    Args:
        values: `[T]`.
        signal: `[samples]` or `[channels, samples]`, one curve for each channel; None for the map alone.
        colormap: as in `heatmap`.

    Returns:
        uint8 RGB `[208, 624, 3]`.

    Raises:
        FuncamError: the map or the signal has another shape.

    Example:
        >>> strip([0.0, 1.0], np.sin(np.arange(100))).shape
        (208, 624, 3)
    """
    cells = as_values("a map", values)
    if cells.ndim != 1 or not cells.size:
        raise FuncamError(f"the map of a signal is [T] with at least one cell; got {list(cells.shape)}")
    wide = onto_image(cells[None], _SIZE)
    if signal is None:
        return heatmap(wide, colormap)
    picture = overlay(np.full((*_SIZE, 3), 255, np.uint8), wide, colormap, 0.65)
    for curve in _curves(signal):
        cv2.polylines(picture, [curve], False, _INK, 1, cv2.LINE_AA)
    return picture


def _curves(signal: Any) -> list[NDArray[np.int32]]:
    """The points of each channel's curve, on one scale; at each column the samples' mean would hide the peaks."""
    samples = np.squeeze(as_values("a signal", signal))
    channels = samples[None] if samples.ndim == 1 else samples
    if channels.ndim != 2 or channels.shape[1] < 2:
        raise FuncamError(f"a signal is [samples] or [channels, samples], of one image; got {list(samples.shape)}")
    finite = np.nan_to_num(channels, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(finite.min()), float(finite.max())
    down = (high - finite) / (high - low or 1.0) * (_SIZE[0] - 1 - 2 * _MARGIN) + _MARGIN
    across = np.linspace(0, _SIZE[1] - 1, channels.shape[1])
    return [np.stack([across, row], 1).round().astype(np.int32) for row in down]
