"""What is written for an image: the pictures with the seed's names, the panel, the record and the raw maps."""

from __future__ import annotations

import io
import json
import platform
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from funcam.files import write_atomically
from funcam.imaging.fit import onto_image
from funcam.imaging.panel import PanelRow, panel
from funcam.imaging.reading import Pixels
from funcam.imaging.render import heatmap, overlay, picture_size, resize_picture, save_picture, signed_picture
from funcam.methods import METHODS

if TYPE_CHECKING:  # so that the command line can look at this module's names without importing torch
    from funcam.pipeline.explaining import Prediction, Study
    from funcam.zoo.nets import Net

FORMATS = ("jpg", "png", "webp")

# The seed's file names: (map, how it is drawn) -> suffix. Other maps have their own name.
_SEED_NAMES = {
    ("cam", "heatmap"): "plain-cam-heatmap",  # "cam" is what the seed calls Grad-CAM's overlay
    ("cam", "overlay"): "plain-cam",
    ("grad-cam", "heatmap"): "heatmap",
    ("grad-cam", "overlay"): "cam",
    ("grad-cam++", "heatmap"): "heatmap++",
    ("grad-cam++", "overlay"): "cam++",
    ("guided-backprop", "signed"): "gb",
    ("guided-grad-cam", "signed"): "cam_gb",
}
_MOST_HEATMAPS = 2  # a panel of more maps shows their overlays only
_PANEL_SIDE = 512
_ESCAPED = "backslashreplace"  # what UTF-8 can't hold of a file's name becomes \udcXX, which JSON understands


@dataclass(frozen=True)
class Style:
    """How results look.

    Attributes:
        format: the pictures' file format, one of :data:`FORMATS`.
        colormap: the colour map of heatmaps and overlays.
        alpha: the weight of the heat in overlays, 0..1.
        size: the pictures' longest side in pixels; None for the image's own.
        raw_maps: whether the raw maps are written too, as ``.npz``.
    """

    format: str = "jpg"
    colormap: str = "jet"
    alpha: float = 0.5
    size: int | None = None
    raw_maps: bool = False


def write_results(
    folder: Path, name: str, source: str, image: Pixels, net: Net, study: Study, style: Style
) -> dict[str, Any]:
    """Write every picture of a study, its panel, its record and (if asked for) its raw maps.

    Args:
        folder: where to; it exists.
        name: the first part of each file's name, ``<stem>-<net>``.
        source: the image's path, for the record.
        image: uint8 RGB ``[H, W, 3]``.
        net: the network.
        study: what is written.
        style: how pictures are drawn, and whether raw maps are written.

    Returns:
        The record, as it is written to ``<stem>-<net>.json`` (last, so that it tells of complete results).

    Raises:
        FuncamError: a file can't be written; no half-written file stays.

    Example:
        >>> write_results(Path("results"), "dog-resnet50", "dog.jpg", image, net, study, Style())  # doctest: +SKIP
    """
    files: list[dict[str, str]] = []
    drawn = _drawn(study)
    for row, prediction in enumerate(study.explained):
        part = name if len(study.explained) == 1 else f"{name}-{_slug(prediction)}"
        files.append({})
        size = picture_size(image.shape[:2], style.size)
        for (map_, how), picture in zip(drawn, _pictures(image, study, row, style, size, drawn), strict=True):
            path = folder / f"{part}-{_suffix(map_, how)}.{style.format}"
            save_picture(path, picture)
            files[-1][_suffix(map_, how)] = path.name
    shared = {"panel": f"{name}-panel.png", "record": f"{name}.json"}
    save_picture(folder / shared["panel"], draw_panel(image, net, study, style, title=Path(source).name))
    if style.raw_maps:
        shared["maps"] = f"{name}-maps.npz"
        write_atomically(folder / shared["maps"], _npz(study))
    record = _record(source, net, study, files, shared)
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    write_atomically(folder / shared["record"], text.encode(errors=_ESCAPED))
    return record


def draw_panel(image: Pixels, net: Net, study: Study, style: Style, title: str) -> Pixels:
    """The image and its pictures side by side, a row for each explained class, uint8 RGB.

    Example:
        >>> draw_panel(image, net, study, Style(), "dog.jpg").shape  # doctest: +SKIP
        (420, 1900, 3)
    """
    size = picture_size(image.shape[:2], min(_PANEL_SIDE, max(image.shape[:2])))
    small = resize_picture(image, size)
    drawn = _drawn(study)
    if sum(how == "overlay" for _, how in drawn) > _MOST_HEATMAPS:
        drawn = [(name, how) for name, how in drawn if how != "heatmap"]
    rows = [
        PanelRow(
            prediction.name,
            dict(zip(starmap(_title, drawn), _pictures(small, study, row, style, size, drawn), strict=True)),
            prediction.probability,
        )
        for row, prediction in enumerate(study.explained)
    ]
    return panel(small, rows, title=title, subtitle=_subtitle(net, study))


def _subtitle(net: Net, study: Study) -> str:
    """What was asked, as far as it isn't the usual."""
    asked = study.question
    against = asked.contrast if isinstance(asked.contrast, str | None) else net.classes[asked.contrast]
    parts = [f"{net.name}, {study.layer}"]
    parts += [f"against {against}"] if against is not None else []
    parts += [f"{asked.combine} of layers"] if asked.combine else []
    parts += [f"smoothed ({', '.join(asked.smooth)})"] if asked.smooth else []
    return "; ".join(parts)


def _pictures(
    image: Pixels, study: Study, row: int, style: Style, size: tuple[int, int], drawn: Sequence[tuple[str, str]]
) -> Iterator[Pixels]:
    """One picture after the other, so that only one of a large image is in memory at a time."""
    base = resize_picture(image, size)
    for name, how in drawn:
        values = onto_image(study.maps[name][row], study.view, size)
        if how == "heatmap":
            yield heatmap(values, style.colormap)
        elif how == "overlay":
            yield overlay(base, values, style.colormap, style.alpha)
        else:
            yield signed_picture(values)


def _drawn(study: Study) -> list[tuple[str, str]]:
    """Every map and how it is drawn: maps as heatmap and overlay, gradients of the image with their signs."""
    return [
        (name, how)
        for name, maps in study.maps.items()
        for how in (("heatmap", "overlay") if maps.ndim == 3 else ("signed",))
    ]


def _suffix(name: str, how: str) -> str:
    """What a picture's file name ends with."""
    method, at, layer = name.partition("@")
    known = _SEED_NAMES.get((method, how)) or (f"{method}-heatmap" if how == "heatmap" else method)
    return known + at + re.sub(r"[^\w.+]+", "_", layer)


def _title(name: str, how: str) -> str:
    method, _, layer = name.partition("@")
    title = METHODS[method].title + (" heatmap" if how == "heatmap" else "")
    return f"{title} {layer}".strip()


def _slug(prediction: Prediction) -> str:
    """A class as a part of a file name; the index keeps two classes of one name apart."""
    words = re.sub(r"[^\w]+", "_", prediction.name.lower()).strip("_")[:40]
    return f"{prediction.index}_{words}" if words else str(prediction.index)


def _npz(study: Study) -> bytes:
    """Raw maps by method, ``[K, h, w]`` at the layer's (or the image's) resolution, and the box that they cover."""
    stream = io.BytesIO()
    arrays: dict[str, Any] = {
        **study.maps,
        "classes": np.array([prediction.index for prediction in study.explained]),
        "box": np.array(study.view.box),
    }
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def _record(source: str, net: Net, study: Study, files: list[dict[str, str]], shared: dict[str, str]) -> dict[str, Any]:
    height, width = study.view.image_size
    explained = [
        {**asdict(prediction), "peaks": _peaks(study, row), "files": files[row]}
        for row, prediction in enumerate(study.explained)
    ]
    return {
        "image": source,
        "net": net.name,
        "weights": net.weights,
        "layer": study.layer,
        "methods": list(study.maps),
        "maps": [{**asdict(made), "options": dict(made.options)} for made in study.made],
        "combine": study.question.combine,
        "smooth": list(study.question.smooth),
        "contrast": study.question.contrast,
        "fit": study.fit,
        "image_size": {"width": width, "height": height},
        "input_size": {"width": study.view.input_size[1], "height": study.view.input_size[0]},
        "box": dict(zip(("x0", "y0", "x1", "y1"), study.view.box, strict=True)),
        "predictions": [asdict(prediction) for prediction in study.predictions],
        "explained": explained,
        "files": shared,
        "notes": list(study.notes),
        "seconds": round(study.seconds, 4),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("funcam", "torch", "torchvision", "numpy")},
        },
    }


def _peaks(study: Study, row: int) -> dict[str, dict[str, float] | None]:
    """Where each map is largest, in pixels of the image; None for a map that is zero everywhere."""
    return {method: _peak(maps[row], study) for method, maps in study.maps.items() if maps.ndim == 3}


def _peak(values: NDArray[np.float32], study: Study) -> dict[str, float] | None:
    if values.max() <= 0:
        return None
    row, column = np.unravel_index(values.argmax(), values.shape)
    x0, y0, x1, y1 = study.view.box
    height, width = values.shape
    x = x0 + (column + 0.5) / width * (x1 - x0)
    return {"x": round(float(x), 1), "y": round(float(y0 + (row + 0.5) / height * (y1 - y0)), 1)}
