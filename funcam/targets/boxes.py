"""The score of the detection that answers to a given box."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torchvision.ops import box_iou

from funcam.errors import FuncamError

Detections = list[dict[str, torch.Tensor]]


def box_score(
    boxes: torch.Tensor | Sequence[Any], labels: torch.Tensor | Sequence[int] | int, *, iou: float = 0.5
) -> Callable[[Detections], torch.Tensor]:
    """The score of the detection that answers to a box: of those with its label, the one that overlaps it best.

    Args:
        boxes: `[4]` or `[n, 4]`, corners `x0, y0, x1, y1` in pixels of the image.
        labels: the label of the box, or one for each (one label for all boxes will do).
        iou: how much a detection must overlap the box to answer to it, intersection over union.

    Returns:
        A function from detections, one dict for each image, to scores: `[B]` for one box, `[B, n]` for several.
        The score is 0, with a gradient of 0, where no detection answers.

    Raises:
        FuncamError: boxes of another shape, or another number of labels.

    Example:
        >>> found = {"boxes": torch.tensor([[0.0, 0, 9, 9]]), "labels": torch.tensor([3]), "scores": torch.ones(1)}
        >>> box_score([[0, 0, 10, 10], [20, 20, 30, 30]], 3)([found])
        tensor([[1., 0.]])
    """
    wanted = torch.as_tensor(boxes, dtype=torch.float32)
    kinds = torch.as_tensor(labels)
    if wanted.ndim not in (1, 2) or wanted.shape[-1] != 4 or not wanted.numel():
        raise FuncamError(f"boxes have shape {list(wanted.shape)}; expected [4] or [n, 4], corners x0, y0, x1, y1")
    if kinds.is_floating_point() or (kinds.ndim and kinds.shape != wanted.shape[:-1]):
        raise FuncamError(
            f"labels have shape {list(kinds.shape)} and type {kinds.dtype} for boxes of {list(wanted.shape)}; "
            "expected whole numbers, one for each box or one for all"
        )
    rows = wanted.reshape(-1, 4)
    kinds = kinds.expand(len(rows))

    def scores(outputs: Detections) -> torch.Tensor:
        found = torch.stack([_answers(image, rows, kinds, iou) for image in outputs])
        return found[:, 0] if wanted.ndim == 1 else found

    return scores


def _answers(found: dict[str, torch.Tensor], boxes: torch.Tensor, labels: torch.Tensor, iou: float) -> torch.Tensor:
    """The scores `[n]` of the detections of one image that answer to each of the boxes."""
    scores = found["scores"]
    if not len(scores):
        return scores.new_zeros(len(boxes))
    overlap = box_iou(boxes.to(found["boxes"]), found["boxes"].detach())
    overlap = torch.where(labels.to(scores.device)[:, None] == found["labels"], overlap, -1.0)
    best, index = overlap.max(1)
    return torch.where(best >= iou, scores[index], 0.0)
