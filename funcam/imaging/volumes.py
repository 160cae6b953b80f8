"""Volumes and clips as pictures: their slices or frames, and those of a map that covers them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from funcam.errors import FuncamError
from funcam.imaging.arrays import as_values
from funcam.imaging.given import as_image
from funcam.imaging.reading import Pixels

_COLOURS = 3


def slices_of(volume: Any, at_least: int = 1) -> list[Pixels]:
    """The slices of a volume, or the frames of a clip, uint8 RGB each.

    Bytes stay as they are; of other numbers (those of a CT, say) the least becomes black and the largest white.

    Args:
        volume: `[D, H, W]`, `[D, H, W, 3]`, `[3, D, H, W]`, `[D, 3, H, W]`, an axis of one before it or not; an array,
            a tensor, or a list of pictures.
        at_least: so many slices there are; a map of more cells belongs to something else.

    Raises:
        FuncamError: another shape.

    Example:
        >>> len(slices_of(np.zeros((1, 4, 5, 6))))
        4
    """
    if isinstance(volume, list | tuple):
        return [as_image(picture) for picture in volume]
    values = volume if getattr(volume, "dtype", None) == np.uint8 else as_values("a volume", volume)
    while values.ndim > _COLOURS and values.shape[0] == 1:
        values = values[0]
    colours = [axis for axis in (3, 0, 1) if values.ndim == 4 and values.shape[axis] == _COLOURS]
    if values.ndim != 3 and not colours:
        raise FuncamError(
            f"a volume is [D, H, W], with colours [D, H, W, 3] (or 3 in front of D or H); got {list(values.shape)}"
        )
    values = np.moveaxis(values, colours[0], 3) if colours else values
    if len(values) < at_least:
        raise FuncamError(f"the volume has {len(values)} slices and its map {at_least}; give the volume that it is of")
    return [as_image(each) for each in (values if values.dtype == np.uint8 else _stretched(values))]


def at_slices(values: ArrayLike, chosen: Sequence[int], count: int) -> Iterator[NDArray[np.float32]]:
    """A map `[d, h, w]` at some of `count` slices, linear between the middles of its own.

    Example:
        >>> [float(each[0, 0]) for each in at_slices([[[0.0]], [[1.0]]], range(4), 4)]
        [0.0, 0.25, 0.75, 1.0]
    """
    cells = as_values("a map", values)
    for place in chosen:
        at = float(np.clip((place + 0.5) / count * len(cells) - 0.5, 0, len(cells) - 1))
        below = int(at)
        above = min(below + 1, len(cells) - 1)
        yield cells[below] + np.float32(at - below) * (cells[above] - cells[below])


def _stretched(values: NDArray[np.float32]) -> NDArray[np.float32]:
    finite = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(finite.min()), float(finite.max())
    return (finite - low) / np.float32(high - low or 1.0)
