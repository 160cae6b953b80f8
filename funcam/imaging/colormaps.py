"""Colour maps by name, and whatever function makes colours of numbers: as tables of 256 colours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from funcam.errors import FuncamError, nearest, shown
from funcam.imaging.reading import Pixels

Colormap: TypeAlias = str | Callable[[NDArray[np.float64]], Any]
"""A name of `COLORMAPS`, or a function from numbers in 0..1, `[n]`, to RGB or RGBA in 0..1, `[n, 3]` or `[n, 4]`: any
of matplotlib's, such as `matplotlib.colormaps["coolwarm"]`."""

_OPENCV = (
    "jet turbo viridis inferno magma plasma cividis hot bone parula autumn winter spring summer cool rainbow ocean "
    "hsv pink twilight twilight_shifted deepgreen"
)


def _tables() -> dict[str, Pixels]:
    """Each colour map as 256 colours, [256, 1, 3] RGB, the form in which `cv2.applyColorMap` takes them."""
    ramp = np.arange(256, dtype=np.uint8)[:, None]
    tables = {"gray": np.repeat(ramp[..., None], 3, axis=2)}
    for name in _OPENCV.split():
        bgr = cv2.applyColorMap(ramp, getattr(cv2, f"COLORMAP_{name.upper()}"))
        tables[name] = np.ascontiguousarray(bgr[..., ::-1], dtype=np.uint8)
    for table in tables.values():
        table.setflags(write=False)
    return {name: tables[name] for name in [*_OPENCV.split(), "gray"]}


COLORMAPS: Mapping[str, Pixels] = MappingProxyType(_tables())
"""The colour maps by name (OpenCV's, and gray): 256 colours from coldest to hottest, uint8 RGB [256, 1, 3]."""

_SAMPLES = "expected RGB in 0..1, [256, 3], or RGBA that is opaque, [256, 4], as matplotlib's colour maps give"


def color_table(colormap: Colormap) -> Pixels:
    """The 256 colours of a colour map, uint8 RGB [256, 1, 3].

    Args:
        colormap: a name of `COLORMAPS`, or a function (see `Colormap`).

    Raises:
        FuncamError: no colour map has that name, or the function gives no colours.

    Example:
        >>> color_table(lambda numbers: np.stack([numbers] * 3, axis=1))[[0, 255], 0].tolist()
        [[0, 0, 0], [255, 255, 255]]
    """
    if callable(colormap):
        return _sampled(colormap)
    if not isinstance(colormap, str) or colormap not in COLORMAPS:
        raise FuncamError(
            f"colour map {shown(colormap)} is not known; nearest: {nearest(colormap, COLORMAPS)} of "
            f"{', '.join(COLORMAPS)}; or give one of matplotlib's itself, matplotlib.colormaps[...]"
        )
    return COLORMAPS[colormap]


def _sampled(colormap: Callable[[NDArray[np.float64]], Any]) -> Pixels:
    """The colours of a function, at 256 places from coldest to hottest."""
    name = getattr(colormap, "name", getattr(colormap, "__name__", type(colormap).__name__))
    try:
        colours = np.asarray(colormap(np.linspace(0, 1, 256)), dtype=np.float64)
    except Exception as error:  # whatever a function of somebody else's raises
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FuncamError(f"colour map {name!r} failed ({reason}); {_SAMPLES}") from error
    fits = colours.shape in ((256, 3), (256, 4)) and bool(((colours >= 0) & (colours <= 1)).all())
    if not fits or (colours[:, 3:] != 1).any():
        raise FuncamError(f"colour map {name!r} gave {list(colours.shape)} for 256 numbers in 0..1; {_SAMPLES}")
    return np.rint(255 * colours[:, None, :3]).astype(np.uint8)
