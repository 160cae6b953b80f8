"""What is known about an image: its objects, with classes, boxes and masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from funcam.errors import FuncamError

Box: TypeAlias = tuple[float, float, float, float]
"""`(x0, y0, x1, y1)`: the corners, in pixels; `(0, 0, width, height)` is the whole image."""

Mask: TypeAlias = Callable[[int, int], NDArray[np.bool_]]
"""`mask(height, width)` is the object's pixels, bool `[height, width]`, in the image resized to that size."""

MOST_ENTRIES = 2**17
"""So many rows, lines, annotations and images a file of truth may have: each takes some microseconds and a kilobyte."""


@dataclass(frozen=True, slots=True)
class Object:
    """One object of an image.

    Attributes:
        labels: the network's classes that fit it, best known first; empty where the truth names no class.
        name: what the truth calls it.
        box: its box, in pixels of the image, upright as `read_image` gives it; None where the truth
            tells the class alone.
        mask: renders its pixels when it is called; None where the truth has a box alone.
        crowd: several objects under one mark (COCO's `iscrowd`).

    Example:
        >>> Object((281, 282), "cat", (10.0, 20.0, 60.0, 90.0)).label
        281
    """

    labels: tuple[int, ...]
    name: str
    box: Box | None
    mask: Mask | None = None
    crowd: bool = False

    @property
    def label(self) -> int | None:
        """The first of the classes that fit, or None."""
        return self.labels[0] if self.labels else None


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known about one image.

    Attributes:
        image: the image's file; as a reader returns it, the name that the truth uses.
        objects: its objects, in the order of the truth.
        size: the `(width, height)` that the boxes are in pixels of, where the truth says it. After `match` it is
            the size of the upright image.

    Example:
        >>> cat, dog = Object((281,), "cat", (0, 0, 5, 5)), Object((207,), "dog", (3, 3, 9, 9))
        >>> truth = Truth("pets.jpg", (cat, dog))
        >>> truth.labels, truth.multiple(), truth.multiple(281)
        ((281, 207), True, False)
    """

    image: Path | str
    objects: tuple[Object, ...]
    size: tuple[int, int] | None = None

    @property
    def labels(self) -> tuple[int, ...]:
        """The first class of each object, each once."""
        return tuple(dict.fromkeys(object_.labels[0] for object_ in self.objects if object_.labels))

    def of(self, label: int | None = None) -> tuple[Object, ...]:
        """The objects with a box that the class fits; `None`: of any class. An object without classes fits each."""
        located = (object_ for object_ in self.objects if object_.box is not None)
        return tuple(each for each in located if label is None or not each.labels or label in each.labels)

    def multiple(self, label: int | None = None) -> bool:
        """Whether there are several objects (or a crowd) of the class; `None`: of any class."""
        objects = self.of(label)
        return len(objects) > 1 or any(object_.crowd for object_ in objects)

    def single(self, label: int | None = None) -> bool:
        """Whether there is exactly one object of the class; `None`: of any class."""
        return len(self.of(label)) == 1 and not self.multiple(label)


class TruthSet(NamedTuple):
    """What a reader found.

    Attributes:
        by_file: the truth by the name that it gives the image.
        problems: a line for each kind of problem.
    """

    by_file: dict[str, Truth]
    problems: list[str]


def refuse_over(count: int, most: int, what: str, name: str) -> None:
    """Do nothing if a file of truth holds no more than so many of something.

    Raises:
        FuncamError: it holds more.

    Example:
        >>> refuse_over(200_000, MOST_ENTRIES, "rows", "'a.csv'")
        Traceback (most recent call last):
        funcam.errors.FuncamError: 'a.csv' has more than 131,072 rows; keep the images that are compared and save those
    """
    if count > most:
        raise FuncamError(f"{name} has more than {most:,} {what}; keep the images that are compared and save those")


def empty_box(box: Box) -> bool:
    """Whether a box is inside out or has no area.

    Example:
        >>> empty_box((5, 0, 1, 9)), empty_box((0, 0, 1, 9))
        (True, False)
    """
    return not (box[2] > box[0] and box[3] > box[1])
