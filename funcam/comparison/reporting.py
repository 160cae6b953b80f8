"""A comparison's report: the journal's pictures and figures, put into the form that the page and the gallery draw."""

from __future__ import annotations

import base64
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from funcam.comparison.conclusions import FEW
from funcam.comparison.dataset import Example
from funcam.comparison.findings import ComparisonResult
from funcam.comparison.form import fits
from funcam.comparison.journal import Journal
from funcam.comparison.plan import BASELINES, METRICS, Plan, Rival
from funcam.comparison.run import JOURNAL
from funcam.imaging.fit import View
from funcam.methods import METHODS
from funcam.report.data import (
    Box,
    Explained,
    ImageEntry,
    MapEntry,
    MethodEntry,
    MetricEntry,
    NetEntry,
    Report,
    method_entry,
)
from funcam.report.pictures import on_picture
from funcam.resuming.versions import versions

_TITLES = {"centre-gaussian": "Centre Gaussian", "uniform": "Uniform", "random": "Random"}


def report_of(
    result: ComparisonResult,
    rivals: Sequence[Rival],
    examples: Sequence[Example],
    plan: Plan,
    folder: Path,
    *,
    title: str,
    most: int,
) -> Report:
    """Everything that a report shows.

    Args:
        result: the figures.
        rivals: the networks.
        examples: the data set.
        plan: what was computed.
        folder: where the comparison's journal is.
        title: the report's.
        most: how many images it shows; the figures are of all.
    """
    entries = _images(result, examples[:most], Journal(folder / JOURNAL, fits))
    names = list(dict.fromkeys([*plan.recipe.methods, *(row.method for row in result.rows)]))
    measured = {row.metric for row in result.rows}
    return Report(
        title=title,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        config={**plan.document([rival.label for rival in rivals]), "images": result.images},
        versions=versions(),
        nets=[NetEntry(r.label, r.net.name, r.net.weights, _layer_of(result, r.label)) for r in rivals],
        methods=[_method(name) for name in names],
        metrics=[
            MetricEntry(m.name, m.title, m.higher_is_better, not m.name.startswith("max-box-acc"), m.share)
            for m in METRICS.values()
            if m.name in measured
        ],
        results=result.rows,
        pairs=result.pairs,
        conclusions=result.conclusions if result.images >= FEW else (),  # the headline says that nothing can be told
        images=entries,
        headline=result.headline,
    )


def _method(name: str) -> MethodEntry:
    if name not in METHODS:
        return MethodEntry(name, _TITLES[name])
    return method_entry(name)


def _layer_of(result: ComparisonResult, label: str) -> str:
    return next((row.layer for row in result.rows if row.net == label and row.layer), "")


def _images(result: ComparisonResult, examples: Sequence[Example], journal: Journal) -> list[ImageEntry]:
    names = {example.name for example in examples}
    records: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in result.measured.records(journal):
        if record["image"] in names:
            records[record["image"]].append(record)
    return [
        _entry(f"i{number}", example, records[example.name])
        for number, example in enumerate(examples)
        if records[example.name]
    ]


def _entry(name: str, example: Example, records: Sequence[Mapping[str, Any]]) -> ImageEntry:
    height, width = records[0]["size"]
    names = {record["class"]: record["name"] for record in records}
    objects = example.truth.objects if example.truth else ()
    boxes = [Box(o.box, next((names[each] for each in o.labels if each in names), o.name)) for o in objects if o.box]
    path = Path(example.name)
    return ImageEntry(
        id=name,
        file=example.name,
        picture=path if path.suffix and path.exists() else example.load(),
        width=width,
        height=height,
        boxes=boxes,
        subset=example.subset,
        explained=[_explained(record) for record in records],
    )


def _explained(record: Mapping[str, Any]) -> Explained:
    return Explained(
        net=record["net"],
        class_index=record["class"],
        class_name=record["name"],
        probability=record["probability"],
        predicted_name=record["predicted_name"],
        predicted_probability=record["predicted_probability"],
        maps=[_map(method_maps, record) for method_maps in record["maps"] if method_maps["method"] not in BASELINES],
    )


def _map(method_maps: Mapping[str, Any], record: Mapping[str, Any]) -> MapEntry:
    values: NDArray[Any]
    if "picture" in method_maps:
        values = np.array(Image.open(io.BytesIO(base64.b64decode(method_maps["picture"]))).convert("RGB"))
    else:
        cells = np.frombuffer(base64.b64decode(method_maps["cells"]), np.uint8).reshape(method_maps["grid"])
        values = _on_picture((cells / 255).astype(np.float32), record)
    measured = {name: method_maps[name] for name in METRICS if method_maps.get(name) is not None}
    curves = {
        name: method_maps[f"{name}-curve"] for name in ("insertion", "deletion") if f"{name}-curve" in method_maps
    }
    return MapEntry(method_maps["layer"], method_maps["method"], values, measured, curves)


def _on_picture(values: NDArray[np.float32], record: Mapping[str, Any]) -> NDArray[np.float32]:
    """A map that covers the whole picture: where the network saw a part of it, the rest is 0."""
    x0, y0, x1, y1 = record["view"]
    height, width = record["size"]
    return on_picture(values, View((height, width), (values.shape[0], values.shape[1]), (x0, y0, x1, y1)))
