"""A comparison: image after image before every network, what is measured written down at once, then summed up."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from funcam.comparison.contents import Contents
from funcam.comparison.dataset import Example, check_masks
from funcam.comparison.findings import RESULTS, ComparisonResult, Measured, summarise, write_comparison
from funcam.comparison.form import fits
from funcam.comparison.instances import Instance, instances_of
from funcam.comparison.journal import Journal
from funcam.comparison.measuring import Known, measure
from funcam.comparison.plan import Plan, Rival
from funcam.errors import FuncamError, about
from funcam.imaging.reading import Pixels, announced_bytes
from funcam.resuming.alone import alone_in
from funcam.resuming.places import results_place
from funcam.streaming.in_order import in_order, worker_count
from funcam.streaming.outcome import Outcome

JOURNAL = "images.jsonl"

Tick = Callable[[int], None]


def compare(
    rivals: Sequence[Rival],
    examples: Sequence[Example],
    plan: Plan,
    folder: Path,
    *,
    tick: Tick = lambda _count: None,
    earlier: Tick | None = None,
    asked: str = "",
    overwrite: bool = False,
) -> ComparisonResult:
    """Compare networks, layers and methods over a data set, and write `results.json` and `results.csv`.

    What is measured of an image is written at once to `images.jsonl` in the folder; a comparison that was interrupted
    goes on from there, and memory does not grow with the number of images but by some numbers for each. What has become
    another image, has other truth, or was measured with another network or in another way is measured again. Results
    of other networks, images or plans stay: these have letters in their names then (`record` of what is returned).

    Args:
        rivals: the networks, each on its device.
        examples: the data set.
        plan: what is computed.
        folder: where to; it exists.
        tick: called with the number of images just done, for a progress bar.
        earlier: called first, with the number that an earlier run has done; else `tick` is.
        asked: by what results of the same comparison are known, see `Plan.asked`; by default the images' names tell.
        overwrite: whether other results in the folder are replaced.

    Returns:
        The figures.

    Raises:
        FuncamError: the data set is empty, nothing of it could be done, a network can't do what is asked of it (the
            first images all fail for one reason), or a file can't be written.
    """
    if plan.against == "masks":
        check_masks(examples)
    rivals = [replace(rival) for rival in rivals]  # what is remembered of a network holds for one call
    contents = Contents(examples)
    filled = fill(rivals, examples, plan, folder, contents, tick=tick, earlier=earlier)
    measured = Measured({rival.label: plan.key(rival) for rival in rivals}, contents)
    result = summarise(measured, Journal(folder / JOURNAL, fits), filled.problems, filled.notes)
    with alone_in(folder):
        place = results_place(folder, RESULTS, asked or plan.asked(rivals, [each.name for each in examples]), overwrite)
        return replace(result, record=write_comparison(result, rivals, plan, place))


def fill(
    rivals: Sequence[Rival],
    examples: Sequence[Example],
    plan: Plan,
    folder: Path,
    contents: Contents,
    *,
    tick: Tick = lambda _count: None,
    earlier: Tick | None = None,
) -> Filled:
    """Measure what the journal in the folder lacks of a comparison. Errors are those of `compare`.

    Args:
        rivals: as in `compare`.
        examples: as in `compare`.
        plan: as in `compare`.
        folder: as in `compare`.
        contents: of the examples.
        tick: as in `compare`.
        earlier: as in `compare`.
    """
    if not examples:
        raise FuncamError("the data set is empty; expected at least one image")
    journal, keys = Journal(folder / JOURNAL, fits), {rival.label: plan.key(rival) for rival in rivals}
    done = {key: journal.done(key, contents) for key in keys.values()}  # shared by two labels of one network
    work = _Work(plan, journal, keys, {label: done[key] for label, key in keys.items()}, contents)
    notes = _notes(journal)
    sized = [rival.sized(plan.recipe) for rival in rivals]
    (earlier or tick)(sum(example.name in names for example in examples for names in work.done.values()))
    chunks = [examples[start : start + plan.batch] for start in range(0, len(examples), plan.batch)]
    with closing(_loaded([example for chunk in chunks if work.lacks(chunk) for example in chunk], work)) as loaded:
        for chunk in chunks:
            images, known = _images(chunk, loaded, work), Known()  # once for all networks
            for rival in sized:
                missing = sum(not work.has(rival, example) for example in chunk)
                for instances in _batches(chunk, images, rival, work):
                    if not all(work.has(rival, instance.example) for instance in instances):
                        _measure(instances, rival, work, known)
                tick(missing)
    return Filled(list(work.problems), notes)


@dataclass(frozen=True)
class Filled:
    """How measuring ended.

    Attributes:
        problems: what could not be done, a line each.
        notes: what there is to say of the journal that was there, a line each.
    """

    problems: list[str]
    notes: list[str]


def _notes(journal: Journal) -> list[str]:
    if not journal.damaged:
        return []
    lines = "a line" if journal.damaged == 1 else f"{journal.damaged} lines"
    cause = "cut off, changed, or of another version of funcam"
    return [f"{lines} of {str(journal.path)!r} can't be used ({cause}): what is missing is computed again"]


@dataclass(frozen=True)
class _Work:
    """What is computed and where it is written down; by network its key and what is done; what could not be done."""

    plan: Plan
    journal: Journal
    keys: Mapping[str, str]
    done: Mapping[str, set[str]]
    contents: Contents
    problems: dict[str, None] = field(default_factory=dict)

    def has(self, rival: Rival, example: Example) -> bool:
        """Whether it is written down what a network makes of an image."""
        return example.name in self.done[rival.label]

    def lacks(self, chunk: Sequence[Example]) -> bool:
        """Whether something of a chunk is not written down."""
        return any(example.name not in names for example in chunk for names in self.done.values())

    def write(self, rival: Rival, records: Sequence[Mapping[str, Any]]) -> None:
        """Write down what is not yet."""
        new = [record for record in records if record["image"] not in self.done[rival.label]]
        self.journal.add(self.keys[rival.label], new, self.contents)
        self.done[rival.label].update(record["image"] for record in new)


def _loaded(examples: Sequence[Example], work: _Work) -> Generator[Outcome[Example, Pixels], None, None]:
    """The images, in order, read while the networks are busy with those before."""

    def load(example: Example) -> Pixels:
        work.contents.of(example.name)
        pixels = example.load()
        if work.contents.changed(example.name):  # the journal would be wrong
            raise FuncamError(f"{example.name} changed while it was read; compare again when it stays as it is")
        return pixels

    def size(example: Example) -> int:
        return announced_bytes(example.source) if isinstance(example.source, Path) else 0

    return in_order(load, examples, worker_count() if len(examples) > 1 else 0, size_of=size)


def _images(chunk: Sequence[Example], loaded: Iterator[Outcome[Example, Pixels]], work: _Work) -> dict[str, Pixels]:
    """The images of a chunk of which something is missing, by name; what can't be read is noted.

    All of it are needed: the last digits of a figure depend on what else is in a batch, and so they are those of a run
    that went through.
    """
    images: dict[str, Pixels] = {}
    for outcome in islice(loaded, len(chunk) if work.lacks(chunk) else 0):
        try:
            images[outcome.item.name] = outcome.get()
        except FuncamError as error:
            work.problems[_problem(outcome.item, error)] = None
    return images


def _batches(
    examples: Sequence[Example], images: Mapping[str, Pixels], rival: Rival, work: _Work
) -> Iterator[list[Instance]]:
    """Instances of one size, all of an image together; what can't be put before the network is noted."""
    batch: list[Instance] = []
    for example in examples:
        if example.name not in images:
            continue
        try:
            instances = instances_of(example, images[example.name], rival, work.plan)
        except FuncamError as error:
            work.problems[_problem(example, error)] = None
            continue
        size = instances[0].view.input_size
        if batch and (len(batch) + len(instances) > work.plan.batch or batch[0].view.input_size != size):
            yield batch
            batch = []
        batch += instances
    if batch:
        yield batch


def _measure(batch: Sequence[Instance], rival: Rival, work: _Work, known: Known) -> None:
    """Measure a batch; where that fails, its images one by one, to find which it was.

    Raises:
        FuncamError: this network has done nothing yet and all of the batch fails for one reason.
    """
    try:
        records = measure(batch, rival, work.plan, known)
    except FuncamError as error:
        errors: dict[str, FuncamError] = {}
        examples = {instance.example.name: instance.example for instance in batch}
        for name in examples:
            own = [instance for instance in batch if instance.example.name == name]
            try:
                records = measure(own, rival, work.plan, known)
            except FuncamError as alone:
                errors[name] = alone
            else:
                work.write(rival, records)
        if not work.done[rival.label] and len(errors) > 1 and len({str(each) for each in errors.values()}) == 1:
            raise FuncamError(f"{rival.label}: {error}") from error
        work.problems.update({_problem(examples[name], each): None for name, each in errors.items()})
    else:
        work.write(rival, records)


def _problem(example: Example, error: FuncamError) -> str:
    return about(example.name, str(error))
