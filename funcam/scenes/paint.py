"""Colours, textures and clutter: everything that must say nothing about the class."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from funcam.scenes.shapes import Contour

Plane = NDArray[np.float32]
"""An image of floats in 0..1: `[H, W]`, or `[H, W, 3]` for RGB."""

_PATTERNS = ("plain", "clouds", "stripes", "dots", "checks")
_SUBPIXEL = 4  # fractional bits of the polygon corners


@dataclass(frozen=True)
class Paint:
    """Two tones of one colour, and the pattern in which they alternate.

    Attributes:
        tones: the two, RGB in 0..1 for each pixel.
        pattern: its name.
        angle: in which it runs, in radians.
        period: of the pattern, as a share of the image's side.
        clouds: the random grid of the pattern `clouds`.
    """

    tones: tuple[Plane, Plane]
    pattern: str
    angle: float
    period: float
    clouds: Plane

    @property
    def colour(self) -> Plane:
        return np.asarray((self.tones[0] + self.tones[1]) / 2, dtype=np.float32)


def paint(rng: Generator, difficulty: float, against: Paint | None = None) -> Paint:
    """Draw a paint; with `against`, one of another colour. Difficulty brings out patterns and likens colours."""
    # The least distance of two colours, RGB in 0..1; every colour leaves at least a hundredth of all others.
    apart = 0.6 - 0.32 * difficulty
    while True:
        hsv = np.array([[[rng.uniform(0, 360), rng.uniform(0.1, 0.68), rng.uniform(0.3, 0.97)]]], dtype=np.float32)
        base = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0]
        towards = float(rng.integers(2))
        other = base + difficulty * rng.uniform(0.1, 0.3) * (towards - base)
        drawn = Paint(
            tones=(base, np.asarray(other, dtype=np.float32)),
            pattern=_PATTERNS[rng.integers(len(_PATTERNS))],
            angle=rng.uniform(0, np.pi),
            period=rng.uniform(0.03, 0.09),
            clouds=rng.random((9, 9), dtype=np.float32),
        )
        if against is None or np.linalg.norm(drawn.colour - against.colour) > apart:
            return drawn


def coat(paint: Paint, side: int, box: tuple[int, int, int, int]) -> Plane:
    """The paint on the pixels of `box` (x0, y0, x1, y1) of a `side` x `side` image: RGB `[y1-y0, x1-x0, 3]`."""
    x0, y0, x1, y1 = box
    x = (np.arange(x0, x1, dtype=np.float32) / side)[None, :]
    y = (np.arange(y0, y1, dtype=np.float32) / side)[:, None]
    wave = np.float32(2 * np.pi / paint.period)
    cos, sin = np.float32(np.cos(paint.angle)), np.float32(np.sin(paint.angle))
    along, across = np.sin(wave * (cos * x + sin * y)), np.sin(wave * (cos * y - sin * x))
    match paint.pattern:
        case "stripes":
            level = along * 4
        case "dots":
            level = (along * across - 0.25) * 6
        case "checks":
            level = along * across * 8
        case "clouds":
            level = (cv2.resize(paint.clouds, (x1 - x0, y1 - y0), interpolation=cv2.INTER_CUBIC) - 0.5) * 4
        case _:
            level = np.full((y1 - y0, x1 - x0), -0.5, dtype=np.float32)
    mix = np.clip(level + 0.5, 0, 1)[..., None]
    return np.asarray(paint.tones[0] + mix * (paint.tones[1] - paint.tones[0]), dtype=np.float32)


def paste(canvas: Plane, contours: list[Contour], paint: Paint) -> Plane:
    """Lay a painted paper cutting with a soft shadow onto the square `canvas` (RGB, changed in place).

    `contours` are in units of the canvas's side. Returns the covered share of every pixel, `[side, side]`.
    """
    side = canvas.shape[0]
    soft = side / 90
    pad = int(4 * soft)
    corners = np.concatenate(contours) * side
    x0, y0 = np.clip(np.floor(corners.min(axis=0)).astype(int) - pad, 0, side - 1)
    x1, y1 = np.clip(np.ceil(corners.max(axis=0)).astype(int) + pad, 1, side)
    cover = np.zeros((y1 - y0, x1 - x0), dtype=np.uint8)
    points = [np.rint((c * side - (x0, y0)) * 2**_SUBPIXEL).astype(np.int32) for c in contours]
    cv2.fillPoly(cover, points, 255, cv2.LINE_AA, _SUBPIXEL)
    alpha = cover.astype(np.float32) / 255
    slide = np.array([[1, 0, 0.8 * soft], [0, 1, 1.2 * soft]], dtype=np.float32)
    shadow = cv2.GaussianBlur(cv2.warpAffine(alpha, slide, (x1 - x0, y1 - y0)), (0, 0), soft)
    view = canvas[y0:y1, x0:x1]
    view *= 1 - 0.45 * shadow[..., None]
    view += alpha[..., None] * (coat(paint, side, (x0, y0, x1, y1)) - view)
    whole = np.zeros((side, side), dtype=np.float32)
    whole[y0:y1, x0:x1] = alpha
    return whole


def ground(rng: Generator, side: int, paint: Paint) -> Plane:
    """A `side` x `side` ground: the paint under slow changes of light, RGB."""
    light = cv2.resize(rng.uniform(0.82, 1.12, (4, 4)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    return coat(paint, side, (0, 0, side, side)) * light[..., None]


def scrap(rng: Generator) -> list[Contour]:
    """Draw a piece of clutter that is of no class: a ribbon, a stick or a crooked blob; in units of the side."""
    spine = np.linspace(-0.5, 0.5, 24) * rng.uniform(0.12, 0.5)
    kind = rng.integers(3)
    if kind == 0:  # a waving ribbon
        width = np.full_like(spine, rng.uniform(0.008, 0.022))
        wave = rng.uniform(0.015, 0.04) * np.sin(spine * rng.uniform(12, 30) + rng.uniform(0, 6))
    elif kind == 1:  # a straight stick
        width = np.full_like(spine, rng.uniform(0.006, 0.03))
        wave = np.zeros_like(spine)
    else:  # a crooked blob
        spine *= 0.6
        turn = np.linspace(0, np.pi, 24)
        width = rng.uniform(0.02, 0.05) * np.sin(turn) * (1 + 0.3 * np.sin(turn * rng.uniform(2, 4)))
        wave = rng.uniform(-0.06, 0.06) * np.sin(turn) + 0.015 * np.sin(turn * rng.uniform(2, 5))
    edge = np.concatenate([np.stack([spine, wave + width], 1), np.stack([spine, wave - width], 1)[::-1]])
    return [place([edge], 1, rng.uniform(0, 2 * np.pi), False, rng.uniform(0, 1, 2))[0]]


def place(contours: list[Contour], radius: float, angle: float, mirrored: bool, middle: Contour) -> list[Contour]:
    """Mirror, turn by `angle` (radians), scale by `radius` and move to `middle` (x, y)."""
    cos, sin = np.cos(angle), np.sin(angle)
    move = radius * np.array([[cos, sin], [-sin, cos]])
    mirror = np.array([-1 if mirrored else 1, 1])
    return [contour * mirror @ move + middle for contour in contours]
