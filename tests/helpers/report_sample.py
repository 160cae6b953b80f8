"""A small report with everything in it, made of arithmetic: no network, no torch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from funcam.report import (
    Box,
    Explained,
    ImageEntry,
    MapEntry,
    MethodEntry,
    MetricEntry,
    NetEntry,
    Pair,
    Report,
    Result,
)

NASTY_FILE = "<script>alert(1)</script>.jpg"
NASTY_CLASS = "\"a'cat</script><img src=x onerror=alert(2)>&amp; {{data}} \u2028"

NETS = [NetEntry("small", "resnet18", "IMAGENET1K_V1", "late"), NetEntry("large", "resnet50", "w.pth", "late")]
METHODS = [
    MethodEntry("grad-cam", "Grad-CAM"),
    MethodEntry("grad-cam++", "Grad-CAM++"),
    MethodEntry("guided-backprop", "Guided backpropagation", "pixels"),
]
METRICS = [MetricEntry("energy", "Energy"), MetricEntry("deletion", "Deletion", False)]


def blob(number: int, size: int = 7) -> np.ndarray:
    """A map whose peak moves with its number; each number has another."""
    y, x = np.mgrid[:size, :size]
    centre = (number * 3 % size, number * 5 % size)
    distance = (y - centre[0]) ** 2 + (x - centre[1]) ** 2
    return np.exp(-distance / (2 + number % 4)).astype(np.float32)


def photo(number: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A picture of one colour with a stripe."""
    picture = np.full((height, width, 3), (40 * number % 256, 90, 200 - 10 * number % 200), np.uint8)
    picture[:, number % width] = 255
    return picture


def energy(number: int) -> float:
    """The energy that image `number` has by the first network and method: neither rising nor falling."""
    return (number * 7 % 12) / 12


def maps(number: int, net: int, place: int) -> list[MapEntry]:
    """Two methods at two layers, and pixels without a layer."""
    found = []
    for m, method in enumerate(("grad-cam", "grad-cam++")):
        for n, layer in enumerate(("late", "early")):
            kind = number + 2 * m + 3 * n + 5 * net + place
            metrics = {
                "energy": energy(number) if (m, n, net, place) == (0, 0, 0, 0) else 0.5,
                "deletion": 0.1 + m / 10,
            }
            curves = {"insertion": [0.0, 0.5, 0.9], "deletion": [0.9, 0.2, 0.0]}
            found.append(MapEntry(layer, method, blob(kind), metrics, curves))
    return [*found, MapEntry("", "guided-backprop", photo(number + 7, 24, 32))]


def image(number: int, file: str | None = None) -> ImageEntry:
    """An image with two classes by two networks."""
    explained = [
        Explained(net.label, 3 + place, name, 0.75 - 0.5 * place, "dog", 0.75, maps(number, n, place))
        for n, net in enumerate(NETS)
        for place, name in enumerate((NASTY_CLASS, "dog"))
    ]
    subset = "multiple" if number % 2 else "single"
    boxes = [Box((8, 12, 40, 36), "cat"), Box((44, 6, 60, 20), NASTY_CLASS)]
    return ImageEntry(f"i{number}", file or f"photo-{number:03d}.jpg", photo(number), 64, 48, boxes, subset, explained)


def results(value: Callable[[int], float] = lambda place: 0.3 + place / 20) -> list[Result]:
    """A figure of each metric for each network, method and subset."""
    keys = [
        (net.label, "late", method.name, metric.name, subset)
        for subset in ("all", "single", "multiple")
        for metric in METRICS
        for net in NETS
        for method in METHODS[:2]
    ]
    return [Result(*key, value(place), value(place) - 0.1, value(place) + 0.1, 12) for place, key in enumerate(keys)]


def report(count: int = 12) -> Report:
    """A report of some images; the first has a nasty name."""
    pairs = [
        Pair("method", "grad-cam++", "grad-cam", "energy", "multiple", 0.1, 0.02, 0.18, 0.01, 6, net="small"),
        Pair("net", "large", "small", "energy", "all", -0.05, -0.2, 0.1, 0.4, 12, method="grad-cam"),
    ]
    images = [image(number, None if number else NASTY_FILE) for number in range(count)]
    conclusions = ["Grad-CAM++ covers more.", f"A conclusion with {NASTY_CLASS}"]
    config = {"nets": ["small", "large"], "seed": 0, "</script>": NASTY_CLASS}
    versions = {"funcam": "0.1.0"}
    created = "2025-06-01T12:00:00+00:00"
    title = f"Two networks {NASTY_CLASS}"
    return Report(title, created, config, versions, NETS, METHODS, METRICS, results(), pairs, conclusions, images)
