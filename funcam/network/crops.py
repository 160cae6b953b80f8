"""What crops, pads and convolutions at the borders leave of an axis of the image."""

from __future__ import annotations

from dataclasses import replace

from funcam.network.factors import Axis, Dim, Moved, cut, padded, size_of, whole


def cropped(dim: Dim, start: int, end: int, step: int = 1) -> Dim:
    """What a slice leaves of a dimension, a part of the image's axis too.

    Raises:
        Moved: it leaves places that aren't in a row, or one.
    """
    try:
        return cut(dim, start, end, step)
    except Moved:
        atom, size = dim[0], size_of(dim)
        start, end, _ = slice(start, end).indices(size)
        if len(dim) > 1 or not isinstance(atom, Axis) or not whole(atom) or step != 1 or end - start < 2:
            raise
        return (replace(atom, size=end - start, changes=(), reach=atom.reach.grown(-start, end - size, size)),)


def enlarged(dim: Dim, front: int, behind: int) -> Dim:
    """A dimension with so many in front and behind, or with fewer where they are negative.

    Raises:
        Moved: it is no dimension of places.
    """
    rest = cropped(dim, max(-front, 0), size_of(dim) - max(-behind, 0))
    return padded(rest, max(front, 0), max(behind, 0))


def slid(dim: Dim, made: int, first: float, step: float) -> Dim:
    """A dimension of which a convolution or pooling makes so many cells, with their places; see `Reach.through`."""
    atom = dim[0] if len(dim) == 1 else None
    if not isinstance(atom, Axis) or not whole(atom):
        return dim
    return (replace(atom, reach=atom.reach.through(atom.size, made, first, step)),)


def absorbed(dim: Dim, places: int) -> Dim:
    """A dimension behind a convolution that takes so many places away at its ends, of padding first."""
    atom = dim[0] if len(dim) == 1 else None
    if not isinstance(atom, Axis) or not whole(atom):
        return dim
    return (replace(atom, reach=atom.reach.absorbed(places, atom.size)),)
