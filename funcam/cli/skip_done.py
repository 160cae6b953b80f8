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


def asked(job: Job) -> Job:
    """The job with what tells it from others, so that a later run can tell which results are of this one.

    Options, the network's values and code, its classes, and the versions of what computes; where the results go doesn't
    count.

    Args:
        job: what is the same for all images.
    """
    from funcam.comparison.identity import letters_of, model_letters
    from funcam.comparison.versions import all_versions

    said = {field.name: getattr(job, field.name) for field in fields(job) if field.name not in ("net", "out")}
    net = {field.name: getattr(job.net, field.name) for field in fields(job.net) if field.name != "model"}
    return replace(job, question=letters_of([said, net, model_letters(job.net.model), dict(all_versions())]))


def earlier_records(job: Job, sources: Sequence[ImageSource]) -> dict[ImageSource, dict[str, Any]]:
    """The records of the images that were explained before.

    Args:
        job: as `asked` made it.
        sources: all images.
    """
    from funcam.pipeline.earlier import explained_before

    found = {each: explained_before(job.question, each, job.out / f"{each.stem}-{job.label}.json") for each in sources}
    return {source: record for source, record in found.items() if record is not None}
