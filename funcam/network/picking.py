"""What becomes of the image's axes where cells are picked by their numbers, or sampled elsewhere."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from funcam.network.call import Call
from funcam.network.crops import cropped
from funcam.network.factors import Dim, Dims, Moved, axes_in, has_batch, is_lost, lost, resized, size_of

_MOST_WARPED = 0.08
"""How far from its place, as a share of the image, a cell may be sampled before the image counts as warped."""


def picked(call: Call, axis: int, index: Tensor) -> Dims:
    """Cells of one axis by their numbers: those of a slice, or of another size, else in no order.

    Raises:
        Moved: the axis holds images, or places that had lost their order already and may be brought back.
    """
    dims = call.first
    if has_batch(dims[axis : axis + 1]) or is_lost(dims[axis]) or index.ndim != 1:
        raise Moved
    made = lost(call.shape[axis]) if _depends(call, index) else _taken(dims[axis], index)
    return (*dims[:axis], made, *dims[axis + 1 :])


def gathered(call: Call) -> Dims:
    """Cells of one axis by their numbers, which may be others for each image and channel.

    Raises:
        Moved: as `picked`, and where other axes are cut.
    """
    dims, index = call.first, call.args["index"]
    axis = call.args["dim"] % len(dims)
    others = [size_of(dim) == size for at, (dim, size) in enumerate(zip(dims, index.shape, strict=True)) if at != axis]
    if not axes_in(dims[axis]) or has_batch(dims[axis : axis + 1]) or not all(others):
        raise Moved
    numbers = index.movedim(axis, 0).flatten(1)
    same = not _depends(call, index) and bool((numbers == numbers[:, :1]).all())
    made = _taken(dims[axis], numbers[:, 0]) if same else lost(index.shape[axis])
    return (*dims[:axis], made, *dims[axis + 1 :])


def sampled(call: Call) -> Dims:
    """Values from elsewhere, as attention takes them: each belongs to the place that asked for it.

    Raises:
        Moved: nobody asked, and they are taken from about their own places.
    """
    grid = call.args["grid"]
    sides, unknown = grid.shape[1:-1], _is_unknown(call, grid)
    asking: Dims = () if unknown else call.dims("grid")[1:-1]
    if any(map(axes_in, asking)):
        return (call.dims("grid")[0], call.first[1], *asking)
    if unknown and sides != call.args["input"].shape[2:]:
        raise Moved
    own = torch.meshgrid(*[(torch.arange(n, device=grid.device) + 0.5) / n for n in sides], indexing="ij")
    at = (grid.flip(-1) + 1) / 2
    if not any(map(axes_in, call.first)) or bool(((at - torch.stack(own, -1)).abs() <= _MOST_WARPED).all()):
        raise Moved
    return (*call.first[:2], *map(lost, sides))


def _taken(dim: Dim, index: Tensor) -> Dim:
    """What numbers that are the same for all images leave of a dimension."""
    numbers: list[int] = (index.nonzero()[:, 0] if index.dtype in (torch.bool, torch.uint8) else index).tolist()
    size, count = size_of(dim), len(numbers)
    steps = {after - before for before, after in pairwise(numbers)}
    if len(steps) == 1 and (step := min(steps)) > 0 and numbers[0] >= 0:
        return cropped(dim, numbers[0], min(numbers[-1] + step, size), step)
    if all(abs(number + 0.5 - (at + 0.5) * size / count) <= 1 for at, number in enumerate(numbers)):
        return resized((dim,), (count,))[0]
    return lost(count)


def _depends(call: Call, index: Tensor) -> bool:
    """Whether numbers are made of the images, and may be others for other ones."""
    return _is_unknown(call, index) or has_batch(call.dims_of(index))


def _is_unknown(call: Call, tensor: Tensor) -> bool:
    try:
        call.dims_of(tensor)
    except Moved:
        return True
    return False
