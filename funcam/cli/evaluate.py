"""`funcam evaluate`: the best recipe for one network on one's own images."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from funcam.cli import compare as comparing
from funcam.cli.messages import FAILURE, UsageError, complain, console
from funcam.cli.net_option import OWN
from funcam.cli.recipe_options import asked_of
from funcam.comparison.plan import LOCALISATION, METRICS, Plan
from funcam.errors import nearest

if TYPE_CHECKING:
    from funcam.comparison.dataset import Example
    from funcam.comparison.plan import Rival
    from funcam.searching.advice import Advice
    from funcam.searching.search import SearchSpec

RECIPE = "recipe.json"
# These share one forward pass and few backward ones; the others are asked for by name.
_CANDIDATES = (
    "grad-cam",
    "grad-cam++",
    "xgrad-cam",
    "hires-cam",
    "layer-cam",
    "eigen-grad-cam",
    "finer-cam",
    "fem",
    "prototype-cam",
)
_STAGES = ("methods and layers", "variations", "together")


def evaluate(
    images: comparing.Images = None,
    net: Annotated[str, typer.Option("--net", "-n", help=f"NAME, {OWN}; =WEIGHTS behind it.")] = "scenes",
    methods: Annotated[
        list[str] | None, typer.Option("--method", "-m", help="Candidates; repeat. Else those that are quick.")
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option("--layer", "-l", help="Candidates, the coarsest first; repeat. Else the last layer of each size."),
    ] = None,
    truth: comparing.Truths = None,
    names: comparing.Names = None,
    scenes: comparing.Scenes = None,
    metric: Annotated[str | None, typer.Option("--by", help="The metric that chooses; else max-box-acc-v2.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Methods and layers only, without variations.")] = False,
    fit: Annotated[str, typer.Option("--fit", help="squash, crop or pad.")] = "squash",
    size: comparing.Sizes = None,
    device: Annotated[str, typer.Option("--device", "-d", help="auto, cpu, cuda, ...")] = "auto",
    batch: Annotated[int, typer.Option("--batch", min=1, help="Images at once.")] = 8,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("evaluation"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON document, only.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> int:
    """Find a network's best recipe (method, layers, smoothing, size): half of the images choose, the others report."""
    labels = comparing.labels_of([net])
    words = asked_of(methods or list(_CANDIDATES), [], None, [], [])
    by = _metric(metric, known=truth is not None or scenes is not None)
    comparing.check(images, truth, names, scenes, "truth", "boxes", fit, None, [], words, {})
    examples_of = comparing.source(images or [], truth, names, scenes)
    comparing.make(out)
    silent = quiet or as_json
    with comparing.loading(silent):
        from funcam.searching.search import SearchSpec

        (rival,) = comparing.rivals_of(labels, device)
        examples, problems = examples_of(rival.net.classes)
    asked = SearchSpec(by, words.methods, layers or (), size, quick)
    base = Plan(groups=(METRICS[by].group,), fit=fit, batch=batch)
    advice = _advice(rival, examples, asked, base, out, silent)
    _write(advice, out)
    for problem in [*problems, *advice.problems]:
        complain(problem)
    _print(advice, out, as_json, quiet)
    return FAILURE if advice.problems else 0


def _metric(name: str | None, known: bool) -> str:
    """The metric that chooses; what needs truth is refused where there is none."""
    by = name or ("max-box-acc-v2" if known else "insertion")
    if by not in METRICS:
        raise UsageError(f"--by {by!r} is no metric; nearest: {nearest(by, METRICS)}")
    if METRICS[by].group == LOCALISATION and not known:
        raise UsageError(f"--by {by} needs to know where the objects are; give --truth or --scenes")
    return by


def _advice(
    rival: Rival, examples: Sequence[Example], asked: SearchSpec, base: Plan, out: Path, silent: bool
) -> Advice:
    from funcam.searching.advice import advised
    from funcam.searching.search import search

    device = str(next(rival.net.model.parameters()).device)
    gc.enable()  # off since the start (see main): a search is long
    with _progress(silent) as (stage, tick):
        found = search(rival, examples, asked, base, out, device=device, stage=stage, tick=tick)
    return advised(found, rival, asked.metric, base.fit)


@contextmanager
def _progress(silent: bool) -> Iterator[tuple[Callable[[int, int, int], None], Callable[[int], None]]]:
    """A bar for each stage, on a terminal."""
    shown = console(stderr=True)
    if silent or not shown.is_terminal:
        yield lambda _number, _recipes, _images: None, lambda _count: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=shown, transient=True) as progress:

        def stage(number: int, recipes: int, images: int) -> None:
            for task in progress.task_ids:
                progress.remove_task(task)
            told = f"stage {number} of {len(_STAGES)}, {_STAGES[number - 1]}: {recipes} recipes, images"
            progress.add_task(told, total=images)

        yield stage, lambda count: progress.advance(progress.task_ids[-1], count)


def _write(advice: Advice, out: Path) -> None:
    from funcam.comparison.findings import finite
    from funcam.files import write_atomically

    text = json.dumps(finite(advice.document()), indent=1, ensure_ascii=False) + "\n"
    write_atomically(out / RECIPE, text.encode(errors="backslashreplace"))


def _print(advice: Advice, out: Path, as_json: bool, quiet: bool) -> None:
    if as_json:
        print((out / RECIPE).read_text(encoding="utf-8"), end="")
    elif not quiet:
        from funcam.cli.recipe_table import print_advice

        print_advice(console(), advice, out / RECIPE)
