"""A comparison: image after image before every network, what is measured written down at once, then summed up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from funcam.comparison.dataset import Example
from funcam.comparison.findings import ComparisonResult, summarise, write_comparison
from funcam.comparison.instances import Instance, instances_of
from funcam.comparison.journal import Journal
from funcam.comparison.measuring import Known, measure
from funcam.comparison.plan import Plan, Rival
from funcam.errors import FuncamError
from funcam.imaging.reading import Pixels

JOURNAL = "images.jsonl"

Tick = Callable[[int], None]


def compare(
    rivals: Sequence[Rival],
    examples: Sequence[Example],
    plan: Plan,
    folder: Path,
    *,
    tick: Tick = lambda _count: None,
) -> ComparisonResult:
    """Compare networks, layers and methods over a data set, and write `results.json` and `results.csv`.

    What is measured of an image is written at once to `images.jsonl` in the folder; a comparison that was interrupted
    goes on from there, and memory does not grow with the number of images but by some numbers for each.

    Args:
        rivals: the networks, each on its device.
        examples: the data set.
        plan: what is computed.
        folder: where to; it exists.
        tick: called with the number of images just done, for a progress bar.

    Returns:
        The figures.

    Raises:
        FuncamError: the data set is empty, nothing of it could be done, or a network can't do what is asked of it: the
            first images all fail for one reason.
    """
    problems = fill(rivals, examples, plan, folder, tick=tick)
    result = summarise(rivals, examples, plan, Journal(folder / JOURNAL), problems)
    write_comparison(result, rivals, plan, folder)
    return result


def fill(
    rivals: Sequence[Rival],
    examples: Sequence[Example],
    plan: Plan,
    folder: Path,
    *,
    tick: Tick = lambda _count: None,
) -> list[str]:
    """Measure what the journal in the folder lacks of a comparison; arguments and errors are those of `compare`.

    Returns:
        What could not be done, a line each.
    """
    if not examples:
        raise FuncamError("the data set is empty; expected at least one image")
    journal, keys = Journal(folder / JOURNAL), {rival.label: plan.key(rival) for rival in rivals}
    done = {key: journal.done(key) for key in keys.values()}  # shared by two labels of one network
    work = _Work(plan, journal, keys, {label: done[key] for label, key in keys.items()})
    sized = [rival.sized(plan.recipe) for rival in rivals]
    tick(sum(example.name in names for example in examples for names in work.done.values()))
    left = [example for example in examples if any(example.name not in names for names in work.done.values())]
    for start in range(0, len(left), plan.batch):
        chunk = left[start : start + plan.batch]
        images, known = _loaded(chunk, work.problems), Known()  # once for all networks
        for rival in sized:
            missing = [example for example in chunk if example.name not in work.done[rival.label]]
            for instances in _batches(missing, images, rival, work):
                _measure(instances, rival, work, known)
            tick(len(missing))
    return list(work.problems)


@dataclass(frozen=True)
class _Work:
    """What is computed and where it is written down; by network its key and what is done; what could not be done."""

    plan: Plan
    journal: Journal
    keys: Mapping[str, str]
    done: Mapping[str, set[str]]
    problems: dict[str, None] = field(default_factory=dict)

    def write(self, rival: Rival, instances: Sequence[Instance], known: Known) -> None:
        """Measure instances and write down the records."""
        self.journal.add(self.keys[rival.label], measure(instances, rival, self.plan, known))
        self.done[rival.label].update(instance.example.name for instance in instances)


def _loaded(examples: Sequence[Example], problems: dict[str, None]) -> dict[str, Pixels]:
    """The images by name; what can't be read is noted."""
    images = {}
    for example in examples:
        try:
            images[example.name] = example.load()
        except FuncamError as error:
            problems[_problem(example, error)] = None
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
        work.write(rival, batch, known)
    except FuncamError as error:
        errors: dict[str, FuncamError] = {}
        examples = {instance.example.name: instance.example for instance in batch}
        for name in examples:
            try:
                work.write(rival, [instance for instance in batch if instance.example.name == name], known)
            except FuncamError as alone:
                errors[name] = alone
        if not work.done[rival.label] and len(errors) > 1 and len({str(each) for each in errors.values()}) == 1:
            raise FuncamError(f"{rival.label}: {error}") from error
        work.problems.update({_problem(examples[name], each): None for name, each in errors.items()})


def _problem(example: Example, error: FuncamError) -> str:
    text = str(error)
    return text if example.name in text else f"{example.name}: {text}"
