"""What is written for an image: the pictures with the original's names, the panel, the record and the raw maps."""

from __future__ import annotations

import io
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from itertools import groupby, starmap
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import cv2
import numpy as np
from numpy.typing import NDArray

from funcam import __version__
from funcam.errors import json_text
from funcam.files import remove, write_atomically
from funcam.imaging.fit import onto_image
from funcam.imaging.marks import MARK
from funcam.imaging.panel import PanelRow, panel, size_in_panel
from funcam.imaging.reading import Pixels
from funcam.imaging.render import (
    heatmap,
    levels_of,
    overlay,
    picture_size,
    resize_picture,
    save_picture,
    signed_picture,
)
from funcam.methods import METHODS
from funcam.pipeline.earlier import CONTENTS, contents_of
from funcam.resuming.places import named_in

if TYPE_CHECKING:  # so that the command line can look at this module's names without importing torch
    from funcam.pipeline.explaining import ImageExplanation
    from funcam.pipeline.predictions import Prediction
    from funcam.zoo.nets import Net

FORMATS = ("jpg", "png", "webp")

ENDING = "nets"
"""What the names of the panel and the record of several networks end with."""

PICTURES = ("heatmap", "overlay", "gradient", "panel")
"""What can be written: maps as heatmaps and laid over the image, gradients of the image, all of them side by side."""

# The original's file names: (map, how it is drawn) -> suffix. Other maps have their own name.
_ORIGINAL_NAMES = {
    ("cam", "heatmap"): "plain-cam-heatmap",  # "cam" is what the original calls Grad-CAM's overlay
    ("cam", "overlay"): "plain-cam",
    ("grad-cam", "heatmap"): "heatmap",
    ("grad-cam", "overlay"): "cam",
    ("grad-cam++", "heatmap"): "heatmap++",
    ("grad-cam++", "overlay"): "cam++",
    ("guided-backprop", "gradient"): "gb",
    ("guided-grad-cam", "gradient"): "cam_gb",
}
_MOST_HEATMAPS = 2  # a panel of more maps shows their overlays only
_ESCAPED = "backslashreplace"  # what UTF-8 can't hold of a file's name becomes \udcXX, which JSON understands


@dataclass(frozen=True)
class Style:
    """How results look.

    Attributes:
        format: the pictures' file format, one of `FORMATS`.
        colormap: the colour map of heatmaps and overlays.
        alpha: the weight of the heat in overlays, 0..1.
        size: the pictures' longest side in pixels; None for the image's own.
        raw_maps: whether the raw maps are written too, as `.npz`.
        pictures: which of `PICTURES` are written.
        record: whether the record has a file of its own.
    """

    format: str = "jpg"
    colormap: str = "jet"
    alpha: float = 0.5
    size: int | None = None
    raw_maps: bool = False
    pictures: tuple[str, ...] = PICTURES
    record: bool = True


def write_results(
    folder: Path,
    name: str,
    source: str,
    image: Pixels,
    net: Net,
    explanation: ImageExplanation,
    style: Style,
    *,
    known_by: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Write every picture of an explanation, its panel, its record and (if asked for) its raw maps.

    Args:
        folder: where to; it exists.
        name: the first part of each file's name, `<stem>-<net>`.
        source: the image's path, for the record.
        image: uint8 RGB `[H, W, 3]`.
        net: the network.
        explanation: what is written.
        style: how pictures are drawn, and whether raw maps are written.
        known_by: what the record tells besides, so that a later run knows these results, by their contents too; None
            where nobody will ask.

    Returns:
        The record, as it is written to `<stem>-<net>.json` (last, so that it tells of complete results; an earlier
        one is removed first, so that none ever tells of another's pictures).

    Raises:
        FuncamError: a file can't be written; no half-written file stays.

    Example:
        >>> write_results(folder, "dog-resnet50", "dog.jpg", image, net, explanation, Style())  # doctest: +SKIP
    """
    files, shared = _names(name, explanation, style)
    if style.record:
        remove(folder / shared["record"])
    drawn = [(map_, how) for map_, how in _drawn(explanation) if how in style.pictures]
    size = picture_size(image.shape[:2], style.size)
    for row, of in enumerate(files):
        for file, picture in zip(of.values(), _pictures(image, explanation, row, style, size, drawn), strict=True):
            save_picture(folder / file, picture)
    if "panel" in shared:
        save_picture(folder / shared["panel"], draw_panel(image, net, explanation, style, title=Path(source).name))
    if style.raw_maps:
        write_atomically(folder / shared["maps"], _npz(explanation), links=False)
    record = _record(source, net, explanation, files, shared)
    if known_by:
        record |= {**known_by, CONTENTS: contents_of(folder, named_in(record))}
    if style.record:
        write_record(folder / shared["record"], record)
    return record


def names_of(name: str, explanation: ImageExplanation, style: Style) -> list[str]:
    """All files that `write_results` writes."""
    files, shared = _names(name, explanation, style)
    return [file for of in (*files, shared) for file in of.values()]


def _names(name: str, explanation: ImageExplanation, style: Style) -> tuple[list[dict[str, str]], dict[str, str]]:
    """The files of each class, and those of all classes."""
    suffixes = [_suffix(map_, how) for map_, how in _drawn(explanation) if how in style.pictures]
    explained = explanation.explained
    parts = [name if len(explained) == 1 else f"{name}-{_slug(prediction)}" for prediction in explained]
    files = [{suffix: f"{part}-{suffix}.{style.format}" for suffix in suffixes} for part in parts]
    shared = {"panel": f"{name}-panel.png"} if "panel" in style.pictures else {}
    shared |= {"record": f"{name}.json"} if style.record else {}
    shared |= {"maps": f"{name}-maps.npz"} if style.raw_maps else {}
    return files, shared


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record, a JSON document.

    Args:
        path: where to.
        record: what.
    """
    text = json_text(record, indent=2) + "\n"
    write_atomically(path, text.encode(errors=_ESCAPED), links=False)


def draw_panel(image: Pixels, net: Net, explanation: ImageExplanation, style: Style, title: str) -> Pixels:
    """The image and its pictures side by side, a row for each explained class, uint8 RGB.

    Example:
        >>> draw_panel(image, net, explanation, Style(), "dog.jpg").shape  # doctest: +SKIP
        (420, 1900, 3)
    """
    small = small_for_panel(image)
    rows = panel_rows(small, explanation, style)
    return panel(small, rows, title=title, subtitle=_subtitle(net, explanation))


def small_for_panel(image: Pixels) -> Pixels:
    """The image as large as a panel shows it."""
    return resize_picture(image, size_in_panel((image.shape[0], image.shape[1])))


def panel_rows(small: Pixels, explanation: ImageExplanation, style: Style, of: str = "") -> list[PanelRow]:
    """What a panel shows of an explanation, a row for each class.

    Args:
        small: the image, of `small_for_panel`.
        explanation: what is drawn.
        style: how.
        of: what stands before the class's name.
    """
    size = (small.shape[0], small.shape[1])
    drawn = _drawn(explanation)
    if sum(how == "overlay" for _, how in drawn) > _MOST_HEATMAPS:
        drawn = [(name, how) for name, how in drawn if how != "heatmap"]
    return [
        PanelRow(
            of + prediction.name,
            dict(zip(starmap(_title, drawn), _pictures(small, explanation, row, style, size, drawn), strict=True)),
            prediction.probability,
        )
        for row, prediction in enumerate(explanation.explained)
    ]


def _subtitle(net: Net, explanation: ImageExplanation) -> str:
    """How the maps were made, as far as it isn't the usual."""
    parts = [f"{net.name}, {explanation.layer}"]
    parts += ["random weights"] if net.weights.startswith("random") else []
    return "; ".join([*parts, *how_made(explanation, net.classes)])


def how_made(explanation: ImageExplanation, classes: Sequence[str]) -> list[str]:
    """What of how maps were made isn't the usual: against which class, of which layers, smoothed."""
    recipe, contrast = explanation.recipe, explanation.contrast
    against = contrast if isinstance(contrast, str | None) else classes[contrast]
    parts = [f"against {against}"] if against is not None else []
    parts += [f"{recipe.combine} of layers"] if recipe.combine else []
    return parts + ([f"smoothed ({', '.join(recipe.smooth)})"] if recipe.smooth else [])


def _pictures(
    image: Pixels,
    explanation: ImageExplanation,
    row: int,
    style: Style,
    size: tuple[int, int],
    drawn: Sequence[tuple[str, str]],
) -> Iterator[Pixels]:
    """One picture after the other, so that only one of a large image is in memory at a time."""
    base = resize_picture(image, size)
    for name, pictures in groupby(drawn, key=itemgetter(0)):
        values = onto_image(_no_finer(explanation.maps[name][row], size), explanation.view, size)
        levels = None if values.ndim == 3 else levels_of(values)
        for _, how in pictures:
            if levels is None:
                yield signed_picture(values)
            elif how == "heatmap":
                yield heatmap(levels, style.colormap)
            else:
                yield overlay(base, levels, style.colormap, style.alpha)


def _no_finer(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """A map with no more cells than a picture has pixels, by their means: else some cells would not be seen."""
    height, width = (min(cells, pixels) for cells, pixels in zip(values.shape, size, strict=False))
    if (height, width) == values.shape[:2]:
        return values
    return cast(NDArray[np.float32], cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA))


def _drawn(explanation: ImageExplanation) -> list[tuple[str, str]]:
    """Every map and how it is drawn: maps as heatmap and overlay, gradients of the image with their signs."""
    return [
        (name, how)
        for name, maps in explanation.maps.items()
        for how in (("heatmap", "overlay") if maps.ndim == 3 else ("gradient",))
    ]


def _suffix(name: str, how: str) -> str:
    """What a picture's file name ends with."""
    method, at, layer = name.partition("@")
    known = _ORIGINAL_NAMES.get((method, how)) or (f"{method}-heatmap" if how == "heatmap" else method)
    return known + at + re.sub(r"[^\w.+]+", "_", layer)


def _title(name: str, how: str) -> str:
    method, _, layer = name.partition("@")
    title = METHODS[method].title + (" heatmap" if how == "heatmap" else "")
    return f"{title} {layer}".strip()


def _slug(prediction: Prediction) -> str:
    """A class as a part of a file name; the index keeps two classes of one name apart."""
    words = re.sub(r"[^\w]+", "_", prediction.name.lower()).strip("_")[:40]
    return f"{prediction.index}_{words}" if words else str(prediction.index)


def _npz(explanation: ImageExplanation) -> bytes:
    """Raw maps by method, `[K, h, w]` at the layer's (or the image's) resolution, and the box that they cover."""
    stream = io.BytesIO()
    arrays: dict[str, Any] = {
        **explanation.maps,
        "classes": np.array([prediction.index for prediction in explanation.explained]),
        "box": np.array(explanation.view.box),
    }
    with ZipFile(stream, "w") as archive:  # as np.savez_compressed, without the time of day: equal maps, equal bytes
        archive.comment = MARK
        for name, values in arrays.items():
            array = io.BytesIO()
            np.lib.format.write_array(array, np.asanyarray(values), allow_pickle=False)
            archive.writestr(ZipInfo(f"{name}.npy"), array.getvalue(), ZIP_DEFLATED)
    return stream.getvalue()


def _record(
    source: str, net: Net, explanation: ImageExplanation, files: list[dict[str, str]], shared: dict[str, str]
) -> dict[str, Any]:
    height, width = explanation.view.image_size
    explained = [
        {**asdict(prediction), "peaks": _peaks(explanation, row), "files": files[row]}
        for row, prediction in enumerate(explanation.explained)
    ]
    return {
        "image": source,
        "net": net.name,
        "weights": net.weights,
        "layer": explanation.layer,
        "methods": list(explanation.maps),
        "maps": [{**asdict(provenance), "options": dict(provenance.options)} for provenance in explanation.provenance],
        "combine": explanation.recipe.combine,
        "smooth": list(explanation.recipe.smooth),
        "contrast": explanation.contrast,
        "scores": net.scores,
        "fit": explanation.fit,
        "image_size": {"width": width, "height": height},
        "input_size": {"width": explanation.view.input_size[1], "height": explanation.view.input_size[0]},
        "box": dict(zip(("x0", "y0", "x1", "y1"), explanation.view.box, strict=True)),
        "predictions": [asdict(prediction) for prediction in explanation.predictions],
        "explained": explained,
        "files": shared,
        "notes": list(explanation.notes),
        "seconds": round(explanation.seconds, 4),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Those of what made the results."""
    own = {"python": platform.python_version(), "funcam": __version__}
    return own | {name: _version(name) for name in ("torch", "torchvision", "numpy")}


_version = cache(version)  # it is read from a file


def _peaks(explanation: ImageExplanation, row: int) -> dict[str, dict[str, float] | None]:
    """Where each map is largest, in pixels of the image; None for a map that is zero everywhere."""
    return {method: _peak(maps[row], explanation) for method, maps in explanation.maps.items() if maps.ndim == 3}


def _peak(values: NDArray[np.float32], explanation: ImageExplanation) -> dict[str, float] | None:
    if values.max() <= 0:
        return None
    row, column = np.unravel_index(values.argmax(), values.shape)
    x0, y0, x1, y1 = explanation.view.box
    height, width = values.shape
    x = x0 + (column + 0.5) / width * (x1 - x0)
    return {"x": round(float(x), 1), "y": round(float(y0 + (row + 0.5) / height * (y1 - y0)), 1)}
