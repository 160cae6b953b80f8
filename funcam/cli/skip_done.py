"""`--skip-done`: what an earlier run of the same command has explained isn't explained again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    from funcam.comparison.identity import letters_of, model_letters
    from funcam.comparison.versions import all_versions

    said = [_said(job) for job in jobs]
    options = letters_of([{**each, "device": None, "fast": None} for each in said])
    question = ""
    if later:
        models = [model_letters(job.net.model) for job in jobs]
        question = letters_of([said, models, dict(all_versions())])
    return [replace(job, question=question, asked=options, overwrite=overwrite) for job in jobs]


def _said(job: Job) -> dict[str, Any]:
    """What was asked, and the network but for its model."""
    net = {field.name: getattr(job.net, field.name) for field in fields(job.net) if field.name != "model"}
    no_words = ("net", "out", "also", "question", "asked", "overwrite", "places", "recipe")
    recipe = replace(job.recipe, passes=None, summary="")  # what is told of it is no part of what is asked
    told = {field.name: getattr(job, field.name) for field in fields(job) if field.name not in no_words}
    return {"net": net, "recipe": recipe, **told}


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
    from funcam.pipeline.earlier import asked_of, explained_before
    from funcam.pipeline.places import other_name

    first = jobs[0]
    found = {}
    with explaining_bar(bar_console(), len(sources), silent, "checking what is done") as tick:
        for source in sources:
            name = f"{source.stem}-{_ending(jobs)}"
            for chosen in (name, other_name(name, asked_of(first.asked, source, first.out))):
                record = explained_before(first.question, source, first.out / f"{chosen}.json")
                if record is not None:
                    found[source] = record
                    break
            tick()
    return found


def told_before(before: int, total: int) -> str:
    """How many images are left as an earlier run made them."""
    nothing = "nothing was left to do: " if before == total else ""
    return f"{nothing}{before} of {total} images were explained before, and are left as they are"


def called_otherwise(
    jobs: Sequence[Job], sources: Sequence[ImageSource], records: Sequence[Mapping[str, Any]]
) -> list[str]:
    """A line on results that aren't called as usual, as others have those names; none where all are.

    Args:
        jobs: one for each network.
        sources: all images.
        records: what came of them.
    """
    usual = {f"{source.stem}-{_ending(jobs)}.json" for source in sources}
    others = [name for record in records if (name := record["files"]["record"]) not in usual]
    if not others:
        return []
    name, more = others[0].removesuffix(".json"), f", and {len(others) - 1} more like it" if others[1:] else ""
    usual_name = next((each for each in sorted(usual) if name.startswith(each.removesuffix(".json"))), "others")
    where = f"{usual_name} in {str(jobs[0].out)!r} or its pictures are of other options and stay"
    return [f"{where}: these are called {name}{more}; --overwrite replaces those"]


def _ending(jobs: Sequence[Job]) -> str:
    from funcam.pipeline.writing import ENDING

    return jobs[0].label if len(jobs) == 1 else ENDING
