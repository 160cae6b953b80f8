"""What the metrics take: prepared maps, and the truth as padded boxes or as masks of objects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from funcam.errors import FuncamError, shown
from funcam.maps import rescale, upsample
from funcam.metrics.checks import as_floats, check_boxes, finite_maps
from funcam.metrics.scalars import device_of, sides_of, size_of


def prepared(maps: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Maps as they are measured: ReLU, divided by the maximum, resized (bi-, tri-)linearly to the network's input.

    In this order, so that the largest value may come out slightly below 1 and thresholds count from the map's own
    maximum. A map without positive values becomes zeros.

    Args:
        maps: `[B, h, w]` or `[B, K, h, w]`, as a method gives them; of volumes `[B, d, h, w]` or `[B, K, d, h, w]`, of
            signals `[B, t]`.
        size: `(H, W)`; of volumes `(D, H, W)`, of signals `(T,)`.

    Returns:
        `[B, H, W]` or `[B, K, H, W]` (as the maps were), in 0..1; NaN everywhere in a map that is not finite.

    Raises:
        FuncamError: the maps have another number of axes or no pixel, or the size is none.

    Source:
        The protocol of Choe et al., CVPR 2020, arXiv:2007.04178, without the shift of the minimum to zero.

    Example:
        >>> prepared(torch.tensor([[[-1.0, 2.0]]]), (1, 4))
        tensor([[[0.0000, 0.2500, 0.7500, 1.0000]]])
    """
    maps, size = as_floats("maps", maps), sides_of(size)
    axes = len(size)
    leading = (1,) if axes == 1 else (1, 2)  # [B, K, t] would be images whose size is wrong
    if maps.ndim - axes not in leading or not maps.shape[1:].numel():
        raise FuncamError(
            f"maps have shape {list(maps.shape)} and size {size}; expected [B, h, w] or [B, K, h, w] with at least one "
            "pixel and (H, W) (one map: maps[None]); of volumes [B, d, h, w] and (D, H, W), of signals [B, t] and (T,)"
        )
    if len(maps) > 1 and maps.stride(0) == 0:  # one map expanded to the batch, such as a baseline's, stays one
        return prepared(maps[:1], size).expand(len(maps), *maps.shape[1:-axes], *size)
    finite = finite_maps(maps, maps.ndim - axes)
    finite = finite.view(*finite.shape, *[1] * axes)
    return upsample(rescale(torch.where(finite, maps, torch.nan).relu(), spatial=axes), size)


def pad_boxes(
    boxes: Sequence[object],
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float64,
) -> tuple[torch.Tensor, torch.Tensor]:
    """A list of boxes for each image as one padded tensor, and which of its rows are boxes.

    Args:
        boxes: for each of B images `[m, 4]` (a tensor, an array or a list of `(x0, y0, x1, y1)`), `m` may be 0.
        device: where the tensors are to be.
        dtype: of the coordinates; in float32 a scaled box may come to touch one pixel more.

    Returns:
        `(boxes [B, M, 4], valid [B, M])`, M the largest number of boxes (at least 1); rows that are no box are zeros.

    Raises:
        FuncamError: a box that has not four coordinates, is inside out or not finite; a list, device or dtype that is
            none.

    Example:
        >>> boxes, valid = pad_boxes([[(0, 0, 2, 2), (1, 1, 3, 3)], []])
        >>> boxes.shape, valid.tolist()
        (torch.Size([2, 2, 4]), [[True, True], [False, False]])
    """
    if isinstance(boxes, str) or not isinstance(boxes, Iterable) or getattr(boxes, "ndim", 1) == 0:
        raise FuncamError(f"boxes are {shown(boxes)}; expected a list with the boxes [m, 4] of each image")
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise FuncamError(f"dtype is {dtype!r}; expected floats, such as torch.float64")
    place = device_of(device)
    rows = [_rows(one, index, dtype) for index, one in enumerate(boxes)]
    counts = torch.tensor([len(row) for row in rows], device="cpu")
    valid = torch.arange(max(map(len, rows), default=0) or 1, device="cpu") < counts[:, None]
    padded = counts.new_zeros(*valid.shape, 4, dtype=dtype)
    padded[valid] = torch.cat([padded[:0, 0], *rows])
    return padded.to(place), valid.to(place)


def box_masks(boxes: torch.Tensor, valid: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """The pixels that each box touches: from `floor(x0)` to `ceil(x1)`, cut at the image.

    Args:
        boxes: `[B, M, 4]`, `(x0, y0, x1, y1)` in pixels of the map.
        valid: `[B, M]`, which of them are boxes.
        size: `(H, W)`.

    Returns:
        `[B, M, H, W]`, bool; all False for what is no box, and for a box that touches no pixel of the image.

    Raises:
        FuncamError: the shapes don't belong together.

    Example:
        >>> box_masks(torch.tensor([[[0.5, 0.0, 2.0, 1.0]]]), torch.tensor([[True]]), (2, 3)).int().tolist()
        [[[[1, 1, 0], [0, 0, 0]]]]
    """
    (boxes, valid), size = check_boxes(boxes, valid), size_of(size)
    x0, y0, x1, y1 = boxes[..., None].unbind(2)
    rows, columns = (torch.arange(side, device=boxes.device) for side in size)
    high = (rows >= y0.floor()) & (rows < y1.ceil()) & valid[..., None]
    wide = (columns >= x0.floor()) & (columns < x1.ceil())
    return high[..., None] & wide[..., None, :]


def any_pixel(pixels: torch.Tensor, axes: int | tuple[int, ...]) -> torch.Tensor:
    """`any` along some axes of a boolean tensor, as the largest byte: torch finds that some 100 times faster."""
    return pixels.any(axes) if not pixels.numel() else pixels.view(torch.uint8).amax(axes).view(torch.bool)


def _rows(boxes: object, index: int, dtype: torch.dtype) -> torch.Tensor:
    """The boxes of one image as `[m, 4]`, checked."""
    try:
        exact = (
            boxes.detach().cpu() if isinstance(boxes, torch.Tensor) else torch.from_numpy(np.array(boxes, np.float64))
        )
        rows = exact.to(dtype)
    except (TypeError, ValueError, RuntimeError):
        rows = torch.full((1,), torch.nan, device="cpu")
    if not rows.numel():
        return rows.new_zeros(0, 4)
    if rows.ndim != 2 or rows.shape[1] != 4 or not rows.isfinite().all() or bool((rows[:, 2:] < rows[:, :2]).any()):
        raise FuncamError(
            f"the boxes of image {index} are {shown(boxes)}; expected [m, 4], rows of (x0, y0, x1, y1) with x0 <= x1 "
            "and y0 <= y1: put the corners in order"
        )
    return rows
