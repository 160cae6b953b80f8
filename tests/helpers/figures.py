"""The little metrics that the figures of the assets' README need. A box is ``(x0, y0, x1, y1)`` in the map's pixels."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]
Boxes = NDArray[np.float64]

_LEVELS = np.arange(20) / 20
_OVERLAPS = (0.3, 0.5, 0.7)


@dataclass(frozen=True)
class Photo:
    """A photo with the boxes of its class, in pixels of the file."""

    path: Path
    label: int
    boxes: Boxes


def read_photos(folder: Path) -> list[Photo]:
    """The photos of ``boxes.csv``, sorted by name."""
    rows: dict[str, list[dict[str, str]]] = {}
    with (folder / "boxes.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            rows.setdefault(row["file"], []).append(row)
    return [
        Photo(
            folder / name,
            int(found[0]["class_index"]),
            np.array([[float(row[key]) for key in ("x0", "y0", "x1", "y1")] for row in found]),
        )
        for name, found in sorted(rows.items())
    ]


def mask_of(boxes: Boxes, side: int) -> Mask:
    """The pixels that a box touches, as the README's figures count them (they cover 51.6 % of the image)."""
    mask = np.zeros((side, side), bool)
    for x0, y0, x1, y1 in boxes:
        mask[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = True
    return mask


def points_at(saliency: Map, mask: Mask) -> bool:
    """The pointing game: whether the map's first maximum lies in the mask."""
    return bool(mask.flat[saliency.argmax()])


def energy_in(saliency: Map, mask: Mask) -> float:
    """The share of the map's sum that lies in the mask; 0 for a map of zeros."""
    return float(saliency[mask].sum() / max(float(saliency.sum()), 1e-12))


def coverage_of(saliency: Map, boxes: Boxes) -> float:
    """The mean share of each box where the map, whose maximum is 1, is above a half."""
    return float(np.mean([(saliency[mask_of(box[None], len(saliency))] > 0.5).mean() for box in boxes]))


def box_overlaps(saliency: Map, boxes: Boxes) -> NDArray[np.float64]:
    """For each threshold, the overlap (IoU) of the largest contour's box with the best of the boxes."""
    return np.array([_overlap(_largest_box(saliency > level), boxes) for level in _LEVELS])


def max_box_acc(overlaps: NDArray[np.float64]) -> tuple[float, ...]:
    """MaxBoxAccV2 in percent from ``[photos, thresholds]``: for each overlap asked for, at the best threshold."""
    return tuple(100 * float((overlaps >= least).mean(0).max()) for least in _OVERLAPS)


def _largest_box(mask: Mask) -> NDArray[np.float64]:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return np.zeros(4)
    x, y, width, height = cv2.boundingRect(max(contours, key=cv2.contourArea))
    return np.array([x, y, x + width, y + height], float)


def _overlap(box: NDArray[np.float64], boxes: Boxes) -> float:
    corner = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = corner.clip(0).prod(1)
    area = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return float((shared / (area - shared)).max())
