"""Weakly supervised object localisation: what is best over a data set, found from a small row for each image.

overlaps = box_overlaps(maps, boxes, valid)     # for each image and threshold, [B, 20]
hits = box_hits(overlaps.largest)               # [B, 3, 20], bool: all that must be kept of an image
max_box_acc_v2(torch.cat(all_hits))             # the best threshold over the data set
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from funcam.errors import FuncamError
from funcam.metrics.checks import (
    as_floats,
    as_tensor,
    check_boxes,
    check_masks,
    check_weights,
    finite_maps,
    where_finite,
)
from funcam.metrics.inputs import any_pixel
from funcam.metrics.scalars import reals, whole

LEVELS = tuple(step / 20 for step in range(20))
"""The thresholds of a map that are tried: 0, 0.05 .. 0.95."""

OVERLAPS = (0.3, 0.5, 0.7)
"""The overlaps of MaxBoxAccV2; MaxBoxAcc is the second."""


class Overlaps(NamedTuple):
    """The best overlap with a box of the truth for each threshold, `[B, T]`.

    Attributes:
        largest: of the box round the largest contour (MaxBoxAcc).
        any: of the best of the boxes round all contours (the multi-contour protocol of MaxBoxAccV2).
    """

    largest: torch.Tensor
    any: torch.Tensor


class MaxBoxAcc(NamedTuple):
    """The accuracy at the best threshold for each overlap that is asked for, `[..., I]`.

    Attributes:
        accuracy: in 0..1.
        level: the number of that threshold.
    """

    accuracy: torch.Tensor
    level: torch.Tensor


def box_overlaps(
    maps: torch.Tensor, boxes: torch.Tensor, valid: torch.Tensor, *, levels: Sequence[float] = LEVELS
) -> Overlaps:
    """For each threshold the overlap (IoU) of the boxes round what is above it with the best box of the truth.

    The pixels greater than a threshold are outlined (8-connected, holes filled); the largest contour is the one whose
    polygon through the pixels' centres has the largest area. A box reaches from its first pixel to behind its last.
    The contours are found by OpenCV, on the CPU; everything else is where the maps are.

    Args:
        maps: `[B, H, W]`, as `prepared` gives them, on any device.
        boxes: `[B, M, 4]`, `(x0, y0, x1, y1)` in pixels of the map.
        valid: `[B, M]`, which of them are boxes.
        levels: T thresholds.

    Returns:
        `largest [B, T]` and `any [B, T]`; 0 where nothing is above the threshold, NaN for images without a box, or
        whose map is not finite.

    Raises:
        FuncamError: the shapes don't belong together.

    Source:
        Choe et al., CVPR 2020, arXiv:2001.07437 (MaxBoxAcc), and arXiv:2007.04178 (MaxBoxAccV2). Their code counts a
        box's last pixel by adding 1 to every side and rounds maps to 8 bits; here both are as they are.

    Example:
        >>> boxes, valid = torch.tensor([[[0.0, 0.0, 2.0, 2.0]]]), torch.tensor([[True]])
        >>> maps = torch.tensor([[[1.0, 0.9, 0.3], [0.9, 0.8, 0.2], [0.1, 0.1, 0.1]]])
        >>> box_overlaps(maps, boxes, valid, levels=(0.0, 0.5, 0.95)).largest
        tensor([[0.4444, 1.0000, 0.2500]])
    """
    maps, (boxes, valid), levels = as_floats("maps", maps), check_boxes(boxes, valid), reals("levels", levels)
    if maps.ndim != 3 or len(maps) != len(boxes) or not maps.shape[1:].numel():
        raise FuncamError(
            f"maps have shape {list(maps.shape)}, boxes {list(boxes.shape)}; expected [B, H, W], [B, M, 4]"
        )
    same = len(maps) > 1 and maps.stride(0) == 0  # one map expanded to the batch, such as a baseline's
    outlined = [_outlined(map_, levels) for map_ in (maps[:1] if same else maps).detach().float().cpu().numpy()]
    truth = boxes.detach().double().cpu().numpy()
    known = valid.cpu().numpy()
    rows = [_overlaps(outlined[0 if same else i], truth[i][known[i]]) for i in range(len(maps))]
    overlaps = torch.from_numpy(np.array(rows, np.float32).reshape(-1, 2, len(levels))).to(maps.device)
    return Overlaps(*where_finite(overlaps, maps).unbind(1))


def box_hits(overlaps: torch.Tensor, *, least: Sequence[float] = OVERLAPS) -> torch.Tensor:
    """Whether each overlap is reached at each threshold: the row that must be kept of an image.

    Args:
        overlaps: `[B, T]`, such as `box_overlaps(...).largest`.
        least: I overlaps.

    Returns:
        bool `[B, I, T]`. An image whose overlaps are NaN, without a box or with a map that is not finite, is nowhere a
        hit: leave it out before.

    Raises:
        FuncamError: the overlaps have another shape, or there is none to reach.

    Example:
        >>> box_hits(torch.tensor([[0.2, 0.6]])).int().tolist()
        [[[0, 1], [0, 1], [0, 0]]]
    """
    overlaps, least = as_floats("overlaps", overlaps), reals("least", least)
    if overlaps.ndim != 2:
        raise FuncamError(f"overlaps have shape {list(overlaps.shape)}; expected [B, T] (`box_overlaps(...).largest`)")
    return overlaps[:, None] >= torch.tensor(least, dtype=overlaps.dtype, device=overlaps.device)[:, None]


def max_box_acc(hits: torch.Tensor, counts: torch.Tensor | None = None) -> MaxBoxAcc:
    """MaxBoxAcc: the share of images that are localised, at the threshold that is best over the data set.

    Args:
        hits: bool `[B, I, T]` of the whole data set, from `box_hits`.
        counts: `[..., B]`, how often each image counts, for resamples of a bootstrap; None for once each.

    Returns:
        `accuracy [..., I]` in 0..1 and `level [..., I]`, the first of the best thresholds.

    Raises:
        FuncamError: there is no image, or the counts are not those of the images.

    Source:
        Choe et al., CVPR 2020, arXiv:2001.07437, section 4.2.

    Example:
        >>> hits = torch.tensor([[[True, False]], [[True, True]]])
        >>> max_box_acc(hits)
        MaxBoxAcc(accuracy=tensor([1.]), level=tensor([0]))
        >>> max_box_acc(hits, torch.tensor([[2.0, 0.0], [0.0, 2.0]])).accuracy
        tensor([[1.],
                [1.]])
    """
    hits = as_tensor("hits", hits)
    if hits.ndim != 3 or not hits.numel() or hits.dtype != torch.bool:
        raise FuncamError(
            f"hits have shape {list(hits.shape)} ({hits.dtype}); expected bool [B, I, T] with at least one image "
            "(`box_hits` makes them)"
        )
    weights = check_weights(counts, len(hits)).to(hits.device, torch.float32)
    hit = (weights @ hits.flatten(1).float()).view(*weights.shape[:-1], *hits.shape[1:])
    shares = hit / weights.sum(-1)[..., None, None]
    best = shares.max(-1)
    return MaxBoxAcc(best.values, best.indices)


def max_box_acc_v2(hits: torch.Tensor, counts: torch.Tensor | None = None) -> torch.Tensor:
    """MaxBoxAccV2: `max_box_acc` averaged over the overlaps, each at its own best threshold.

    Args:
        hits: bool `[B, I, T]` of the whole data set, from `box_hits`.
        counts: `[..., B]`, how often each image counts, for resamples of a bootstrap; None for once each.

    Returns:
        `[...]`, in 0..1.

    Raises:
        FuncamError: there is no image, or the counts are not those of the images.

    Source:
        Choe et al., arXiv:2007.04178, section 4.2.

    Example:
        >>> max_box_acc_v2(torch.tensor([[[True, False], [False, False]]]))
        tensor(0.5000)
    """
    return max_box_acc(hits, counts).accuracy.mean(-1)


def pixel_counts(
    maps: torch.Tensor, masks: torch.Tensor, *, ignore: torch.Tensor | None = None, bins: int = 1000
) -> torch.Tensor:
    """How many pixels of the objects, and of the rest, are at or above each threshold `k / bins`.

    Args:
        maps: `[B, H, W]`, in 0..1.
        masks: bool `[B, M, H, W]`.
        ignore: bool `[B, H, W]`, pixels that don't count unless they are an object's.
        bins: how many thresholds, without the last, 1.

    Returns:
        `[B, 2, bins + 1]`, whole numbers: the objects' pixels, then the others'. The row that is kept of an image.
        Zeros for an image whose map is not finite: it counts for nothing, and `pxap` of it alone is NaN.

    Raises:
        FuncamError: the shapes don't belong together, or `bins` is no whole number of at least one.

    Example:
        >>> pixel_counts(torch.tensor([[[1.0, 0.6, 0.2]]]), torch.tensor([[[[True, False, False]]]]), bins=2).tolist()
        [[[1, 1, 1], [2, 1, 0]]]
    """
    (maps, masks), bins = check_masks(maps, masks), whole("bins", bins)
    counted = finite_maps(maps)[:, None].expand(-1, maps.shape[1:].numel())
    objects = any_pixel(masks, 1).flatten(1)
    levels = torch.arange(bins + 1, device=maps.device) / bins
    reached = torch.bucketize(maps.flatten(1).clamp(0, 1).to(levels.dtype), levels, right=True) - 1
    image = torch.arange(len(maps), device=maps.device)[:, None]
    place = (image * 2 + (~objects).long()) * (bins + 1) + reached
    if ignore is not None:
        counted = counted & (objects | ~_checked_ignore(maps, ignore).flatten(1))
    histogram = torch.bincount(place[counted], minlength=len(maps) * 2 * (bins + 1)).view(len(maps), 2, bins + 1)
    return histogram.flip(2).cumsum(2).flip(2)


def _checked_ignore(maps: torch.Tensor, ignore: torch.Tensor) -> torch.Tensor:
    ignore = as_tensor("ignore", ignore)
    if ignore.shape != maps.shape or ignore.dtype != torch.bool:
        raise FuncamError(f"ignore has shape {list(ignore.shape)} ({ignore.dtype}); expected bool {list(maps.shape)}")
    return ignore.to(maps.device)


def pxap(pixels: torch.Tensor, counts: torch.Tensor | None = None) -> torch.Tensor:
    """PxAP: the average precision of the pixels of a data set, over the thresholds of a map.

    Args:
        pixels: `[B, 2, T]` of the whole data set, from `pixel_counts` (or `[1, 2, T]`, their sum).
        counts: `[..., B]`, how often each image counts, for resamples of a bootstrap; None for once each.

    Returns:
        `[...]`, in 0..1; NaN where there is no pixel of an object.

    Raises:
        FuncamError: the shape is another, or the counts are not those of the images.

    Source:
        Choe et al., CVPR 2020, arXiv:2001.07437, section 4.2, Eq. 2 and 3.

    Example:
        >>> pxap(pixel_counts(torch.tensor([[[1.0, 0.6, 0.2]]]), torch.tensor([[[[True, False, True]]]])))
        tensor(0.8333, dtype=torch.float64)
    """
    pixels = as_tensor("pixels", pixels)
    if pixels.ndim != 3 or pixels.shape[1] != 2 or not pixels.numel():
        raise FuncamError(f"pixels have shape {list(pixels.shape)}; expected [B, 2, T] (`pixel_counts` makes them)")
    weights = check_weights(counts, len(pixels))
    whole = weights.to(pixels.device, torch.float64) @ pixels.flatten(1).double()
    by_kind = whole.view(*weights.shape[:-1], *pixels.shape[1:])
    inside, outside = by_kind.flip(-1).unbind(-2)  # from the highest threshold down
    precision = inside / (inside + outside).clamp(min=1e-300)
    gained = inside.diff(dim=-1, prepend=torch.zeros_like(inside[..., :1]))
    return (precision * gained).sum(-1) / inside[..., -1]


_Outlines = list[tuple[list[tuple[int, int, int, int]], int]]
"""For each threshold the boxes round the contours, and the number of the largest contour."""


def _outlined(values: NDArray[np.float32], levels: Sequence[float]) -> _Outlines:
    return [_contour_boxes(values > np.float32(level)) for level in levels]


def _overlaps(outlines: _Outlines, truth: NDArray[np.float64]) -> tuple[list[float], list[float]]:
    """For each threshold the overlap of the largest contour's box, and of the best contour's."""
    if not len(truth):
        return [np.nan] * len(outlines), [np.nan] * len(outlines)
    best = _ious(np.array([box for boxes, _ in outlines for box in boxes], np.float64).reshape(-1, 4), truth)
    largest, of_any, first = [], [], 0
    for boxes, index in outlines:
        ours = best[first : first + len(boxes)]
        largest.append(float(ours[index]) if len(boxes) else 0.0)
        of_any.append(float(ours.max(initial=0)))
        first += len(boxes)
    return largest, of_any


def _contour_boxes(above: NDArray[np.bool_]) -> tuple[list[tuple[int, int, int, int]], int]:
    """The boxes round the contours, and the number of the contour with the largest area."""
    contours, _ = cv2.findContours(above.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    sides = [cv2.boundingRect(contour) for contour in contours]
    largest = int(np.argmax([cv2.contourArea(contour) for contour in contours])) if len(contours) > 1 else 0
    return [(x, y, x + width, y + height) for x, y, width, height in sides], largest


def _ious(boxes: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each box its overlap with the best box of the truth."""
    low = np.maximum(boxes[:, None, :2], truth[:, :2])
    high = np.minimum(boxes[:, None, 2:], truth[:, 2:])
    shared = (high - low).clip(0).prod(2)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)[:, None] + (truth[:, 2:] - truth[:, :2]).prod(1)
    return cast("NDArray[np.float64]", (shared / (areas - shared)).max(1))
