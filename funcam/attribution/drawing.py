"""An explanation as pictures: heatmaps and overlays, slices of volumes and clips, strips of signals, and panels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from funcam.attribution.sizing import refuse_large, small_row
from funcam.attribution.telling import context_of, explained, gives_pixels, title_of
from funcam.errors import FuncamError, whole_number
from funcam.imaging.arrays import as_values
from funcam.imaging.colormaps import Colormap
from funcam.imaging.fit import View, onto_image
from funcam.imaging.given import as_image, as_images
from funcam.imaging.panel import PanelRow, panel
from funcam.imaging.reading import Pixels
from funcam.imaging.render import heatmap, overlay, signed_picture
from funcam.imaging.strips import strip
from funcam.imaging.volumes import at_slices, slices_of

if TYPE_CHECKING:
    from funcam.attribution.explanation import Explanation

_MOST_IMAGES = 8
_MOST_SLICES = 8
_LEAST_SIDE = 224  # of a picture that shows a map of a few cells alone


@dataclass(frozen=True)
class Look:
    """How maps are coloured, and how much of the picture the hottest colour covers."""

    colormap: Colormap
    alpha: float


def map_of(explanation: Explanation, index: int, target: int) -> NDArray[np.float32]:
    """One map `[*S]`; for a method that gives pixels `[channels, *S]`.

    Raises:
        FuncamError: there is no such image or target.
    """
    count, targets = len(explanation.targets), explanation.targets[0:1].numel()
    for name, number, most in (("index", index, count), ("target", target, targets)):
        if not -most <= whole_number(name, number) < most:
            raise FuncamError(f"{name}={number} is out of range: there are {most}, counted from 0")
    maps = explanation.maps[index]
    return as_values("a map", maps if explanation.targets.ndim == 1 else maps[target])


def overlaid(explanation: Explanation, image: Any, index: int, target: int, at: int | None, look: Look) -> Pixels:
    """One map laid over its picture: of a volume or clip over one slice, of a signal under its curve."""
    values = _scalar(explanation, map_of(explanation, index, target))
    if values.ndim == 1:
        return strip(values, image, look.colormap)
    if values.ndim == 3:
        pictures = slices_of(image, len(values)) if image is not None else _stills(explanation, index, len(values))
        place = _hottest(values, len(pictures)) if at is None else whole_number("at", at)
        if not -len(pictures) <= place < len(pictures):
            raise FuncamError(f"at={at} is out of range: there are {len(pictures)} slices, counted from 0")
        place %= len(pictures)
        # All slices share the scale of the hottest: the one that is asked for is cut out of both.
        both = [_hottest(values, len(pictures)), place]
        return _over_slices(values, pictures, both, look)[1]
    picture, view = _picture(explanation, image, index)
    return overlay(picture, onto_image(values, view), look.colormap, look.alpha)


def coloured(explanation: Explanation, index: int, target: int, colormap: Colormap) -> Pixels:
    """One map by itself: of the picture's size where that is known, else as large as can be seen."""
    values = map_of(explanation, index, target)
    views = context_of(explanation).views
    if gives_pixels(explanation) and values.ndim == 3:
        colours = np.moveaxis(values[:3] if len(values) >= 3 else values[:1].repeat(3, 0), 0, 2)
        return signed_picture(onto_image(colours, views[index]) if views else colours)
    values = _scalar(explanation, values)
    if values.ndim == 1:
        return strip(values, None, colormap)
    if values.ndim == 3:
        return np.hstack(_coloured_slices(values, _spread(len(values)), colormap))
    return heatmap(onto_image(values, views[index] if views else _visible(values.shape)), colormap)


def extent(explanation: Explanation) -> tuple[int, int]:
    """How many images a panel shows, and how many classes of each."""
    return min(len(explanation.targets), _MOST_IMAGES), explanation.targets[0:1].numel()


def first_rows(explanation: Explanation, most: int) -> tuple[int, int]:
    """How many images, and how many classes of each, are the first rows of a panel."""
    images, classes = extent(explanation)
    images = min(images, most)
    return images, min(classes, most // max(images, 1))


def drawn(
    explanation: Explanation,
    images: Any,
    look: Look,
    tile: int,
    part: tuple[int, int] | None = None,
    suffix: str = ".png",
) -> Pixels:
    """The panel: for each image a row for each class.

    Args:
        explanation: what is drawn.
        images: a picture for each image; None for those that are known.
        look: how the maps are coloured.
        tile: the side of each picture.
        part: how many images and classes are drawn, the first ones; None for all.
        suffix: of the format that the panel is for.

    Raises:
        FuncamError: there is nothing to draw, or more than the format or a reader of pictures can hold.
    """
    count, classes = part or extent(explanation)
    if not count:
        raise FuncamError("there is nothing to draw: the explanation is of no image")
    given = _one_each(explanation, images)
    shown = "" if count == len(explanation.targets) else f", {count} of {len(explanation.targets)} images"
    subtitle = ", ".join(filter(None, (context_of(explanation).net, title_of(explanation), explanation.layer))) + shown
    parts: list[Pixels] = []
    for index in range(count):
        picture = _known_picture(explanation, given[index], index)
        rows: list[PanelRow] = []
        for row in _rows(explanation, given[index], index, classes, look):
            rows.append(small_row(picture, row, tile))  # (a thousand of a large photo would fill the memory)
            if not parts and len(rows) == 1:
                refuse_large(picture, rows[0], (count, classes), tile, suffix)
        parts.append(panel(picture, rows, subtitle="" if index else subtitle, tile=tile))
    width = max(part.shape[1] for part in parts)
    return np.vstack(
        [np.pad(part, ((0, 0), (0, width - part.shape[1]), (0, 0)), constant_values=255) for part in parts]
    )


def tiles(explanation: Explanation, images: Any, look: Look) -> list[tuple[str, Mapping[str, Pixels]]]:
    """The pictures of each image and class by their titles, for who lays them out in another way."""
    given = _one_each(explanation, images)
    count, classes = extent(explanation)
    return [
        (row.name, row.pictures if picture is None else {"Image": picture, **row.pictures})
        for index in range(count)
        for picture in [_known_picture(explanation, given[index], index)]
        for row in _rows(explanation, given[index], index, classes, look)
    ]


def _one_each(explanation: Explanation, images: Any) -> Sequence[Any]:
    """The picture of each image that was given, in whatever form; None where none was."""
    count = len(explanation.targets)
    if images is None:
        return [None] * count
    flat = explanation.maps.ndim - explanation.targets.ndim - gives_pixels(explanation) == 2
    if flat:
        given: Sequence[Any] = as_images(images)
    elif isinstance(images, Iterable) and not hasattr(images, "shape"):
        given = list(images)
    else:
        given = [images] if count == 1 else list(images)
    if len(given) != count:
        raise FuncamError(f"{len(given)} pictures were given for {count} explained images; give one for each")
    return given


def _rows(explanation: Explanation, image: Any, index: int, classes: int, look: Look) -> Iterator[PanelRow]:
    """The rows of one image's first classes, each drawn when it is asked for."""
    for place, said in enumerate(explained(explanation, index, classes)):
        yield PanelRow(said.name, _pictures(explanation, image, index, place, look), said.probability)


def _pictures(explanation: Explanation, image: Any, index: int, target: int, look: Look) -> dict[str, Pixels]:
    """The pictures of one map, by title."""
    values, title = map_of(explanation, index, target), title_of(explanation)
    scalar = _scalar(explanation, values)
    if scalar.ndim == 3:
        pictures = slices_of(image, len(scalar)) if image is not None else _stills(explanation, index, 0)
        chosen = _spread(len(pictures) or len(scalar))
        if pictures:
            shown = _over_slices(scalar, pictures, chosen, look)
        else:
            shown = _coloured_slices(scalar, chosen, look.colormap)
        count = len(pictures) or len(scalar)
        return {f"slice {place} of {count}": picture for place, picture in zip(chosen, shown, strict=True)}
    if scalar.ndim == 1:
        return {title: strip(scalar, image, look.colormap)}
    alone = coloured(explanation, index, target, look.colormap)
    if gives_pixels(explanation) or _known_picture(explanation, image, index) is None:
        return {title: alone}
    return {f"{title} heatmap": alone, title: overlaid(explanation, image, index, target, None, look)}


def _scalar(explanation: Explanation, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """A map `[*S]`; of a method that gives pixels how strongly the strongest channel answers."""
    if gives_pixels(explanation):  # [channels, *S]; of a network of clips [frames, channels, H, W]
        values = np.abs(values).max(1 if values.ndim == 4 and context_of(explanation).net else 0)
    if not 1 <= values.ndim <= 3:
        raise FuncamError(
            f"a map of shape {list(values.shape)} has no picture; signals, images and volumes have one: draw parts of "
            "result.maps with funcam.heatmap"
        )
    return values


def _picture(explanation: Explanation, image: Any, index: int) -> tuple[Pixels, View | tuple[int, int]]:
    """A picture and what of it the map covers: the one that was given, or the network's own."""
    context = context_of(explanation)
    own = context.views[index] if context.views else None
    if image is None and own is None:
        raise FuncamError(
            "which picture belongs to the map isn't known: a model was explained on a tensor; give it, "
            "result.overlay('dog.jpg'), or explain funcam.own_net(model), which takes pictures and keeps them"
        )
    picture = context.images[index] if image is None else as_image(image)
    size = (picture.shape[0], picture.shape[1])
    return picture, own if own is not None and own.image_size == size else size


def _known_picture(explanation: Explanation, image: Any, index: int) -> Pixels | None:
    """The picture of an image, where there is one and it is flat."""
    flat = explanation.maps.ndim - explanation.targets.ndim - gives_pixels(explanation) == 2
    known = image is not None or context_of(explanation).images
    return _picture(explanation, image, index)[0] if flat and known else None


def _stills(explanation: Explanation, index: int, least: int) -> list[Pixels]:
    """The network's own picture, once for each slice of a clip's map; without one as many as `least` blank ones."""
    context = context_of(explanation)
    if context.images:
        return [context.images[index]] * explanation.maps.shape[explanation.targets.ndim]
    if least:
        _picture(explanation, None, index)  # which says what to do
    return []


def _spread(count: int) -> list[int]:
    """Up to eight of so many places, evenly."""
    shown = min(count, _MOST_SLICES)
    return [int((place + 0.5) * count / shown) for place in range(shown)]


def _hottest(values: NDArray[np.float32], count: int) -> int:
    """The slice of `count` in which a map is largest."""
    return int((np.nan_to_num(values).max((1, 2)).argmax() + 0.5) * count / len(values))


def _over_slices(
    values: NDArray[np.float32], pictures: Sequence[Pixels], chosen: Sequence[int], look: Look
) -> list[Pixels]:
    """The map over some slices, all on one scale."""
    height, width = pictures[0].shape[:2]
    maps = [onto_image(cells, (height, width)) for cells in at_slices(values, chosen, len(pictures))]
    whole = overlay(np.hstack([pictures[place] for place in chosen]), np.hstack(maps), look.colormap, look.alpha)
    return [np.ascontiguousarray(part) for part in np.split(whole, len(chosen), axis=1)]


def _coloured_slices(values: NDArray[np.float32], chosen: Sequence[int], colormap: Colormap) -> list[Pixels]:
    maps = [onto_image(values[place], _visible(values.shape[1:])) for place in chosen]
    whole = heatmap(np.hstack(maps), colormap)
    return [np.ascontiguousarray(part) for part in np.split(whole, len(chosen), axis=1)]


def _visible(cells: Sequence[int]) -> tuple[int, int]:
    """The size of a picture of so many cells that can be seen."""
    scale = max(1, round(_LEAST_SIDE / max(cells)))
    return cells[0] * scale, cells[1] * scale
