"""A comparison's report: the journal's pictures and figures, put into the form that the page and the gallery draw."""

from __future__ import annotations

import base64
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from funcam.comparison.dataset import Subject
from funcam.comparison.journal import Journal
from funcam.comparison.plan import BASELINES, METRICS, Plan, Rival
from funcam.comparison.results import Run, labels_by_key, versions
from funcam.comparison.run import JOURNAL
from funcam.imaging.fit import View, onto_image
from funcam.methods import METHODS
from funcam.report.data import (
    MAP,
    PIXELS,
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

_TITLES = {"centre-gaussian": "Centre Gaussian", "uniform": "Uniform", "random": "Random"}
_PER_IMAGE = 64  # cells of a map's longer side on a picture that the network saw a part of


def report_of(
    run: Run, rivals: Sequence[Rival], subjects: Sequence[Subject], plan: Plan, folder: Path, *, title: str, most: int
) -> Report:
    """Everything that a report shows.

    Args:
        run: the figures.
        rivals: the networks.
        subjects: the data set.
        plan: what was computed.
        folder: where the comparison's journal is.
        title: the report's.
        most: how many images it shows; the figures are of all.
    """
    entries = _images(rivals, subjects[:most], plan, Journal(folder / JOURNAL))
    names = list(dict.fromkeys([*plan.methods, *(row["method"] for row in run.rows)]))
    measured = {row["metric"] for row in run.rows}
    return Report(
        title=title,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        config={**asdict(plan), "images": run.images},
        versions=versions(),
        nets=[NetEntry(r.label, r.net.name, r.net.weights, _layer_of(run, r.label)) for r in rivals],
        methods=[_method(name) for name in names],
        metrics=[
            MetricEntry(m.name, m.title, m.higher_is_better, not m.name.startswith("max-box-acc"))
            for m in METRICS.values()
            if m.name in measured
        ],
        results=[Result(**row) for row in run.rows],
        pairs=[Pair(**row) for row in run.pairs],
        conclusions=run.conclusions,
        images=entries,
    )


def _method(name: str) -> MethodEntry:
    if name not in METHODS:
        return MethodEntry(name, _TITLES[name])
    return MethodEntry(name, METHODS[name].title, PIXELS if METHODS[name].gives == "pixels" else MAP)


def _layer_of(run: Run, label: str) -> str:
    return next((row["layer"] for row in run.rows if row["net"] == label and row["layer"]), "")


def _images(rivals: Sequence[Rival], subjects: Sequence[Subject], plan: Plan, journal: Journal) -> list[ImageEntry]:
    labels = labels_by_key(rivals, plan)
    wanted = {subject.name for subject in subjects}
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in journal.records(set(labels)):
        if record["image"] in wanted:
            found[record["image"]] += [{**record, "net": label} for label in labels[record["key"]]]
    return [_entry(f"i{n}", s, found[s.name]) for n, s in enumerate(subjects) if found[s.name]]


def _entry(name: str, subject: Subject, records: Sequence[Mapping[str, Any]]) -> ImageEntry:
    height, width = records[0]["size"]
    boxes = [Box(o.box, o.name) for o in (subject.truth.objects if subject.truth else ()) if o.box]
    path = Path(subject.name)
    return ImageEntry(
        id=name,
        file=subject.name,
        picture=path if path.suffix and path.exists() else subject.load(),
        width=width,
        height=height,
        boxes=boxes,
        subset=subject.subset,
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
        maps=[_map(made, record) for made in record["maps"] if made["method"] not in BASELINES],
    )


def _map(made: Mapping[str, Any], record: Mapping[str, Any]) -> MapEntry:
    values: NDArray[Any]
    if "picture" in made:
        values = np.array(Image.open(io.BytesIO(base64.b64decode(made["picture"]))).convert("RGB"))
    else:
        cells = np.frombuffer(base64.b64decode(made["cells"]), np.uint8).reshape(made["grid"])
        values = _on_picture((cells / 255).astype(np.float32), record)
    measured = {name: made[name] for name in METRICS if made.get(name) is not None}
    curves = {name: made[f"{name}-curve"] for name in ("insertion", "deletion") if f"{name}-curve" in made}
    return MapEntry(made["layer"], made["method"], values, measured, curves)


def _on_picture(values: NDArray[np.float32], record: Mapping[str, Any]) -> NDArray[np.float32]:
    """A map that covers the whole picture: where the network saw a part of it, the rest is 0."""
    height, width = record["size"]
    x0, y0, x1, y1 = record["view"]
    if (x0, y0, x1, y1) == (0, 0, width, height):
        return values
    scale = _PER_IMAGE / max(height, width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    placed: NDArray[np.float32] = np.nan_to_num(
        onto_image(values, View((height, width), values.shape[:2], (x0, y0, x1, y1)), size)
    )
    return placed
