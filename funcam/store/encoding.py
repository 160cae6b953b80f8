"""Maps as the bytes that are kept of them: float16 or uint8 at the layer's own grid, with what brings them back."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from funcam.errors import FuncamError

MAP_TYPES = ("float16", "uint8", "none")


class Encoded(NamedTuple):
    """A map as it is kept: a value is `low + scale * stored`.

    Attributes:
        height: of the grid.
        width: of the grid.
        low: what is added.
        scale: what is multiplied with.
        data: the stored values, little-endian, row by row.
    """

    height: int
    width: int
    low: float
    scale: float
    data: bytes


def encoded(map_: NDArray[Any], map_type: str) -> Encoded:
    """A map as it is kept.

    float16 is scaled to the map's largest value, whose order of magnitude is anything: the gradients of a sure network
    are smaller than float16 goes. uint8 goes from the map's smallest value to its largest.

    Args:
        map_: `[h, w]`.
        map_type: `float16` or `uint8`.

    Raises:
        FuncamError: it isn't `[h, w]`, or is to be uint8 and has values that are no numbers.

    Example:
        >>> encoded(np.array([[0.0, 3e-9]]), "float16")[:4]
        (1, 2, 0.0, 3.000000026176508e-09)
    """
    if map_.ndim != 2 or max(map_.shape) >= 2**15:
        raise FuncamError(f"a map has shape {list(map_.shape)}; expected [h, w]")
    values = map_.astype(np.float64)
    finite = values[np.isfinite(values)]
    stored: NDArray[Any]
    if map_type == "uint8":
        if len(finite) < values.size:
            raise FuncamError("the map holds values that are no numbers; keep maps in float16")
        low = float(np.float32(values.min(initial=np.inf)))
        scale = _single((values.max() - low) / 255)
        stored = np.rint((values - low) / scale).clip(0, 255).astype(np.uint8)
    else:
        low, scale = 0.0, _single(np.abs(finite).max(initial=0))
        stored = (values / scale).astype("<f2") + np.float16(0)  # no zero below zero
    height, width = map_.shape
    return Encoded(height, width, low, scale, stored.tobytes())


def decoded(kept: Encoded, map_type: str) -> NDArray[np.float32]:
    """The map that was kept, `[h, w]`.

    Raises:
        FuncamError: the bytes are those of another size.

    Example:
        >>> decoded(encoded(np.array([[0.0, 2.0]]), "uint8"), "uint8").tolist()
        [[0.0, 2.0]]
    """
    stored = np.dtype("<f2" if map_type == "float16" else np.uint8)
    if min(kept.height, kept.width) < 0 or len(kept.data) != kept.height * kept.width * stored.itemsize:
        raise FuncamError(f"a map of {kept.height} x {kept.width} has {len(kept.data)} bytes; the store is damaged")
    values = np.frombuffer(kept.data, stored).astype(np.float64).reshape(kept.height, kept.width)
    return (kept.low + kept.scale * values).astype(np.float32)


def _single(scale: float) -> float:
    """A scale as a float32 keeps it; 1 where there is nothing to scale."""
    single = float(np.float32(scale))
    return single if np.isfinite(single) and single > 0 else 1.0
