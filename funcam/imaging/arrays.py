"""Maps and gradients from wherever they come, NumPy's or a tensor: as arrays of floats. No torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from funcam.errors import FuncamError, shown


def as_values(what: str, values: ArrayLike) -> NDArray[np.float32]:
    """Numbers as an array of single floats; a tensor may be on any device and ask for gradients.

    Args:
        what: what they are called in an error message, such as "a map".
        values: an array, a tensor or nested lists of real numbers or booleans.

    Raises:
        FuncamError: they are no such numbers.

    Example:
        >>> as_values("a map", [[True, False]])
        array([[1., 0.]], dtype=float32)
    """
    try:
        array = np.asarray(_off_the_device(values))
    except (TypeError, ValueError, RuntimeError):
        array = np.array(None)
    if array.dtype.kind not in "biuf":
        raise FuncamError(f"{what} holds numbers; got {shown(values)}; give an array, a tensor or lists of numbers")
    with np.errstate(over="ignore"):  # what is too large for single precision is infinite
        return array.astype(np.float32, copy=False)


def _off_the_device(values: Any) -> Any:
    """What NumPy can read of a tensor, told by its methods so that torch need not be here."""
    return values.detach().cpu().float().numpy() if hasattr(values, "detach") else values
