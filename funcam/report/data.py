"""What a report says: the contract between whoever measures and whoever draws the page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funcam.errors import FuncamError, nearest, shown
from funcam.imaging.reading import Pixels, check_image
from funcam.methods import METHODS

ALPHA = 0.65
"""How much heat a report shows at first where nobody asked for another share."""

MAP = "map"
PIXELS = "pixels"


@dataclass(frozen=True)
class NetEntry:
    """A network of the report.

    Attributes:
        label: what it goes by in the report.
        name: what it is.
        weights: where its weights come from.
        layer: its default layer.
    """

    label: str
    name: str
    weights: str
    layer: str


@dataclass(frozen=True)
class MethodEntry:
    """A method of the report.

    Attributes:
        name: what it goes by.
        title: what is shown.
        kind: whether it gives a `map` or a picture, `pixels`.
    """

    name: str
    title: str
    kind: str = MAP


def method_entry(name: str) -> MethodEntry:
    """A method of the table, as reports show it.

    Example:
        >>> method_entry("guided-backprop").kind
        'pixels'
    """
    method = METHODS[name]
    return MethodEntry(name, method.title, PIXELS if method.gives == "pixels" else MAP)


@dataclass(frozen=True)
class MetricEntry:
    """A metric of the report.

    Attributes:
        name: what it goes by.
        title: what is shown.
        higher_is_better: which way is better.
        per_image: whether each image has a value of it.
        percent: whether it is told in percent, as the headline and the conclusions tell it; else as it is.
    """

    name: str
    title: str
    higher_is_better: bool = True
    per_image: bool = True
    percent: bool = False

    @property
    def heading(self) -> str:
        """Its title with its unit."""
        return f"{self.title} (%)" if self.percent else self.title

    def text(self, value: float) -> str:
        """A value of it in its unit; "-" where there is none."""
        if math.isnan(value):
            return "-"
        return f"{100 * value:.1f}" if self.percent else f"{value:.3f}"


@dataclass(frozen=True)
class Result:
    """A metric's value over the images of a subset, with its interval.

    Attributes:
        net: a network's label.
        layer: where it was cut.
        method: a method's name.
        metric: a metric's name.
        subset: `all`, `single` or `multiple`.
        value: over the images.
        low: the interval's lower end.
        high: its upper end.
        n: how many images.
    """

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
    """A paired difference, `a` minus `b`, between two networks (of one method) or two methods (of one network).

    Attributes:
        kind: what is compared, `net` or `method`.
        a: a network's label or a method's name.
        b: what it is held against.
        metric: a metric's name.
        subset: `all`, `single` or `multiple`.
        difference: of the two values.
        low: the interval's lower end.
        high: its upper end.
        p: the probability of a difference at least as large if there were none.
        n: how many images.
        net: the network whose methods are compared, else None.
        method: the method whose networks are compared, else None.
    """

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
    """A thing's place.

    Attributes:
        box: `(x0, y0, x1, y1)` in the image's pixels.
        label: what it is.
    """

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
    """What one network says of one class of an image, and what it says the image shows.

    Attributes:
        net: a network's label.
        class_index: the class that is explained.
        class_name: its name.
        probability: of that class, 0..1; None where the network gives plain numbers.
        predicted_name: the name of the likeliest class.
        predicted_probability: of the likeliest class, likewise.
        maps: one for each layer and method.
    """

    net: str
    class_index: int
    class_name: str
    probability: float | None
    predicted_name: str
    predicted_probability: float | None
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
    """Everything that a report shows.

    Attributes:
        title: its heading.
        created: an ISO 8601 time.
        config: what was asked for, by name.
        versions: of the packages, by name.
        nets: the networks.
        methods: the methods.
        metrics: the metrics.
        results: a value for each network, layer, method, metric and subset.
        pairs: the differences.
        conclusions: sentences.
        images: the images of the gallery.
        headline: what all of it comes to, in one sentence.
        colormap: the one that its maps are first shown in; "" for one that looks the same to colour-blind readers.
        alpha: the weight of the heat that they are first shown with, 0..1.
        question: what it answers, in letters, by which its file is told from that of another question; "" for nothing.

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
    headline: str = ""
    colormap: str = ""
    alpha: float = ALPHA
    question: str = ""


def check_report(report: Report) -> None:
    """Do nothing if the parts of a report fit together.

    Raises:
        FuncamError: a name that two share, a name that nothing has, values that can't be drawn, or an alpha outside
            0..1.

    Example:
        >>> check_report(Report("Nothing yet", "2025-01-01T00:00:00Z"))
    """
    if not 0 <= report.alpha <= 1:
        raise FuncamError(f"a report's alpha is {shown(report.alpha)}; expected the weight of the heat, 0 to 1")
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
