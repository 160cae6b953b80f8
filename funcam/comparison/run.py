"""A comparison from beginning to end: every image before every network, what is left to do first, then the figures."""

from __future__ import annotations

import csv
import io
import json
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from funcam.comparison.journal import Journal
from funcam.comparison.measuring import Item, items_of, measure
from funcam.comparison.plan import Plan, Rival
from funcam.comparison.subjects import Subject
from funcam.comparison.summing import collected, pairs_of, rows_of
from funcam.conclusions import conclusions
from funcam.errors import FuncamError
from funcam.files import write_atomically

COLUMNS = ("net", "layer", "method", "metric", "subset", "value", "low", "high", "n")
JOURNAL = "images.jsonl"

Tick = Callable[[int], None]


@dataclass(frozen=True)
class Run:
    """What a comparison found.

    Attributes:
        rows: the figures, each ``net, layer, method, metric, subset, value, low, high, n``.
        pairs: paired differences between networks and between methods, with their significance.
        conclusions: what they say, in words.
        problems: the images that could not be done, a line each.
        images: how many were done.
    """

    rows: list[dict[str, Any]]
    pairs: list[dict[str, Any]]
    conclusions: list[str]
    problems: list[str]
    images: int


def compare(
    rivals: Sequence[Rival],
    subjects: Sequence[Subject],
    plan: Plan,
    folder: Path,
    *,
    device: str = "cpu",
    tick: Tick = lambda _count: None,
) -> Run:
    """Compare networks, layers and methods over a data set, and write ``results.json`` and ``results.csv``.

    What is measured of an image is written at once to ``images.jsonl`` in the folder; a comparison that was interrupted
    goes on from there, and memory does not grow with the number of images but by some numbers for each.

    Args:
        rivals: the networks, on the device.
        subjects: the data set.
        plan: what is computed.
        folder: where to; it exists.
        device: where to compute.
        tick: called with the number of images just done, for a progress bar.

    Returns:
        The figures.

    Raises:
        FuncamError: the data set is empty, or nothing of it could be done.
    """
    if not subjects:
        raise FuncamError("the data set is empty; expected at least one image")
    journal = Journal(folder / JOURNAL)
    problems: dict[str, None] = {}
    for rival in rivals:
        key = plan.key(rival)
        done = journal.done(key)
        tick(sum(subject.name in done for subject in subjects))
        left = [subject for subject in subjects if subject.name not in done]
        for batch in _batches(left, rival, plan, problems, tick):
            _measure_batch(batch, rival, plan, device, journal, key, problems)
            tick(len({item.subject.name for item in batch}))
    run = summed_up(rivals, subjects, plan, journal, list(problems))
    write_run(run, rivals, plan, folder)
    return run


def _batches(
    subjects: Sequence[Subject], rival: Rival, plan: Plan, problems: dict[str, None], tick: Tick
) -> Iterator[list[Item]]:
    """Items of one size, some images at a time; what can't be read is noted, and the rest goes on."""
    batch: list[Item] = []
    for subject in subjects:
        try:
            items = items_of(subject, rival, plan)
        except FuncamError as error:
            problems[_named(subject, error)] = None
            tick(1)
            continue
        if batch and (len(batch) + len(items) > plan.batch or batch[0].view.input_size != items[0].view.input_size):
            yield batch
            batch = []
        batch += items
    if batch:
        yield batch


def _measure_batch(
    batch: list[Item],
    rival: Rival,
    plan: Plan,
    device: str,
    journal: Journal,
    key: str,
    problems: dict[str, None],
) -> None:
    try:
        records = measure(batch, rival, plan, device)
    except FuncamError as error:
        subjects = {item.subject.name: item.subject for item in batch}
        if len(subjects) == 1:
            problems[_named(batch[0].subject, error)] = None
            return
        for name in subjects:  # which of them it was
            alone = [item for item in batch if item.subject.name == name]
            _measure_batch(alone, rival, plan, device, journal, key, problems)
        return
    journal.add(key, records)


def _named(subject: Subject, error: FuncamError) -> str:
    text = str(error)
    return text if subject.name in text else f"{subject.name}: {text}"


def summed_up(
    rivals: Sequence[Rival], subjects: Sequence[Subject], plan: Plan, journal: Journal, problems: list[str]
) -> Run:
    """The figures of what the journal holds for these networks and images.

    Raises:
        FuncamError: there is nothing.
    """
    records = list(_wanted(rivals, subjects, plan, journal))
    if not records:
        raise FuncamError(f"no image could be compared: {problems[0] if problems else 'nothing was measured'}")
    values, subsets = collected(records)
    rows, pairs = rows_of(values, subsets), pairs_of(values, subsets)
    images = len({record["image"] for record in records})
    return Run(rows, pairs, conclusions(rows, pairs), problems, images)


def _wanted(
    rivals: Iterable[Rival], subjects: Sequence[Subject], plan: Plan, journal: Journal
) -> Iterator[dict[str, Any]]:
    """The records of these networks and images, without the maps' cells, in which no figure is interested."""
    labels = {plan.key(rival): rival.label for rival in rivals}
    names = {subject.name for subject in subjects}
    for record in journal.records(set(labels)):
        if record["image"] in names:
            record["net"] = labels[record["key"]]
            for made in record["maps"]:
                for unneeded in ("cells", "grid", "picture", "insertion-curve", "deletion-curve"):
                    made.pop(unneeded, None)
            yield record


def write_run(run: Run, rivals: Sequence[Rival], plan: Plan, folder: Path) -> None:
    """Write ``results.csv``, then ``results.json``: figures, differences, conclusions, configuration, versions."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(run.rows)
    write_atomically(folder / "results.csv", stream.getvalue().encode())
    document = {
        "conclusions": run.conclusions,
        "results": run.rows,
        "pairs": run.pairs,
        "images": run.images,
        "problems": run.problems,
        "config": {
            **asdict(plan),
            "nets": [{"label": r.label, "name": r.net.name, "weights": r.net.weights} for r in rivals],
        },
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("funcam", "torch", "torchvision", "numpy")},
        },
    }
    text = json.dumps(_finite(document), indent=1, ensure_ascii=False, default=str) + "\n"
    write_atomically(folder / "results.json", text.encode(errors="backslashreplace"))


def _finite(value: Any) -> Any:
    """NaN is no JSON: null."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and value != value else value
