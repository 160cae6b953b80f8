"""The score of the detection that answers to a given box."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torchvision.ops import box_iou

from funcam.errors import FuncamError, finite_number, shown
from funcam.targets.concrete import as_tensor

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
        FuncamError: boxes of another shape, another number of labels, an overlap that is no share; or the model
            returned no detections.

    Example:
        >>> scene = {"boxes": torch.tensor([[0.0, 0, 9, 9]]), "labels": torch.tensor([3]), "scores": torch.ones(1)}
        >>> box_score([[0, 0, 10, 10], [20, 20, 30, 30]], 3)([scene])
        tensor([[1., 0.]])
    """
    corners, kinds = _numbers("boxes", boxes), _numbers("labels", labels)
    if corners.ndim not in (1, 2) or corners.shape[-1] != 4 or not corners.numel():
        raise FuncamError(f"boxes have shape {list(corners.shape)}; expected [4] or [n, 4], corners x0, y0, x1, y1")
    if kinds.is_floating_point() or kinds.dtype == torch.bool or (kinds.ndim and kinds.shape != corners.shape[:-1]):
        raise FuncamError(
            f"labels have shape {list(kinds.shape)} and type {kinds.dtype} for boxes of {list(corners.shape)}; "
            "expected whole numbers, one for each box or one for all"
        )
    if not 0 <= finite_number("iou", iou) <= 1:
        raise FuncamError(f"iou is {iou}; expected a share from 0 to 1")
    rows = corners.float().reshape(-1, 4)
    kinds = kinds.expand(len(rows))

    def scores(outputs: Detections) -> torch.Tensor:
        _check_detections(outputs)
        answers = torch.stack([_answers(image, rows, kinds, iou) for image in outputs])
        return answers[:, 0] if corners.ndim == 1 else answers

    return scores


def _numbers(what: str, values: Any) -> torch.Tensor:
    try:
        tensor = as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise FuncamError(f"{what} are {shown(values)}; expected numbers, in lists or a tensor") from error
    if tensor.is_complex():
        raise FuncamError(f"{what} have type {tensor.dtype}; expected real numbers")
    return tensor


def _check_detections(outputs: Any) -> None:
    parts = {"boxes", "labels", "scores"}
    if not isinstance(outputs, list | tuple) or not all(isinstance(x, Mapping) and parts <= set(x) for x in outputs):
        raise FuncamError(
            f"box_score reads detections, for each image a dict of boxes, labels and scores, and the model returned a "
            f"{type(outputs).__name__}; give it a detector: explain(funcam.detector(model), images, box_score(...))"
        )


def _answers(
    detections: Mapping[str, torch.Tensor], boxes: torch.Tensor, labels: torch.Tensor, iou: float
) -> torch.Tensor:
    """The scores `[n]` of the detections of one image that answer to each of the boxes."""
    scores = detections["scores"]
    if not len(scores):
        return scores.new_zeros(len(boxes))
    overlap = box_iou(boxes.to(detections["boxes"]), detections["boxes"].detach())
    overlap = torch.where(labels.to(scores.device)[:, None] == detections["labels"], overlap, -1.0)
    best, index = overlap.max(1)
    return torch.where(best >= iou, scores[index], 0.0)
