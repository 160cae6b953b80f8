"""The gallery as Markdown, in the form of the original's tables."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast
from urllib.parse import quote

import cv2
import numpy as np

from funcam.errors import one_line
from funcam.files import make_folder, remove, write_atomically
from funcam.imaging.reading import Pixels
from funcam.imaging.render import heatmap, overlay, save_picture
from funcam.report.data import (
    PIXELS,
    Explained,
    ImageEntry,
    MapEntry,
    MethodEntry,
    MetricEntry,
    Report,
    Result,
    check_report,
)
from funcam.report.mark import GALLERY, left_over, marked
from funcam.report.pictures import small_picture

_SECTIONS = (("single", "Single object"), ("multiple", "Multiple objects"), ("", "Images"))
_SHORT = {"grad-cam": "HeatMap", "grad-cam++": "HeatMap++"}
_LONGEST = 224
_MOST_OPEN = 3
"""So many conclusions are read in passing; more are folded away where a headline says what they come to."""


def write_gallery(path: str | os.PathLike[str], report: Report, *, colormap: str = "") -> None:
    """Write a report as Markdown: the headline, conclusions, figures, and for each image a table of pictures.

    Networks go down, with a row for each layer and explained class; across go the image, then heatmap and overlay of
    each method, one picture of a method that gives pixels. The pictures are written first, into the folder
    `<stem>-gallery` beside the file; what an earlier gallery left there is removed.

    Args:
        path: where to, `README.md` say; the folder exists. A link that lies there is replaced.
        report: what to show.
        colormap: one of `funcam.imaging.render.COLORMAPS`; else the report's, or one that looks the same to
            colour-blind readers.

    Raises:
        FuncamError: the report's parts don't fit together, a picture can't be read, or a file can't be written.

    Example:
        >>> write_gallery("README.md", Report("Two networks", "2025-01-01T00:00:00Z"))  # doctest: +SKIP
    """
    check_report(report)
    target = Path(path)
    lines = [
        f"# {_text(report.title)}",
        "",
        f"Made {_text(report.created)}. {marked(GALLERY, report.question)}",
        "",
        *([f"**{_text(report.headline)}**", ""] if report.headline else []),
        *_conclusions(report),
        *_figures(report),
    ]
    if report.images:
        folder = make_folder(target.with_name(f"{target.stem}-gallery"), links=False)
        gallery = _Gallery(report.methods, folder, colormap or report.colormap or "cividis", report.alpha)
        for subset, title in _SECTIONS:
            images = [(number, image) for number, image in enumerate(report.images, 1) if _section(image) == subset]
            if images:
                lines += [f"## {title}", ""]
                lines += [line for number, image in images for line in gallery.image(number, image)]
    text = "\n".join(lines).rstrip("\n") + "\n"
    write_atomically(target, text.encode("utf-8", errors="replace"), links=False)
    if report.images:
        for picture in left_over(folder, gallery.shown):
            remove(picture)


class _Gallery:
    """The tables of pictures, and the pictures in their folder."""

    def __init__(self, methods: Sequence[MethodEntry], folder: Path, colormap: str, alpha: float) -> None:
        self.methods, self.folder, self.colormap, self.alpha = methods, folder, colormap, alpha
        self.shown: set[str] = set()

    def image(self, number: int, image: ImageEntry) -> list[str]:
        """The lines of one image."""
        name = f"{number:04d}-{_slug(Path(image.file).stem)}"
        picture = small_picture(image.picture, _LONGEST)
        shown = self._saved(f"{name}.jpg", picture, image.file)
        used = {entry.method for explained in image.explained for entry in explained.maps}
        methods = [method for method in self.methods if method.name in used]
        titles = ["network", "image", *(title for method in methods for title in _titles(method))]
        rows = [
            [_row_name(explained, layer), shown, *self._cells(f"{name}-{place}", picture, explained, layer, methods)]
            for place, (explained, layer) in enumerate(_rows(image, methods), 1)
        ]
        return [f"### {_text(image.file)}", "", *_table(titles, rows), ""]

    def _cells(
        self, name: str, picture: Pixels, explained: Explained, layer: str, methods: Iterable[MethodEntry]
    ) -> list[str]:
        cells: list[str] = []
        for method in methods:
            entry = _entry(explained, layer, method)
            if entry is None:
                cells += [""] * len(_titles(method))
                continue
            stem = f"{name}-{_slug(explained.net)}-{_slug(method.name)}"
            alt = f"{method.title} of {explained.class_name} by {explained.net}"
            if method.kind == PIXELS:
                cells.append(self._saved(f"{stem}.jpg", small_picture(entry.values, _LONGEST), alt))
                continue
            values = _upsampled(entry, picture)
            cells.append(self._saved(f"{stem}-heatmap.jpg", heatmap(values, self.colormap), f"{alt}, heatmap"))
            cells.append(self._saved(f"{stem}.jpg", overlay(picture, values, self.colormap, self.alpha), alt))
        return cells

    def _saved(self, name: str, picture: Pixels, alt: str) -> str:
        save_picture(self.folder / name, picture, quality=88)
        self.shown.add(name)
        return f"![{_text(alt)}]({quote(f'{self.folder.name}/{name}', errors='surrogateescape')})"


def _section(image: ImageEntry) -> str:
    return image.subset if image.subset in dict(_SECTIONS) else ""


def _titles(method: MethodEntry) -> list[str]:
    if method.kind == PIXELS:
        return [_text(method.title)]
    return [_SHORT.get(method.name, f"HeatMap {_text(method.title)}"), _text(method.title)]


def _rows(image: ImageEntry, methods: Iterable[MethodEntry]) -> list[tuple[Explained, str]]:
    """What has a row of its own: each explained class at each layer of its maps."""
    maps = {method.name for method in methods if method.kind != PIXELS}
    rows: list[tuple[Explained, str]] = []
    for explained in image.explained:
        layers = dict.fromkeys(entry.layer for entry in explained.maps if entry.layer and entry.method in maps)
        rows += [(explained, layer) for layer in layers or [""]]
    return rows


def _row_name(explained: Explained, layer: str) -> str:
    said = _text(explained.class_name)
    if explained.probability is not None:
        said += f" {100 * explained.probability:.1f} %"
    return f"{_text(explained.net)}{f', {_text(layer)}' if layer else ''}<br>{said}"


def _entry(explained: Explained, layer: str, method: MethodEntry) -> MapEntry | None:
    """The method's map at a layer; where it has none there, the one that belongs to no layer."""
    own = [entry for entry in explained.maps if entry.method == method.name]
    exact = [entry for entry in own if entry.layer == layer]
    free = [entry for entry in own if not entry.layer or method.kind == PIXELS]
    return next(iter(exact + free), None)


def _upsampled(entry: MapEntry, picture: Pixels) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    height, width = picture.shape[:2]
    values = np.nan_to_num(np.asarray(entry.values, dtype=np.float32))
    resized = cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)
    return cast("np.ndarray[tuple[int, int], np.dtype[np.float32]]", resized)


def _conclusions(report: Report) -> list[str]:
    if not report.conclusions:
        return []
    told = [*(f"- {_text(conclusion)}" for conclusion in report.conclusions), ""]
    if report.headline and len(report.conclusions) > _MOST_OPEN:
        told = [f"<details><summary>All {len(report.conclusions)}</summary>", "", *told, "</details>", ""]
    return ["## Conclusions", "", *told]


def _figures(report: Report) -> list[str]:
    """A table for each subset: networks and methods down, metrics across, intervals in brackets."""
    lines: list[str] = []
    for subset in ("all", "single", "multiple"):
        results = [result for result in report.results if result.subset == subset]
        if not results:
            continue
        metrics = [metric for metric in report.metrics if any(result.metric == metric.name for result in results)]
        figure_of = {(result.net, result.layer, result.method, result.metric): result for result in results}
        titles = {method.name: method.title for method in report.methods}
        rows = []
        for net, layer, method in dict.fromkeys((result.net, result.layer, result.method) for result in results):
            figures = [figure_of.get((net, layer, method, metric.name)) for metric in metrics]
            cells = [_figure(metric, one) if one else "" for metric, one in zip(metrics, figures, strict=True)]
            rows.append([_text(net), _text(layer), _text(titles[method]), *cells])
        heads = ["network", "layer", "method", *(_text(metric.heading) for metric in metrics)]
        lines += [f"## Figures, {subset}", "", *_table(heads, rows), ""]
    return lines


def _figure(metric: MetricEntry, one: Result) -> str:
    """A value with its interval; of one image there is none."""
    interval = "" if math.isnan(one.low) else f" [{metric.text(one.low)}, {metric.text(one.high)}]"
    return metric.text(one.value) + interval


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [titles, ["---"] * len(titles), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _text(text: str) -> str:
    """A text that Markdown and HTML show as it is, on one line."""
    line = one_line(text)
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~#!()$])", r"\\\1", line)


def _slug(text: str) -> str:
    """A text as part of a file's name.

    Example:
        >>> _slug("<script>alert(1)</script>")
        'script-alert-1-script'
    """
    return re.sub(r"[^A-Za-z0-9.+_]+", "-", text).strip("-.")[:40] or "image"
