"""Truth and images brought together: which truth is about which image, in that image's own pixels."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

from funcam.errors import FuncamError, quoted
from funcam.imaging.decoding import opened, orientation_of
from funcam.imaging.reading import SUFFIXES
from funcam.truth.masks import Turned
from funcam.truth.tally import Tally
from funcam.truth.truth import Box, Object, Truth, empty_box

_SLACK = 0.5
"""Half a pixel over the edge is a matter of rounding and cut without a word."""

_LONGEST = 4096
"""Letters of a path: to normalise a text takes the square of the marks on one letter."""

_T = TypeVar("_T")


class Matched(NamedTuple):
    """What `match` brought together.

    Attributes:
        truths: the truth of each image that has one, in the order of the images.
        problems: a line for each kind of problem.
    """

    truths: dict[Path, Truth]
    problems: list[str]


class Frame(NamedTuple):
    """An image's size as it is read, and how it was turned.

    Attributes:
        width: in pixels, upright.
        height: in pixels, upright.
        orientation: the EXIF orientation that turned it there.
    """

    width: int
    height: int
    orientation: int = 1


def match(truths: Mapping[str, Truth], images: Sequence[Path]) -> Matched:
    """The truth of each image, with boxes in the image's pixels as `read_image` gives them: upright.

    An image's truth is the one that names its file, with as many of the folders before it as both tell; without a file
    of that very name the one that differs in its suffix or in case. Boxes are taken as upright. Where the truth tells
    another size of the image, they are brought to the image's: turned, if the size is that of the file before its EXIF
    orientation; else scaled. Boxes that reach over the edge are cut there; what has no area is left out.

    Args:
        truths: the truth by the names of images, from `read_truth`.
        images: the images' paths, from `funcam.imaging.reading.find_images`.

    Returns:
        `(truths, problems)`: truth by path, and one line for each kind of problem (truth without an image, images
        without truth, boxes that were cut, left out, turned, scaled).

    Raises:
        FuncamError: no image has truth, or the boxes are fractions of the images.

    Example:
        >>> match({"dog.jpg": Truth("dog.jpg", (Object((207,), "dog", (0, 0, 9, 9)),))}, [Path("photos/dog.jpg")])
        ... # doctest: +SKIP
        Matched(truths={PosixPath('photos/dog.jpg'): Truth(...)}, problems=[])
    """
    tally = Tally()
    _refuse_fractions(truths)
    named = _named(truths, images, tally)
    truth_of: dict[Path, Truth] = {}
    for path in images:
        if path not in named:
            tally.note("an image has no truth; it is left out", str(path))
            continue
        truth = fitted(replace(truths[named[path]], image=path), image_frame(path), tally)
        if truth.objects:
            truth_of[path] = truth
        else:
            tally.note("no object of an image is left; it is left out", str(path))
    used = set(named.values())
    for name in truths:
        if name not in used:
            tally.note("truth names no image that is given; it is left out", name)
    if not truth_of:
        told = "".join(f"; {line}" for line in tally.lines()[:4])
        raise FuncamError(f"no image has truth ({len(images)} images, truth for {len(truths)}){told}; check the names")
    return Matched(truth_of, tally.lines())


def fitted(truth: Truth, frame: Frame | None, tally: Tally) -> Truth:
    """The truth in the pixels of an image, without the objects that have no area in it.

    Args:
        truth: boxes in pixels of `truth.size`, or of the upright image where that is None.
        frame: the image's; None where it can't be read, and then only empty boxes are left out.
        tally: takes what was done.

    Example:
        >>> truth = Truth("a.jpg", (Object((0,), "cat", (-5.0, 10.0, 30.0, 40.0)),), size=(100, 50))
        >>> fitted(truth, Frame(200, 100), Tally()).objects[0].box
        (0.0, 20.0, 60.0, 80.0)
    """
    where = str(truth.image)
    objects = [each for each in truth.objects if each.box is None or not empty_box(each.box)]
    for _ in range(len(truth.objects) - len(objects)):
        tally.note("a box is inside out or empty; it is left out", where)
    if frame is None:
        return replace(truth, objects=tuple(objects))
    upright = (frame.width, frame.height)
    size = truth.size or upright
    if size != upright and frame.orientation > 4 and size == upright[::-1]:
        tally.note("boxes are in pixels of the file before its EXIF orientation; they are turned with it", where)
        objects = [_turned(each, size, frame.orientation) for each in objects]
    elif size != upright:
        told = f"{size[0]}x{size[1]}, the file is {upright[0]}x{upright[1]}"
        tally.note("the truth tells another size than the image's; boxes are scaled to it", f"{where}: {told}")
        objects = [_scaled(each, upright[0] / size[0], upright[1] / size[1]) for each in objects]
    inside = [each for each in (_cut(each, upright, tally, where) for each in objects) if each]
    return replace(truth, objects=tuple(inside), size=upright)


def image_frame(path: Path) -> Frame | None:
    """The size of an image as `read_image` would give it, from the file's header; None where it can't be read.

    Example:
        >>> image_frame(Path("photos/dog.jpg"))  # doctest: +SKIP
        Frame(width=500, height=375, orientation=1)
    """
    try:
        with opened(path) as image:
            orientation, (width, height) = orientation_of(image), image.size
    except Exception:  # The image itself is read later, and then the reason is told.
        return None
    return Frame(height, width, orientation) if orientation > 4 else Frame(width, height, orientation)


def _refuse_fractions(truths: Mapping[str, Truth]) -> None:
    """Refuse boxes that all lie in the first pixel: measured as pixels, every figure would be nothing."""
    boxes = [(name, each.box) for name, truth in truths.items() for each in truth.objects if each.box]
    sides = [side for _, box in boxes for side in box]
    if any(side % 1 for side in sides) and all(0 <= side <= 1 for side in sides):
        name, box = boxes[0]
        raise FuncamError(
            f"every box of the truth lies in the first pixel of its image (first: {quoted(name)}, "
            f"{', '.join(f'{side:g}' for side in box)}); they seem to be fractions: multiply x by the image's width "
            "and y by its height"
        )


def _named(truths: Mapping[str, Truth], images: Sequence[Path], tally: Tally) -> dict[Path, str]:
    """The name in the truth of each image that has one, each name for one image."""
    exact, loose = _by(truths, _file), _by(truths, _stem)
    wanted: dict[str, list[tuple[int, Path]]] = {}
    for path in images:
        names = exact.get(_file(path.as_posix())) or loose.get(_stem(path.as_posix()), [])
        best = _longest([(_shared(name, path.as_posix()), name) for name in names])
        if len(best) > 1:
            tally.note("several entries of the truth could mean one image; it is left out", str(path))
        elif best:
            wanted.setdefault(best[0][1], []).append((best[0][0], path))
    name_of: dict[Path, str] = {}
    for name, paths in wanted.items():
        best_paths = _longest(paths)
        if len(best_paths) == 1:
            name_of[best_paths[0][1]] = name
        else:
            tally.note("an entry of the truth could mean several images; add the folder to its name", name)
    return name_of


def _longest(scored: Sequence[tuple[int, _T]]) -> list[tuple[int, _T]]:
    """The pairs with the highest score."""
    most = max((score for score, _ in scored), default=0)
    return [pair for pair in scored if pair[0] == most]


def _by(names: Iterable[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    names_by_key: dict[str, list[str]] = {}
    for name in names:
        names_by_key.setdefault(key(name), []).append(name)
    return names_by_key


def _file(name: str) -> str:
    return PurePosixPath(unicodedata.normalize("NFC", name[-_LONGEST:])).name


def _stem(name: str) -> str:
    """The file's name in lower case, without an image's suffix; `ILSVRC2012_val_00000001` has none."""
    file = _file(name).casefold()
    stem, dot, suffix = file.rpartition(".")
    return stem if stem and dot + suffix in SUFFIXES else file


def _shared(one: str, other: str) -> int:
    """How many folders before the file's name two paths share, from the end."""
    pairs = zip(PurePosixPath(one).parts[-2::-1], PurePosixPath(other).parts[-2::-1], strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _turned(object_: Object, size: tuple[int, int], orientation: int) -> Object:
    """An object of the picture as its file stores it, upright: x and y swapped, then rows and columns flipped."""
    if object_.box is None:
        return object_
    (y0, x0, y1, x1), (height, width) = object_.box, size
    if orientation in (7, 8):
        y0, y1 = height - y1, height - y0
    if orientation in (6, 7):
        x0, x1 = width - x1, width - x0
    return replace(object_, box=(x0, y0, x1, y1), mask=object_.mask and Turned(object_.mask, orientation))


def _scaled(object_: Object, across: float, down: float) -> Object:
    """The object in a resized image; its mask is rendered for any size as it is."""
    if object_.box is None:
        return object_
    x0, y0, x1, y1 = object_.box
    return replace(object_, box=(x0 * across, y0 * down, x1 * across, y1 * down))


def _cut(object_: Object, upright: tuple[int, int], tally: Tally, where: str) -> Object | None:
    """The object's part inside the image; None where it has none."""
    if object_.box is None:
        return object_
    width, height = (float(side) for side in upright)
    x0, y0, x1, y1 = object_.box
    box: Box = (max(x0, 0.0), max(y0, 0.0), min(x1, width), min(y1, height))
    if empty_box(box):
        tally.note("a box lies outside of its image; it is left out", where)
        return None
    if max(-x0, -y0, x1 - width, y1 - height) > _SLACK:
        tally.note("a box reaches over the edge of its image; it is cut there", where)
    return replace(object_, box=box)
