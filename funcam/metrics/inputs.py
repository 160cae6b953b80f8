"""What the metrics take: prepared maps, and the truth as padded boxes or as masks of objects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from funcam.errors import FuncamError
from funcam.maps import rescale, upsample


def prepared(maps: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Maps as they are measured: ReLU, divided by the maximum, resized bilinearly to the network's input.

    In this order, so that the largest value may come out slightly below 1 and thresholds count from the map's own
    maximum. A map without positive values becomes zeros.

    Args:
        maps: `[B, h, w]` or `[B, K, h, w]`, as a method gives them.
        size: `(H, W)`.

    Returns:
        `[B, H, W]` or `[B, K, H, W]`, in 0..1.

    Raises:
        FuncamError: the maps have another number of axes.

    Source:
        The protocol of Choe et al., CVPR 2020, arXiv:2007.04178, without the shift of the minimum to zero.

    Example:
        >>> prepared(torch.tensor([[[-1.0, 2.0]]]), (1, 4))
        tensor([[[0.0000, 0.2500, 0.7500, 1.0000]]])
    """
    if len(maps) > 1 and maps.stride(0) == 0:  # one map expanded to the batch, such as a baseline's, stays one
        return prepared(maps[:1], size).expand(len(maps), *maps.shape[1:-2], *size)
    return upsample(rescale(maps.relu()), size)


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
        FuncamError: a box that has not four coordinates, is inside out or not finite.

    Example:
        >>> boxes, valid = pad_boxes([[(0, 0, 2, 2), (1, 1, 3, 3)], []])
        >>> boxes.shape, valid.tolist()
        (torch.Size([2, 2, 4]), [[True, True], [False, False]])
    """
    rows = [_rows(one, index, dtype) for index, one in enumerate(boxes)]
    counts = torch.tensor([len(row) for row in rows])
    valid = torch.arange(max(map(len, rows), default=0) or 1) < counts[:, None]
    padded = torch.zeros(*valid.shape, 4, dtype=dtype)
    padded[valid] = torch.cat([torch.zeros(0, 4, dtype=dtype), *rows])
    return padded.to(device), valid.to(device)


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
    check_boxes(boxes, valid)
    x0, y0, x1, y1 = boxes[..., None].unbind(2)
    rows, columns = (torch.arange(side, device=boxes.device) for side in size)
    high = (rows >= y0.floor()) & (rows < y1.ceil()) & valid[..., None]
    wide = (columns >= x0.floor()) & (columns < x1.ceil())
    return high[..., None] & wide[..., None, :]


def any_pixel(pixels: torch.Tensor, axes: int | tuple[int, ...]) -> torch.Tensor:
    """`any` along some axes of a boolean tensor, as the largest byte: torch finds that some 100 times faster."""
    return pixels.any(axes) if not pixels.numel() else pixels.view(torch.uint8).amax(axes).view(torch.bool)


def check_boxes(boxes: torch.Tensor, valid: torch.Tensor) -> None:
    """Refuse boxes that are not `[B, M, 4]` with `valid [B, M]`.

    Raises:
        FuncamError: which shapes they have.
    """
    if boxes.ndim != 3 or boxes.shape[2] != 4 or valid.shape != boxes.shape[:2]:
        raise FuncamError(
            f"boxes have shape {list(boxes.shape)} and valid {list(valid.shape)}; expected [B, M, 4] and [B, M] "
            "(`pad_boxes` makes both from lists)"
        )


def check_masks(maps: torch.Tensor, masks: torch.Tensor) -> None:
    """Refuse maps and masks that don't lie on the same pixels of the same images.

    Raises:
        FuncamError: which shapes they have.
    """
    fits = maps.ndim == 3 and masks.ndim == 4 and masks.shape[:1] + masks.shape[2:] == maps.shape
    if not fits or masks.dtype != torch.bool:
        raise FuncamError(
            f"maps have shape {list(maps.shape)}, masks {list(masks.shape)} ({masks.dtype}); expected [B, H, W] and "
            "bool [B, M, H, W] (`prepared` resizes maps, `box_masks` makes masks from boxes)"
        )


def check_images(images: torch.Tensor, maps: torch.Tensor, targets: torch.Tensor, *, per_channel: bool = False) -> None:
    """Refuse images, maps and classes that don't belong together; `per_channel` allows maps `[B, C, H, W]` too.

    Raises:
        FuncamError: which shapes they have.
    """
    fits = maps.shape == images.shape[:1] + images.shape[2:] or (per_channel and maps.shape == images.shape)
    if images.ndim != 4 or not fits or targets.shape != images.shape[:1]:
        raise FuncamError(
            f"images have shape {list(images.shape)}, maps {list(maps.shape)}, targets {list(targets.shape)}; expected "
            "[B, C, H, W], [B, H, W] and [B] (`prepared` resizes maps to the network's input)"
        )


def _rows(boxes: object, index: int, dtype: torch.dtype) -> torch.Tensor:
    """The boxes of one image as `[m, 4]`, checked."""
    try:
        given = boxes.detach().cpu() if isinstance(boxes, torch.Tensor) else torch.tensor(np.array(boxes, np.float64))
        rows = given.to(dtype)
    except (TypeError, ValueError, RuntimeError):
        rows = torch.full((1,), torch.nan)
    if not rows.numel():
        return rows.new_zeros(0, 4)
    if rows.ndim != 2 or rows.shape[1] != 4 or not rows.isfinite().all() or bool((rows[:, 2:] < rows[:, :2]).any()):
        raise FuncamError(
            f"the boxes of image {index} are {boxes}; expected [m, 4], rows of (x0, y0, x1, y1) with x0 <= x1 and "
            "y0 <= y1: put the corners in order"
        )
    return rows
