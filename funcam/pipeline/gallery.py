"""Explained images as a report: the gallery of a run, without truth and without metrics."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from funcam.imaging.fit import onto_image
from funcam.imaging.reading import Pixels
from funcam.imaging.render import picture_size, scale_map, signed_picture
from funcam.methods import METHODS
from funcam.pipeline.earlier import ImageSource
from funcam.pipeline.stream import Job
from funcam.pipeline.writing import versions
from funcam.report.data import ALPHA, Explained, ImageEntry, MapEntry, NetEntry, Report, method_entry
from funcam.report.pictures import LONGEST, on_picture, small_picture

if TYPE_CHECKING:
    from funcam.pipeline.explaining import ImageExplanation, Provenance

MOST = 200
"""So many images a gallery shows, the first ones: their pictures are held until it is written."""
_MOST_NAMED = 3  # networks in the title; more are counted


class Gallery:
    """What a report shows of a run; it is filled by the threads that write the results.

    Args:
        jobs: one for each network.
        sources: the images; the first `MOST` are shown.
        colormap: the one that somebody asked for; "" for the report's own.
        alpha: the weight of the heat that somebody asked for; None for the report's own.
    """

    def __init__(
        self, jobs: Sequence[Job], sources: Sequence[ImageSource], colormap: str = "", alpha: float | None = None
    ) -> None:
        self.jobs, self.sources, self.colormap = jobs, sources, colormap
        self.alpha = ALPHA if alpha is None else alpha
        self._images: dict[ImageSource, ImageEntry] = {}
        self._explained: dict[ImageSource, dict[str, list[Explained]]] = defaultdict(dict)
        self._layers: dict[str, str] = {}
        self._methods: dict[str, None] = {}
        self._names = Counter(Path(source.name).name for source in sources)
        self._ids = {source: f"i{number}" for number, source in enumerate(sources[:MOST])}

    def add(self, label: str, source: ImageSource, image: Pixels, explanation: ImageExplanation) -> None:
        """Keep what is shown of an image, as small as it is shown.

        Args:
            label: the network's.
            source: which image.
            image: its pixels.
            explanation: what the network said of it.
        """
        if source not in self._ids:
            return
        height, width = image.shape[:2]
        name = self._ids[source]
        self._images[source] = ImageEntry(name, self._file(source), small_picture(image), width, height)
        self._explained[source][label] = _explained(label, explanation)
        self._layers.setdefault(label, explanation.layer)
        self._methods.update(dict.fromkeys(each.method for each in explanation.provenance))

    def _file(self, source: ImageSource) -> str:
        """What the image is called: its file's name; where several share that, the path that was given."""
        name = Path(source.name).name
        return name if self._names[name] == 1 else source.name

    def report(self) -> Report:
        """The report of the images that were added; networks are in the order of the jobs."""
        labels = [job.label for job in self.jobs]
        entries = []
        for source, image in sorted(self._images.items(), key=lambda item: int(item[1].id[1:])):
            of = self._explained[source]
            entries.append(replace(image, explained=[each for label in labels for each in of.get(label, [])]))
        images = f"{len(self.sources)} image{'s' * (len(self.sources) != 1)}"
        first = self.jobs[0]
        return Report(
            title=f"{', '.join(labels) if len(labels) <= _MOST_NAMED else f'{len(labels)} networks'} on {images}",
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            config={
                "images": len(self.sources),
                "methods": ", ".join(name for name in METHODS if name in self._methods),
                "fit": first.fit,
                "smooth": ", ".join(first.recipe.smooth) or "none",
            },
            versions=versions(),
            nets=[NetEntry(j.label, j.net.name, j.net.weights, self._layers.get(j.label, "")) for j in self.jobs],
            methods=[method_entry(name) for name in METHODS if name in self._methods],
            images=entries,
            headline=random_nets(self.jobs) or "",
            colormap=self.colormap,
            alpha=self.alpha,
        )


def random_nets(jobs: Sequence[Job]) -> str | None:
    """Which networks have random weights, in a sentence; None if none has."""
    labels = [job.label for job in jobs if job.net.weights.startswith("random")]
    if not labels:
        return None
    have = "have" if len(labels) > 1 else "has"
    return f"{', '.join(labels)} {have} random weights: what the maps show there was not learned"


def _explained(label: str, explanation: ImageExplanation) -> list[Explained]:
    best = explanation.predictions[0]
    return [
        Explained(
            net=label,
            class_index=each.index,
            class_name=each.name,
            probability=each.probability,
            predicted_name=best.name,
            predicted_probability=best.probability,
            maps=[_map(explanation, row, provenance) for provenance in explanation.provenance],
        )
        for row, each in enumerate(explanation.explained)
    ]


def _map(explanation: ImageExplanation, row: int, made: Provenance) -> MapEntry:
    values, view = explanation.maps[made.name][row], explanation.view
    if METHODS[made.method].gives == "pixels":
        size = picture_size(view.image_size, min(LONGEST, max(view.image_size)))
        return MapEntry("", made.method, signed_picture(onto_image(values, view, size)))
    layer = made.layer if METHODS[made.method].at_layer else ""
    return MapEntry(layer, made.method, on_picture(np.asarray(scale_map(values)), view))
