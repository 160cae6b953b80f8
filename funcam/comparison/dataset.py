"""What is compared on: images from files or scenes, with what is known of them, loaded one at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from funcam.errors import FuncamError
from funcam.imaging.reading import Pixels, read_image
from funcam.truth import Box, Object, Truth
from funcam.truth.masks import resized

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from funcam.scenes import Scene

_SEED = 5_000_000  # of the first scene: behind those that trained the network in the package
_SUBSETS = ("single", "multiple")


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Example:
    """An image of a data set.

    Attributes:
        name: its name, once in a data set.
        load: reads it, uint8 RGB `[H, W, 3]`.
        know: tells what is known of it, when it is asked for the first time.
        source: by what a comparison that goes on tells that the image has changed: its file, or words that stand for
            these very pixels and this truth; "" for whatever `load` gives.
    """

    name: str
    load: Callable[[], Pixels]
    know: Callable[[], Truth | None] = field(default=_nothing)
    source: Path | str = ""

    @cached_property
    def truth(self) -> Truth | None:
        """The objects on it, boxes in its pixels; None if nothing is known."""
        return self.know()

    @property
    def subset(self) -> str:
        """`single` or `multiple` objects, of whatever class; "" if nothing is known."""
        if self.truth is None:
            return ""
        return "multiple" if self.truth.multiple() else "single"


def check_masks(examples: Sequence[Example]) -> None:
    """Refuse a data set whose objects all have a box alone.

    Raises:
        FuncamError: maps can't be measured against masks.
    """
    objects = (each for example in examples if example.truth is not None for each in example.truth.objects)
    first = next(objects, None)  # (a scene is drawn when its truth is asked for: the first mask is enough)
    if first is not None and first.mask is None and all(each.mask is None for each in objects):
        raise FuncamError(
            "maps are to be measured against masks, and no object of the truth has one; measure against boxes, or give "
            "truth with masks (COCO's JSON, or PNG files of them)"
        )


def image_examples(paths: Sequence[Path], truths: Mapping[Path, Truth] | None = None) -> list[Example]:
    """Image files, each with its truth where there is any.

    Example:
        >>> image_examples([Path("photos/dog.jpg")])[0].subset
        ''
    """
    known = truths or {}
    return [Example(str(path), partial(read_image, path), partial(known.get, path), path) for path in paths]


def scene_examples(count: int, first: int = _SEED) -> list[Example]:
    """Scenes with known truth: one half with a single object, the other with several, of one class or of several.

    Example:
        >>> [example.name for example in scene_examples(2)]
        ['scene 5000000', 'scene 5000001 (multiple)']
    """
    return [_scene(first + number, _SUBSETS[number % 2]) for number in range(count)]


def _scene(seed: int, subset: str) -> Example:
    name = f"scene {seed}" if subset == "single" else f"scene {seed} ({subset})"
    return Example(name, lambda: _drawn(seed, subset).image, partial(_truth_of, seed, subset, name), name)


@lru_cache(maxsize=64)  # the pixels and the truth of a scene are asked for one after the other
def _drawn(seed: int, subset: str) -> Scene:
    from funcam.scenes import scene

    return scene(seed, subset)


def _truth_of(seed: int, subset: str, name: str) -> Truth:
    from funcam.scenes import CLASSES

    drawn = _drawn(seed, subset)
    objects = tuple(
        Object((thing.label,), CLASSES[thing.label], _box(thing.box), partial(_mask_of, seed, subset, number))
        for number, thing in enumerate(drawn.things)
    )
    height, width = drawn.image.shape[:2]
    return Truth(name, objects, (width, height))


def _mask_of(seed: int, subset: str, number: int, height: int, width: int) -> NDArray[np.bool_]:
    return resized(_drawn(seed, subset).things[number].mask, height, width)


def _box(box: tuple[int, int, int, int]) -> Box:
    x0, y0, x1, y1 = map(float, box)
    return x0, y0, x1, y1
