"""What a report says: the contract between whoever measures and whoever draws the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funcam.errors import FuncamError, nearest
from funcam.imaging.reading import Pixels, check_image

MAP = "map"
PIXELS = "pixels"


@dataclass(frozen=True)
class NetEntry:
    """A network: the label it goes by in the report, its name, where its weights come from, its default layer."""

    label: str
    name: str
    weights: str
    layer: str


@dataclass(frozen=True)
class MethodEntry:
    """A method: its name, its title, and whether it gives a `map` or a picture, `pixels`."""

    name: str
    title: str
    kind: str = MAP


@dataclass(frozen=True)
class MetricEntry:
    """A metric: its name, its title, which way is better, and whether each image has a value of it."""

    name: str
    title: str
    higher_is_better: bool = True
    per_image: bool = True


@dataclass(frozen=True)
class Result:
    """A metric's value over the `n` images of a subset (`all`, `single`, `multiple`), with its interval."""

    net: str
    layer: str
    method: str
    metric: str
    subset: str
    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Pair:
    """A paired difference, `a` minus `b`, between two nets (of one method) or two methods (of one net)."""

    kind: str
    a: str
    b: str
    metric: str
    subset: str
    difference: float
    low: float
    high: float
    p: float
    n: int
    net: str | None = None
    method: str | None = None


@dataclass(frozen=True)
class Box:
    """A thing's place, `(x0, y0, x1, y1)` in the image's pixels, and what it is."""

    box: tuple[float, float, float, float]
    label: str = ""


@dataclass(frozen=True)
class MapEntry:
    """One map of one class.

    Attributes:
        layer: where the network was cut; "" for a method without a layer.
        method: a method's name.
        values: floats in 0..1, [h, w], of a `map`; uint8 RGB [H, W, 3] of `pixels`. It covers the whole picture.
        metrics: by metric's name; only those that one image can have.
        curves: the score along the `insertion` and `deletion` of pixels, from none to all of them.
    """

    layer: str
    method: str
    values: NDArray[Any]
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Explained:
    """What one network says of one class of an image, and what it says the image shows."""

    net: str
    class_index: int
    class_name: str
    probability: float
    predicted_name: str
    predicted_probability: float
    maps: Sequence[MapEntry]


@dataclass(frozen=True)
class ImageEntry:
    """An image and all that was explained of it.

    Attributes:
        id: a name of its own.
        file: the name that is shown.
        picture: its pixels, or the path of a picture of it; of any size, but of the image's aspect.
        width: of the image, in the pixels in which the boxes are given.
        height: likewise.
        boxes: where the things are.
        subset: `single`, `multiple` or "".
        explained: one entry for each network and class.
    """

    id: str
    file: str
    picture: Pixels | Path
    width: int
    height: int
    boxes: Sequence[Box] = ()
    subset: str = ""
    explained: Sequence[Explained] = ()


@dataclass(frozen=True)
class Report:
    """Everything that a report shows; `created` is an ISO 8601 time.

    Example:
        >>> Report("Nothing yet", "2025-01-01T00:00:00Z").images
        ()
    """

    title: str
    created: str
    config: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    nets: Sequence[NetEntry] = ()
    methods: Sequence[MethodEntry] = ()
    metrics: Sequence[MetricEntry] = ()
    results: Sequence[Result] = ()
    pairs: Sequence[Pair] = ()
    conclusions: Sequence[str] = ()
    images: Sequence[ImageEntry] = ()


def check_report(report: Report) -> None:
    """Do nothing if the parts of a report fit together.

    Raises:
        FuncamError: a name that two share, a name that nothing has, or values that can't be drawn.

    Example:
        >>> check_report(Report("Nothing yet", "2025-01-01T00:00:00Z"))
    """
    nets = _names("net", [net.label for net in report.nets])
    methods = _names("method", [method.name for method in report.methods])
    metrics = _names("metric", [metric.name for metric in report.metrics])
    _names("image id", [image.id for image in report.images])
    for result in report.results:
        _known("net", result.net, nets)
        _known("method", result.method, methods)
        _known("metric", result.metric, metrics)
    for pair in report.pairs:
        _known("metric", pair.metric, metrics)
        for name in (pair.a, pair.b):
            _known(pair.kind, name, nets if pair.kind == "net" else methods)
    kinds = {method.name: method.kind for method in report.methods}
    for image in report.images:
        for explained in image.explained:
            _known("net", explained.net, nets)
            for entry in explained.maps:
                _known("method", entry.method, methods)
                _check_values(f"{entry.method} of {image.file!r}", kinds[entry.method], entry.values)


def _names(what: str, names: list[str]) -> set[str]:
    known = set(names)
    if len(known) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise FuncamError(f"two entries of a report share the {what} {twice!r}; give each a name of its own")
    return known


def _known(what: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise FuncamError(f"{what} {name!r} is not in the report's list; nearest: {nearest(name, known) or 'none'}")


def _check_values(what: str, kind: str, values: NDArray[Any]) -> None:
    if kind == PIXELS:
        check_image(values)
        return
    if kind != MAP:
        raise FuncamError(f"a method's kind is {MAP!r} or {PIXELS!r}; got {kind!r}")
    if values.ndim != 2 or values.size == 0:
        raise FuncamError(f"{what}: a map is [h, w] with at least one cell; got {list(values.shape)}")
    if not np.issubdtype(values.dtype, np.floating) or values.min() < 0 or values.max() > 1 + 1e-5:
        raise FuncamError(
            f"{what}: a map's values are floats in 0..1; bring them there with funcam.imaging.render.scale_map"
        )
