"""Scenes: a seed in, an image and the whole truth about it out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import index

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from funcam.scenes.paint import Paint, Plane, ground, paint, paste, place, scrap
from funcam.scenes.shapes import CLASSES, outline

SIZE = 256
"""Side of a scene in pixels, unless another is asked for."""

SUBSETS = ("single", "same", "different", "multiple")
"""One object; 2-3 of one class; 2-4 of different classes; either of the latter two, evenly."""

TRAIN_SEED = 1_000_000
"""Seeds from here on trained the network that ships with funcam; all seeds below are held out."""

_OVERSAMPLING = 2
_MOST = 6  # objects that still find room
_TURN = np.radians(25)


@dataclass(frozen=True)
class Thing:
    """One object of a scene.

    Attributes:
        label: its class.
        box: its tight box, `(x0, y0, x1, y1)` in pixels, the end exclusive.
        mask: its visible pixels, `[H, W]`.
    """

    label: int
    box: tuple[int, int, int, int]
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class Scene:
    """An image and what is in it.

    Attributes:
        image: uint8 RGB `[H, W, 3]`.
        things: all its objects.
    """

    image: NDArray[np.uint8]
    things: tuple[Thing, ...]


def scene(
    seed: int,
    subset: str = "single",
    *,
    labels: Sequence[int | str] | None = None,
    size: int = SIZE,
    difficulty: float = 1.0,
) -> Scene:
    """Draw the scene of a seed: paper shapes on a textured, cluttered ground.

    The same arguments give the same bytes. Another `size` (pixels) gives the same scene at another resolution.
    Colours, textures and clutter are drawn without a look at the class: only the shape tells it.

    Args:
        seed: 0 or more; seeds from `TRAIN_SEED` on trained the shipped network.
        subset: how many objects of which classes are drawn, one of `SUBSETS`.
        labels: the classes of the objects (names or indices), 1 to 6 of them, instead of `subset`'s draw.
        size: side of the image in pixels, 32 or more.
        difficulty: 1 is the data set; down to 0, larger shapes on a quieter ground, for a curriculum.

    Raises:
        ValueError: an argument is outside its range; the message names what was given and what is expected.

    Example:
        >>> picture = scene(7, labels=["star", "ring"])
        >>> picture.image.shape, [CLASSES[thing.label] for thing in picture.things]
        ((256, 256, 3), ['star', 'ring'])
    """
    _check(seed, subset, size, difficulty)
    rng = np.random.default_rng([seed, SUBSETS.index(subset)])
    drawn = _draw_labels(rng, subset)
    chosen = drawn if labels is None else _indices(labels)
    return _render(rng, chosen, size, difficulty)


def scenes(
    n: int, seed: int = 0, subset: str = "single", *, size: int = SIZE, difficulty: float = 1.0
) -> Iterator[Scene]:
    """The `n` scenes of the seeds `seed`, `seed + 1`, ...; see `scene`.

    Raises:
        ValueError: `n` is negative, or an argument is one that `scene` refuses.

    Example:
        >>> [len(picture.things) for picture in scenes(3, subset="single")]
        [1, 1, 1]
    """
    if n < 0:
        raise ValueError(f"n must be 0 or more, got {n}")
    _check(seed, subset, size, difficulty)
    return (scene(seed + i, subset, size=size, difficulty=difficulty) for i in range(n))


def _check(seed: int, subset: str, size: int, difficulty: float) -> None:
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, got {seed}")
    if subset not in SUBSETS:
        raise ValueError(f"subset must be one of {', '.join(SUBSETS)}, got {subset!r}")
    if size < 32:
        raise ValueError(f"size must be 32 pixels or more, got {size}")
    if not 0 <= difficulty <= 1:
        raise ValueError(f"difficulty must lie in 0..1, got {difficulty}")


def _indices(labels: Sequence[int | str]) -> list[int]:
    if isinstance(labels, str) or not 1 <= len(labels) <= _MOST:
        raise ValueError(f"labels must be a sequence of 1 to {_MOST} classes, got {labels!r}")
    return [_index(label) for label in labels]


def _index(label: int | str) -> int:
    if isinstance(label, str):
        if label not in CLASSES:
            raise ValueError(f"label must be one of {', '.join(CLASSES)}, got {label!r}")
        return CLASSES.index(label)
    if not 0 <= label < len(CLASSES):
        raise ValueError(f"label must lie in 0..{len(CLASSES) - 1}, got {label}")
    return index(label)


def _draw_labels(rng: Generator, subset: str) -> list[int]:
    if subset == "multiple":
        subset = ("same", "different")[rng.integers(2)]
    order = [int(label) for label in rng.permutation(len(CLASSES))]
    if subset == "single":
        return order[:1]
    if subset == "same":
        return order[:1] * int(rng.integers(2, 4))
    return order[: rng.integers(2, 5)]


def _render(rng: Generator, labels: Sequence[int], size: int, difficulty: float) -> Scene:
    side = size * _OVERSAMPLING
    under = paint(rng, difficulty)
    canvas = ground(rng, side, under)
    for _ in range(round(difficulty * rng.integers(10, 22))):
        paste(canvas, scrap(rng), paint(rng, difficulty, against=under))
    covers = _paste_things(rng, canvas, labels, under, difficulty)
    grain = rng.normal(0, 0.02, (160, 160, 1)).astype(np.float32)
    image = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    image = image + cv2.resize(grain, (size, size), interpolation=cv2.INTER_LINEAR)[..., None]
    things = tuple(_thing(label, cover, size) for label, cover in zip(labels, covers, strict=True))
    return Scene(np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8), things)


def _paste_things(rng: Generator, canvas: Plane, labels: Sequence[int], under: Paint, difficulty: float) -> list[Plane]:
    """Put the objects onto the canvas; returns the share of every pixel that shows each of them."""
    covers: list[Plane] = []
    for label, (x, y, radius) in zip(labels, _spots(rng, len(labels), difficulty), strict=True):
        angle, mirrored = rng.uniform(-_TURN, _TURN), bool(rng.integers(2))
        contours = place(outline(label), radius, angle, mirrored, np.array([x, y]))
        cover = paste(canvas, contours, paint(rng, difficulty, against=under))
        covers = [below * (1 - cover) for below in covers] + [cover]
    return covers


def _spots(rng: Generator, n: int, difficulty: float) -> list[tuple[float, float, float]]:
    """Middles and radii of `n` circles inside the image that overlap little, in units of its side."""
    least, most = (0.32 - 0.18 * difficulty, 0.42 - 0.12 * difficulty) if n == 1 else (0.12, 0.19)
    while True:
        spots: list[tuple[float, float, float]] = []
        for _ in range(40 * n):
            radius = rng.uniform(least, most)
            x, y = rng.uniform(radius, 1 - radius, 2)
            if all(np.hypot(x - a, y - b) > 0.85 * (radius + r) for a, b, r in spots):
                spots.append((x, y, radius))
            if len(spots) == n:
                return spots


def _thing(label: int, cover: Plane, size: int) -> Thing:
    mask = cv2.resize(cover, (size, size), interpolation=cv2.INTER_AREA) > 0.5
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    return Thing(label, box, mask)
