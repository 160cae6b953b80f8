"""A report as the JSON that its page reads."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from funcam.imaging.render import COLORMAPS
from funcam.report.data import PIXELS, Explained, ImageEntry, MapEntry, Report
from funcam.report.pictures import Shelf, data_uri, grey_png, jpeg, small_picture

PAGE_COLORMAPS = ("cividis", "viridis", "turbo", "jet")
"""The colour maps that the page offers; the first, which colour-blind readers see as others do, is its default where a
report names none."""

# A page's parser ends a script at "</script" and enters odd states at "<!--": nothing that HTML knows may appear.
# ensure_ascii escapes the rest, U+2028 and lone surrogates included.
_ESCAPES = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}


def payload(report: Report, shelf: Shelf) -> dict[str, Any]:
    """A report as plain values, by the names of `funcam.report.data`; pictures and maps are addresses.

    Its `colormaps` hold 256 colours each, in base64.
    """
    kinds = {method.name: method.kind for method in report.methods}
    offered = dict.fromkeys([*([report.colormap] if report.colormap else []), *PAGE_COLORMAPS])
    return {
        "title": report.title,
        "created": report.created,
        "config": dict(report.config),
        "versions": dict(report.versions),
        "nets": [asdict(net) for net in report.nets],
        "methods": [asdict(method) for method in report.methods],
        "metrics": [asdict(metric) for metric in report.metrics],
        "results": [asdict(result) for result in report.results],
        "pairs": [asdict(pair) for pair in report.pairs],
        "conclusions": list(report.conclusions),
        "headline": report.headline,
        "colormap": report.colormap,
        "alpha": report.alpha,
        "question": report.question,
        "images": [_image(number, image, kinds, shelf) for number, image in enumerate(report.images, 1)],
        "colormaps": {name: base64.b64encode(COLORMAPS[name].tobytes()).decode() for name in offered},
    }


def as_script(value: Any) -> str:
    """A value as JSON that can stand in a `<script>`, whatever its texts hold; NaN and infinity become null.

    Example:
        >>> as_script({"name": "</script>", "value": float("nan")})
        '{"name":"\\\\u003c/script\\\\u003e","value":null}'
    """
    text = json.dumps(_plain(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.translate(_ESCAPES)


def _image(number: int, image: ImageEntry, kinds: Mapping[str, str], shelf: Shelf) -> dict[str, Any]:
    address = shelf.put(f"{number:04d}.jpg", jpeg(small_picture(image.picture)))
    return {
        "id": image.id,
        "file": image.file,
        "picture": address,
        "width": image.width,
        "height": image.height,
        "boxes": [asdict(box) for box in image.boxes],
        "subset": image.subset,
        "explained": [
            _explained(f"{number:04d}-{place}", explained, kinds, shelf)
            for place, explained in enumerate(image.explained, 1)
        ],
    }


def _explained(name: str, explained: Explained, kinds: Mapping[str, str], shelf: Shelf) -> dict[str, Any]:
    return {
        "net": explained.net,
        "class_index": explained.class_index,
        "class_name": explained.class_name,
        "probability": explained.probability,
        "predicted_name": explained.predicted_name,
        "predicted_probability": explained.predicted_probability,
        "maps": [
            _map(f"{name}-{place}.jpg", entry, kinds[entry.method], shelf)
            for place, entry in enumerate(explained.maps, 1)
        ],
    }


def _map(name: str, entry: MapEntry, kind: str, shelf: Shelf) -> dict[str, Any]:
    if kind == PIXELS:
        address = shelf.put(name, jpeg(small_picture(entry.values)))
    else:
        address = data_uri("png", grey_png(entry.values, shelf.longest_map))
    return {
        "layer": entry.layer,
        "method": entry.method,
        "values": address,
        "metrics": dict(entry.metrics),
        "curves": {name: [round(float(value), 4) for value in curve] for name, curve in entry.curves.items()},
    }


def _plain(value: Any) -> Any:
    """A value as JSON knows it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)
