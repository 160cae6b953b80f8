"""`--skip-done`: what an earlier run of the same command has explained isn't explained again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from funcam.cli.messages import console

if TYPE_CHECKING:
    from funcam.pipeline.earlier import ImageSource
    from funcam.pipeline.stream import Job

FLAG = "--skip-done"
EXPLAINED = "explained"
SkipDone: TypeAlias = Annotated[
    bool, typer.Option(FLAG, help="Go on after an interruption: what is done and still holds is left.")
]
GoesOn: TypeAlias = Annotated[
    bool, typer.Option(FLAG, help="Go on after an interruption, as the same command does without it, too.")
]
"""Of commands whose results are figures: nobody wants to see them made again."""


def asked(jobs: Sequence[Job], later: bool, overwrite: bool) -> list[Job]:
    """The jobs with what tells them from others: what was asked, and what it was asked of.

    By the first, results of other options keep their names: options, and the networks' names, weights and classes. By
    the second a later run can tell which results are just this one's: their values and code too, and the versions of
    what computes. Where the results go doesn't count.

    Args:
        jobs: one for each network.
        later: whether a later run may ask for the second, which takes a look at every value.
        overwrite: whether results of other options are replaced.
    """
    from funcam.resuming.question import computed_by, network_named, question_letters

    told = [(job, _said(job)) for job in jobs]
    words = question_letters([[{**said, "fast": None}, network_named(job.net)] for job, said in told])
    question = question_letters([[said, computed_by(job.net, job.device)] for job, said in told]) if later else ""
    return [replace(job, question=question, asked=words, overwrite=overwrite) for job in jobs]


def report_question(jobs: Sequence[Job], images: Sequence[str], folder: Path) -> str:
    """What tells what a report shows from what others do, in letters.

    Args:
        jobs: as `asked` made them.
        images: in the words in which they were asked for: there may be more in a folder the next time.
        folder: where the report goes, from which the images are known.
    """
    from funcam.resuming.places import way
    from funcam.resuming.question import question_letters

    return question_letters([jobs[0].asked, [way(folder, each) for each in images]])


def _said(job: Job) -> dict[str, Any]:
    """The options."""
    no_options = ("net", "device", "out", "also", "question", "asked", "overwrite", "places")
    said = {field.name: getattr(job, field.name) for field in fields(job) if field.name not in no_options}
    return {**said, "recipe": replace(job.recipe, passes=None, summary="")}  # what is told of it isn't asked


def with_names_apart(sources: Sequence[ImageSource], jobs: Sequence[Job]) -> list[ImageSource]:
    """The images, so that no two of them have results of one name.

    Args:
        sources: all images.
        jobs: as `asked` made them.
    """
    from funcam.pipeline.earlier import told_apart

    return told_apart(sources, jobs[0].asked, jobs[0].out, _ending(jobs))


def earlier_records(
    jobs: Sequence[Job], sources: Sequence[ImageSource], silent: bool
) -> dict[ImageSource, dict[str, Any]]:
    """The records of the images that were explained before.

    Args:
        jobs: as `asked` made them.
        sources: all images.
        silent: whether nothing is shown while their files are read.
    """
    from funcam.cli.progress import bar_console, explaining_bar
    from funcam.pipeline.earlier import explained_before

    first = jobs[0]
    found = {}
    with explaining_bar(bar_console(), len(sources), silent, "checking what is done") as tick:
        for source in sources:
            record = explained_before(first.question, first.asked, source, first.out, _ending(jobs))
            if record is not None:
                found[source] = record
            tick()
    return found


def called_otherwise(
    jobs: Sequence[Job], sources: Sequence[ImageSource], records: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Lines on results that aren't called as usual, as others have those names; none where all are.

    Args:
        jobs: one for each network.
        sources: all images.
        records: what came of them.
    """
    from funcam.resuming.words import called_with_letters

    usual = {source.name: f"{source.stem}-{_ending(jobs)}" for source in sources}
    plain = {source.name for source in sources if source.plain}
    called = [(record["image"], Path(record["files"]["record"]).stem) for record in records]
    others = [(image, name) for image, name in called if name != usual[image]]
    told = []
    for own, overwrites in ((plain, True), (usual.keys() - plain, False)):
        names = [(usual[image], name) for image, name in others if image in own]
        if names:
            told.append(called_with_letters(names, jobs[0].out, overwrites))
    return told


def tell_name(record: Path, usual: str) -> None:
    """Say so where results that are no image's aren't called as usual.

    Args:
        record: their record.
        usual: what it is usually called, without `.json`.
    """
    from funcam.resuming.words import called_with_letters

    if record.stem != usual:
        console().print(called_with_letters([(usual, record.stem)], record.parent), markup=False, soft_wrap=True)


def _ending(jobs: Sequence[Job]) -> str:
    """What the names of the records end with."""
    from funcam.pipeline.writing import ENDING

    return jobs[0].label if len(jobs) == 1 else ENDING
