"""Several networks on the same images: a panel with a row for each, and one record of all."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from funcam.errors import FuncamError
from funcam.imaging.panel import PanelRow, panel
from funcam.imaging.reading import Pixels
from funcam.imaging.render import save_picture
from funcam.pipeline.earlier import CONTENTS, MADE_FROM, ImageSource, contents_of
from funcam.pipeline.stream import Job, explain_files, place_of
from funcam.pipeline.writing import ENDING, how_made, panel_rows, small_for_panel, write_record
from funcam.resuming.alone import alone_in
from funcam.resuming.places import ASKED, Place
from funcam.streaming.outcome import Outcome, outcome_of

if TYPE_CHECKING:
    from funcam.pipeline.explaining import ImageExplanation

_AT_ONCE = 8
"""So many images go through one network after the other, and are held until the last one has seen them."""
_EMPTY = 244  # the grey of a picture that a network can't have


@dataclass
class _Seen:
    """An image and what the networks said of it so far."""

    place: Place
    small: Pixels | None = None
    made: dict[str, None] = field(default_factory=dict)
    rows: dict[str, list[PanelRow]] = field(default_factory=dict)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)


def explain_with_several(
    jobs: Sequence[Job], sources: Sequence[ImageSource], wrote: Callable[[ImageSource], object] = lambda _source: None
) -> Generator[Outcome[ImageSource, dict[str, Any]], None, None]:
    """As `explain_files`, with several networks: an image has one panel and one record, and pictures of each network.

    The record has the networks' own records in `nets`, each with its `label`; `failed` tells by label why one has none.

    Args:
        jobs: one for each network; their labels differ.
        sources: the images.
        wrote: called when an image's last file is there.

    Example:
        >>> for outcome in explain_with_several(jobs, sources):  # doctest: +SKIP
        ...     print(outcome.item.name, [record["label"] for record in outcome.get()["nets"]])
    """
    for start in range(0, len(sources), _AT_ONCE):
        part = sources[start : start + _AT_ONCE]
        with alone_in(jobs[0].out):  # no record tells of the first network's pictures until the last is through
            seen = {source: _Seen(place_of(jobs[0], source, ENDING)) for source in part}
            for job in jobs:
                _explain(job, part, seen)
            for source in part:
                outcome = outcome_of(source, partial(_written, jobs, source, seen.pop(source)))
                if outcome.error is None:
                    wrote(source)
                yield outcome


def _explain(job: Job, sources: Sequence[ImageSource], seen: Mapping[ImageSource, _Seen]) -> None:
    """What one network says of some images; its pictures are written."""

    def also(source: ImageSource, image: Pixels, explanation: ImageExplanation) -> None:
        if "panel" in job.style.pictures:
            of = seen[source]
            of.small = small_for_panel(image) if of.small is None else of.small
            of.made.update(dict.fromkeys(how_made(explanation, job.net.classes)))
            weights = " (random weights)" if job.net.weights.startswith("random") else ""
            name = f"{job.label}{weights}, {explanation.layer}: "
            of.rows[job.label] = panel_rows(of.small, explanation, job.style, name)
        if job.also is not None:
            job.also(source, image, explanation)

    pictures = tuple(name for name in job.style.pictures if name != "panel")
    style = replace(job.style, pictures=pictures, record=False)
    places = {source: of.place for source, of in seen.items()}
    with closing(explain_files(replace(job, style=style, also=also, places=places), sources)) as outcomes:
        for outcome in outcomes:
            of = seen[outcome.item]
            if outcome.error is not None:
                of.errors[job.label] = outcome.error
            elif outcome.value is not None:
                of.records[job.label] = {"label": job.label, **outcome.value}


def _written(jobs: Sequence[Job], source: ImageSource, seen: _Seen) -> dict[str, Any]:
    """The record of all networks, once it and the panel are written."""
    if not seen.records:
        raise _of_all(seen.errors)
    job, place = jobs[0], seen.place
    panel_too = seen.small is not None
    name = place.name(f"{source.stem}-{ENDING}", lambda name: _names(name, panel_too).values())
    files = _names(name, panel_too)
    if panel_too:
        _save_panel(job.out / files["panel"], jobs, source, seen)
    record: dict[str, Any] = {
        "image": source.name,
        "nets": list(seen.records.values()),
        "failed": {label: _told(error) for label, error in seen.errors.items()},
        "files": files,
    }
    if place.asked:
        record |= {ASKED: place.asked, CONTENTS: contents_of(job.out, files.values())}
    made = {each.get(MADE_FROM) for each in seen.records.values()}  # of the photo as each network saw it
    if len(made) == 1 and None not in made:
        record[MADE_FROM] = made.pop()
    write_record(job.out / files["record"], record)
    place.done(record)
    return record


def _names(name: str, panel_too: bool) -> dict[str, str]:
    """The files of all networks together."""
    return ({"panel": f"{name}-panel.png"} if panel_too else {}) | {"record": f"{name}.json"}


def _of_all(errors: Mapping[str, Exception]) -> Exception:
    """What every network failed at: the image's own error, or each one's."""
    first, *others = errors.values()
    if all(str(error) == str(first) for error in others):
        return first
    return FuncamError("; ".join(f"{label}: {_told(error)}" for label, error in errors.items()))


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, FuncamError) else f"{type(error).__name__}: {error}"


def _save_panel(path: Path, jobs: Sequence[Job], source: ImageSource, seen: _Seen) -> None:
    assert seen.small is not None
    rows = [row for job in jobs for row in seen.rows.get(job.label, [])]
    titles = list(dict.fromkeys(title for row in rows for title in row.pictures))
    empty = np.full_like(seen.small, _EMPTY)
    full = [replace(row, pictures={title: row.pictures.get(title, empty) for title in titles}) for row in rows]
    subtitle = "; ".join([f"{len(seen.rows)} networks", *seen.made])
    save_picture(path, panel(seen.small, full, title=Path(source.name).name, subtitle=subtitle))
