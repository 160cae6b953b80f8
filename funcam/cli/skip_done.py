"""`--skip-done`: what an earlier run of the same command has explained isn't explained again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

if TYPE_CHECKING:
    from funcam.pipeline.earlier import ImageSource
    from funcam.pipeline.stream import Job

SkipDone: TypeAlias = Annotated[
    bool, typer.Option("--skip-done", help="Go on after an interruption: what is done and still holds is left.")
]
GOES_ON = "the same command with --skip-done goes on"


def asked(jobs: Sequence[Job]) -> list[Job]:
    """The jobs with what tells them from others, so that a later run can tell which results are of this one.

    Options, the networks' values and code, their classes, and the versions of what computes; where the results go
    doesn't count.

    Args:
        jobs: one for each network.
    """
    from funcam.comparison.identity import letters_of
    from funcam.comparison.versions import all_versions

    question = letters_of([*map(_said, jobs), dict(all_versions())])
    return [replace(job, question=question) for job in jobs]


def _said(job: Job) -> list[Any]:
    from funcam.comparison.identity import model_letters

    said = {field.name: getattr(job, field.name) for field in fields(job) if field.name not in ("net", "out", "also")}
    net = {field.name: getattr(job.net, field.name) for field in fields(job.net) if field.name != "model"}
    return [said, net, model_letters(job.net.model)]


def earlier_records(jobs: Sequence[Job], sources: Sequence[ImageSource]) -> dict[ImageSource, dict[str, Any]]:
    """The records of the images that were explained before.

    Args:
        jobs: as `asked` made them.
        sources: all images.
    """
    from funcam.pipeline.earlier import explained_before
    from funcam.pipeline.writing import ENDING

    first = jobs[0]
    ending = first.label if len(jobs) == 1 else ENDING
    found = {each: explained_before(first.question, each, first.out / f"{each.stem}-{ending}.json") for each in sources}
    return {source: record for source, record in found.items() if record is not None}
