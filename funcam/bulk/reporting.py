"""Rows of a store as a report: the page with its sliders, over a sample of any number of images."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import numpy as np

from funcam.bulk.pictures import Seen, seen_again
from funcam.errors import FuncamError
from funcam.imaging.fit import onto_image
from funcam.imaging.render import picture_size, resize_picture, scale_map
from funcam.report import Explained, ImageEntry, MapEntry, NetEntry, Report
from funcam.report.data import method_entry
from funcam.store import Row, Store
from funcam.zoo.labels import class_name

_PICTURE, _CELLS = 640, 64
"""Pixels of a picture's longer side, and cells of a map's that covers only a part of it."""


def sample(rows: Iterable[Row], most: int) -> list[Row]:
    """So many of the rows, drawn by lot, in their order: the same ones each time.

    Args:
        rows: taken one by one; a sample is in memory.
        most: how many.

    Example:
        >>> len(sample((Row(index, f"{index}.jpg") for index in range(1000)), 3))
        3
    """
    lot, left = random.Random(0), iter(rows)
    chosen = list(islice(left, most))
    for seen, row in enumerate(left, start=most):
        place = lot.randrange(seen + 1)
        if place < most:
            chosen[place] = row
    return sorted(chosen, key=lambda row: row.index)


def report_of(store: Store, rows: Sequence[Row], colormap: str = "") -> tuple[Report, list[tuple[Row, FuncamError]]]:
    """Everything that a report shows of rows, and the rows of which it can't show anything.

    Args:
        store: where the rows come from.
        rows: which.
        colormap: the one that its maps are first shown in; "" for the usual.
    """
    question, entries, failed = store.question, list[ImageEntry](), list[tuple[Row, FuncamError]]()
    for row, made in seen_again(store, rows, lambda seen: _entry(seen, question)):
        if isinstance(made, FuncamError):
            failed.append((row, made))
        else:
            entries.append(made)
    method = question["method"]
    report = Report(
        title=f"{len(entries):,} of {store.count:,} images in {store.folder.name}",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        config={name: value for name, value in question.items() if name not in ("classes", "versions")},
        versions=question["versions"],
        nets=[NetEntry(question["net"], question["net"], question["weights"], _layer(question))],
        methods=[method_entry(method)],
        images=entries,
        colormap=colormap,
    )
    return report, failed


def _entry(seen: Seen, question: dict[str, Any]) -> ImageEntry:
    row, (height, width) = seen.row, seen.image.shape[:2]
    (best, confidence), classes = row.top[0], question["classes"]
    target = best if row.target is None else row.target
    told = Explained(
        net=question["net"],
        class_index=target,
        class_name=class_name(target, classes) + _as_it_is(row.score),
        probability=_share(row.score),
        predicted_name=class_name(best, classes) + _as_it_is(confidence),
        predicted_probability=_share(confidence),
        maps=[MapEntry(_layer(question), question["method"], _values(seen))],
    )
    picture = resize_picture(seen.image, picture_size((height, width), min(_PICTURE, max(height, width))))
    return ImageEntry(f"i{row.index}", row.path, picture, width, height, explained=[told])


def _values(seen: Seen) -> Any:
    """A map that covers the whole picture, in 0..1: where the network saw a part of it, the rest is 0."""
    height, width = seen.image.shape[:2]
    values = scale_map(np.asarray(seen.row.map))
    if tuple(seen.view.box) == (0, 0, width, height):
        return values
    return np.nan_to_num(onto_image(values, seen.view, picture_size((height, width), min(_CELLS, max(height, width)))))


def _layer(question: dict[str, Any]) -> str:
    return "+".join(question["layers"])


def _share(score: float | None) -> float:
    """A probability; of what is none, a logit, the nearest: its name tells it."""
    return 0.0 if score is None else min(max(score, 0.0), 1.0)


def _as_it_is(score: float | None) -> str:
    """A score that is no probability, in words."""
    return "" if score is None or 0 <= score <= 1 else f" (score {score:.3g})"
