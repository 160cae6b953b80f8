"""From what a tensor's dimensions are made of to how it holds a map."""

from __future__ import annotations

from collections.abc import Sequence

from funcam.network.factors import BATCH, LOST, Axis, Beside, Dim, Dims, axes_in, is_plain, size_of, whole
from funcam.network.layout import CELLS, PLAIN, Layout, Shape
from funcam.network.layout_words import AXES, KINDS


def layout_of_dims(dims: Dims, axes: int) -> Layout | None:
    """How a tensor of these dimensions holds a map of images with a number of axes; None if it holds none.

    Example:
        >>> tokens = Beside(1, (Axis("S0", 4), Axis("S1", 6)), 0)
        >>> str(layout_of_dims(((Axis("B", 1),), (tokens,), (Axis("_", 8),)), 2))
        'tokens, 4x6, 1 in front'
    """
    if len(dims) == axes + 2:
        for kind in KINDS:
            order = _order(dims, kind, axes) if kind not in CELLS and (axes == 3 or kind != "frames-first") else None
            if order is not None:
                return Layout(kind, order=order)
    if len(dims) == 3:
        for kind in CELLS:
            tokens = _tokens(dims, kind, axes)
            if tokens is not None:
                return tokens
    return _folded(dims, axes)


def _parts(dims: Dims, kind: str) -> list[Dim] | None:
    """The dimensions of places, if those of the images and the channels are where a kind of layout has them."""
    batch, channels = (axis % len(dims) for axis in AXES[kind])
    alone = dims[batch] == () and [size_of(dim) for dim in dims].count(1) == 1  # nothing else can be a batch of one
    if not (alone or _is_batch(dims[batch])) or not _is_channels(dims[channels]):
        return None
    return [dim for axis, dim in enumerate(dims) if axis not in (batch, channels)]


def _is_batch(dim: Dim) -> bool:
    return len(dim) == 1 and isinstance(dim[0], Axis) and dim[0].name == BATCH


def _is_channels(dim: Dim) -> bool:
    """Channels may hold the places within each cell."""
    return all(
        isinstance(atom, Axis) and atom.name not in (BATCH, LOST) and not (atom.placed and atom.outer == 1)
        for atom in dim
    )


def _order(dims: Dims, kind: str, axes: int) -> Shape | None:
    """The order of the image's axes where each has a dimension of its own; () for the usual one."""
    places = _parts(dims, kind)
    return None if places is None else _ordered(places, axes)


def _ordered(places: Sequence[Dim], axes: int) -> Shape | None:
    numbers = [_number(dim) for dim in places]
    if any(number is None and size_of(dim) > 1 for number, dim in zip(numbers, places, strict=True)):
        return None
    pooled = iter(sorted(set(range(axes)) - set(numbers)))  # an axis of one cell has no name
    order = tuple(next(pooled, axes) if number is None else number for number in numbers)
    if sorted(order) != list(range(axes)) or all(map(is_plain, places)):
        return None
    return () if list(order) == sorted(order) else order


def _number(dim: Dim) -> int | None:
    """Which of the image's axes a dimension is: alone, or with cells that channels were made into (pixel shuffles)."""
    return int(axes_in(dim)[0].name[1:]) if dim and whole(dim[0]) and is_plain(dim[1:]) else None


def _tokens(dims: Dims, kind: str, axes: int) -> Layout | None:
    places = _parts(dims, kind)
    if places is None or not places[0]:
        return None
    (dim,) = places
    beside = dim[0] if len(dim) == 1 and isinstance(dim[0], Beside) else None
    cells = beside.cells if beside else dim
    if not cells or not all(map(whole, cells)):
        return None
    numbers = [int(axes_in((cell,))[0].name[1:]) for cell in cells]
    sizes = {number: cell.size for number, cell in zip(numbers, cells, strict=True)}
    if len(sizes) < len(cells):
        return None
    alone = [axis for axis in range(axes) if axis not in sizes]  # an axis of one cell has no name
    grid = tuple(sizes.get(axis, 1) for axis in range(axes))
    order = () if numbers == sorted(numbers) else (*alone, *numbers)
    return Layout(kind, beside.front if beside else 0, beside.behind if beside else 0, grid, order)


def _folded(dims: Dims, axes: int) -> Layout | None:
    """Frames that are folded into the batch."""
    if axes != 3 or len(dims) != 4 or len(dims[0]) != 2 or not _is_batch(dims[0][:1]) or not _is_channels(dims[1]):
        return None
    order = _ordered([dims[0][1:], *dims[2:]], axes)
    return Layout(PLAIN.kind, folded=dims[0][1].size) if order == () else None
