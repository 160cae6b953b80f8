"""The classes: outlines that differ in nothing but shape."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Contour = NDArray[np.float64]
"""A closed polygon, `[points, 2]` as (x, y); y points down, as in an image."""


def _arc(radius: float, start: float, stop: float, points: int = 48) -> Contour:
    angle = np.linspace(start, stop, points, endpoint=False)
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _circle(radius: float) -> Contour:
    return _arc(radius, 0, 2 * np.pi)


def _regular(corners: int, start: float) -> Contour:
    return _arc(1, start, start + 2 * np.pi, corners)


def _disk() -> list[Contour]:
    return [_circle(1)]


def _ring() -> list[Contour]:
    return [_circle(1), _circle(0.56)]


def _square() -> list[Contour]:
    return [_regular(4, np.pi / 4)]


def _triangle() -> list[Contour]:
    return [_regular(3, -np.pi / 2)]


def _star() -> list[Contour]:
    corners = _regular(10, -np.pi / 2)
    corners[1::2] *= 0.42
    return [corners]


def _cross() -> list[Contour]:
    a, b = 0.31, 0.95
    quarter = [(a, -b), (a, -a), (b, -a)]
    turned = [(x, y) for x, y in quarter]
    corners = list(turned)
    for _ in range(3):
        turned = [(-y, x) for x, y in turned]
        corners += turned
    return [np.array(corners)]


def _heart() -> list[Contour]:
    t = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return [np.stack([x, y], axis=1)]


def _crescent() -> list[Contour]:
    # The outer arc runs from horn to horn; the inner one goes back on a circle through the same two horns.
    horn, shift = 0.95, 0.42
    tip = np.array([np.cos(horn), np.sin(horn)])
    inner = float(np.hypot(tip[0] - shift, tip[1]))
    bend = float(np.arctan2(tip[1], tip[0] - shift))
    back = _arc(inner, 2 * np.pi - bend, bend) + np.array([shift, 0])
    return [np.concatenate([_arc(1, horn, 2 * np.pi - horn), back])]


def _arrow() -> list[Contour]:
    right = np.array([(0, -1), (0.78, -0.1), (0.27, -0.1), (0.27, 1)])
    left = right[:0:-1] * (-1, 1)
    return [np.concatenate([right, left])]


def _bolt() -> list[Contour]:
    return [np.array([(0.3, -1), (-0.55, 0.12), (-0.05, 0.12), (-0.3, 1), (0.58, -0.24), (0.08, -0.24), (0.62, -1)])]


_OUTLINES: dict[str, Callable[[], list[Contour]]] = {
    "arrow": _arrow,
    "bolt": _bolt,
    "crescent": _crescent,
    "cross": _cross,
    "disk": _disk,
    "heart": _heart,
    "ring": _ring,
    "square": _square,
    "star": _star,
    "triangle": _triangle,
}

CLASSES: tuple[str, ...] = tuple(_OUTLINES)
"""The class names in the order of the network's outputs."""


def outline(label: int) -> list[Contour]:
    """The contours of class `label`, upright, in the unit circle around the middle of its bounding box.

    A second contour is a hole.

    Example:
        >>> [contour.shape for contour in outline(CLASSES.index("ring"))]
        [(48, 2), (48, 2)]
    """
    contours = _OUTLINES[CLASSES[label]]()
    corners = np.concatenate(contours)
    middle = (corners.min(axis=0) + corners.max(axis=0)) / 2
    reach = np.linalg.norm(corners - middle, axis=1).max()
    return [(contour - middle) / reach for contour in contours]
