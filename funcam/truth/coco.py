"""Ground truth from COCO's JSON: boxes, polygons, run lengths."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from funcam.errors import FuncamError, shown
from funcam.files import MIB, exists, parse_json, read_bytes
from funcam.imaging.bounds import MOST_PIXELS
from funcam.truth.large_json import about, name_of, stem
from funcam.truth.masks import Polygons, RunLengths, run_lengths
from funcam.truth.names import Labels
from funcam.truth.tally import Tally
from funcam.truth.truth import MOST_ENTRIES, Box, Mask, Object, Truth, refuse_over

_LARGEST = 64 * MIB
_WHOLE = 16 * MIB
"""A larger file is read entry by entry where it is known what images are compared."""
_MOST_VALUES = 2**22
_MOST_POINTS = 2**15
_MOST_RUNS = 2**20
_SEPARATORS = (b",", b":", b"[", b"{")
_ADVICE = "give the images that are compared with it, or keep those and save them"
_EXPECTED = "expected COCO's JSON: an object with the lists 'images', 'annotations' and 'categories'"


def read_coco(path: Path, labels: Labels, tally: Tally, images: Iterable[Path] = ()) -> dict[str, Truth]:
    """The truth in a JSON file as COCO, LVIS and CVAT write it (`instances_*.json`).

    Boxes are `[x, y, width, height]`; a segmentation is a list of polygons or run lengths, compressed or not, and
    is rendered when it is asked for. An object without a box gets the one around its segmentation.

    Args:
        path: the file.
        labels: from names to classes, see `names.labeller`.
        tally: takes the problems; an object with one is left out.
        images: those that are compared; of a file of more than 16 MiB nothing else is kept.

    Returns:
        The truth by `file_name`, for the images that the file lists with at least one object.

    Raises:
        FuncamError: the file can't be read, is larger than 2 GiB (64 MiB where no images are given), holds more than
            131,072 images, annotations and categories, or is not COCO's JSON.

    Example:
        >>> read_coco(Path("instances_val2017.json"), labels, Tally())["000000000139.jpg"].multiple()  # doctest: +SKIP
        True
    """
    stems = {stem(each.name) for each in images}
    large = stems and exists(path) and os.path.getsize(path) > _WHOLE
    content = about(path, stems, _EXPECTED, _MOST_VALUES) if large else read_json(path)
    entries, annotations, categories = _parts(content, path)
    names = {_key(entry.get("id")): _text(entry.get("name")) for entry in categories}
    by_id = {_key(entry.get("id")): entry for entry in entries if name_of(entry)}
    by_id.pop(None, None)  # without an id, nothing belongs to it
    objects_of: dict[str, list[Object]] = {}
    sizes: dict[str, tuple[int, int] | None] = {}
    for annotation in annotations:
        where = f"{path.name}, annotation {shown(annotation.get('id', '?'))}"
        image = by_id.get(_key(annotation.get("image_id")))
        if image is None:
            tally.note("an annotation belongs to no image of the file; it is left out", where)
            continue
        size = _sides(image.get("width"), image.get("height"))
        object_ = _object(annotation, names, size, labels, tally, where)
        if object_:
            objects_of.setdefault(name_of(image), []).append(object_)
            sizes[name_of(image)] = size
    return {name: Truth(name, tuple(objects), sizes[name]) for name, objects in objects_of.items()}


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        FuncamError: it can't be read, is larger than 64 MiB, holds more values than fit into the memory, or is no JSON.

    Example:
        >>> sorted(read_json(Path("instances_val2017.json")))  # doctest: +SKIP
        ['annotations', 'categories', 'images', 'info', 'licenses']
    """
    name = repr(str(path))
    data = read_bytes(path, most=_LARGEST, name=name, advice=_ADVICE)
    refuse_over(sum(map(data.count, _SEPARATORS)), _MOST_VALUES, "values", name)
    return parse_json(data, name, _EXPECTED, most=_MOST_VALUES)


def _parts(content: Any, path: Path) -> list[list[Mapping[Any, Any]]]:
    parts = [content.get(key) if isinstance(content, dict) else None for key in ("images", "annotations", "categories")]
    if not all(isinstance(part, list) for part in parts):
        raise FuncamError(f"{str(path)!r} is not COCO's; {_EXPECTED}")
    refuse_over(
        sum(len(part or ()) for part in parts), MOST_ENTRIES, "images, annotations and categories", repr(str(path))
    )
    return [[entry for entry in part or [] if isinstance(entry, dict)] for part in parts]


def _object(
    annotation: Mapping[Any, Any],
    names: Mapping[Any, str],
    size: tuple[int, int] | None,
    labels: Labels,
    tally: Tally,
    where: str,
) -> Object | None:
    category = _key(annotation.get("category_id"))
    name = names.get(category, "")
    try:
        classes = labels(name) if name else ()
        if not classes:
            raise FuncamError(f"category {shown(category)} has no name in 'categories'")
    except FuncamError as error:
        tally.note(f"{error}; its objects are left out", where)
        return None
    try:
        mask = _mask(annotation.get("segmentation"), size)
    except FuncamError as error:
        tally.note(f"{error}; the box counts alone", where)
        mask = None
    box = _box(annotation.get("bbox")) or _around(mask)
    if box is None:
        tally.note("an annotation has no 'bbox' of four numbers and no segmentation; it is left out", where)
        return None
    return Object(classes, name, box, mask, crowd=annotation.get("iscrowd") in (1, True))


def _mask(segmentation: Any, size: tuple[int, int] | None) -> Mask | None:
    if not segmentation:
        return None
    if isinstance(segmentation, dict):
        return _run_lengths(segmentation)
    if size is None:
        raise FuncamError("an image with polygons has no width and height")
    rings = [_numbers(ring) for ring in segmentation] if isinstance(segmentation, list) else [()]
    if not all(len(ring) >= 6 and len(ring) % 2 == 0 for ring in rings):
        raise FuncamError("a polygon is no list of at least three points x, y")
    if sum(map(len, rings)) > 2 * _MOST_POINTS:
        raise FuncamError(f"the polygons of an object have more than {_MOST_POINTS:,} points")
    return Polygons(tuple(rings), size)


def _run_lengths(segmentation: Mapping[Any, Any]) -> RunLengths:
    counts, sides = segmentation.get("counts"), segmentation.get("size")
    if isinstance(counts, list) and all(type(count) is int for count in counts):
        counts = tuple(counts)
    size = _sides(*reversed(sides)) if isinstance(sides, list) and len(sides) == 2 else None
    if size is None or not isinstance(counts, str | tuple):
        raise FuncamError("run lengths have no 'counts' and 'size' of a picture")
    if len(counts) > _MOST_RUNS:
        raise FuncamError(f"run lengths hold more than {_MOST_RUNS:,} numbers or letters")
    try:
        lengths = run_lengths(counts)
    except OverflowError:
        raise FuncamError("run lengths hold a number beyond 64 bits") from None
    pixels = size[0] * size[1]
    # A million lengths within a picture add up to no more than 64 bits.
    if ((lengths < 0) | (lengths > pixels)).any() or lengths.sum() != pixels:
        raise FuncamError("run lengths don't add up to the size of the image")
    return RunLengths(counts, size)


def _box(value: Any) -> Box | None:
    numbers = _numbers(value)
    if len(numbers) != 4:
        return None
    x, y, width, height = numbers
    return x, y, x + width, y + height


def _around(mask: Mask | None) -> Box | None:
    if isinstance(mask, Polygons):
        xs, ys = ([value for ring in mask.rings for value in ring[axis::2]] for axis in (0, 1))
        return min(xs), min(ys), max(xs), max(ys)
    return mask.box() if isinstance(mask, RunLengths) else None


def _sides(width: Any, height: Any) -> tuple[int, int] | None:
    """The width and height of a picture that could be read; None where they are none."""
    if type(width) is not int or type(height) is not int:
        return None
    return (width, height) if width > 0 and height > 0 and width * height <= MOST_PIXELS else None


def _numbers(value: Any) -> tuple[float, ...]:
    """A list of numbers; empty where it is none, or where one is beyond all pixels."""
    if not isinstance(value, list) or not all(type(entry) in (int, float) and abs(entry) < 1e9 for entry in value):
        return ()
    return tuple(float(entry) for entry in value)


def _key(value: Any) -> Any:
    """An id that can be looked up; ids are numbers or text, and anything may stand in a file."""
    return value if isinstance(value, int | str) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else shown(value)
