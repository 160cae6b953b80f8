"""`funcam evaluate`: the best recipe for one network on one's own images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from funcam.cli import dataset_options as dataset
from funcam.cli.collector import collect_again
from funcam.cli.device import check_device
from funcam.cli.messages import FAILURE, UsageError, complain, console, loading, make_results_folder
from funcam.cli.net_option import OWN, load_rivals, nets_by_label
from funcam.cli.recipe_options import compared_methods, separated
from funcam.cli.report_option import Overwrite
from funcam.cli.skip_done import GoesOn, tell_name
from funcam.comparison.plan import LOCALISATION, METRICS, Plan
from funcam.errors import json_text, nearest
from funcam.resuming.alone import alone_in
from funcam.resuming.places import ASKED, Place, results_place

if TYPE_CHECKING:
    from funcam.comparison.dataset import Example
    from funcam.comparison.plan import Rival
    from funcam.searching.recommendation import Recommendation
    from funcam.searching.search import SearchSpace

RECIPE = "recipe"
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
_STAGES = ("methods and layers", "variations", "together", "costs")
_QUICK = ("methods and layers", "costs")


def evaluate(
    images: dataset.Images = None,
    net: Annotated[str, typer.Option("--net", "-n", help=f"NAME, {OWN}; =WEIGHTS behind it.")] = "scenes",
    methods: Annotated[
        list[str] | None, typer.Option("--method", "-m", help="Candidates; repeat. Else those that are quick.")
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option("--layer", "-l", help="Candidates, the coarsest first; repeat. Else the last layer of each size."),
    ] = None,
    truth: dataset.TruthPath = None,
    names: dataset.Names = None,
    scenes: dataset.Scenes = None,
    metric: Annotated[str | None, typer.Option("--by", help="The metric that chooses; else max-box-acc-v2.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Methods and layers only, without variations.")] = False,
    fit: dataset.Fit = "squash",
    size: dataset.InputSize = None,
    device: Annotated[str, typer.Option("--device", "-d", help="auto, cpu, cuda, ...")] = "auto",
    batch: dataset.Batch = 8,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("evaluation"),
    overwrite: Overwrite = False,
    skip_done: GoesOn = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON document, only.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> int:
    """Find a network's best recipe (method, layers, smoothing, size): half of the images choose, the others report."""
    specs = nets_by_label([net])
    candidates = compared_methods(methods or _CANDIDATES)
    by = _metric(metric, known=truth is not None or scenes is not None)
    dataset.check_dataset(images, truth, names, scenes, fit)
    check_device(device)
    load_examples = dataset.find_dataset(images or [], truth, names, scenes)
    make_results_folder(out)
    silent = quiet or as_json
    with loading("", silent):
        from funcam.searching.search import SearchSpace

        (rival,) = load_rivals(specs, device)
        examples, problems = load_examples(rival.net.classes)
    space = SearchSpace(by, candidates, separated(layers or []), size, quick)
    base = Plan(groups=(METRICS[by].group,), fit=fit, batch=batch)
    recommendation = _search(rival, examples, space, base, out, silent, quiet)
    words = dataset.words_of(images or [], truth, names, scenes, out)
    with alone_in(out):
        record = _write(recommendation, results_place(out, RECIPE, space.asked(rival, base, words), overwrite))
    for problem in [*problems, *recommendation.notes, *recommendation.problems]:
        complain(problem)
    _print(recommendation, record, as_json, quiet)
    return FAILURE if recommendation.problems else 0


def _metric(name: str | None, known: bool) -> str:
    """The metric that chooses; what needs truth is refused where there is none."""
    by = name or ("max-box-acc-v2" if known else "insertion")
    if by not in METRICS:
        raise UsageError(f"--by {by!r} is no metric; nearest: {nearest(by, METRICS)}")
    if METRICS[by].group == LOCALISATION and not known:
        raise UsageError(f"--by {by} needs to know where the objects are; give --truth or --scenes")
    return by


def _search(
    rival: Rival, examples: Sequence[Example], space: SearchSpace, base: Plan, out: Path, silent: bool, quiet: bool
) -> Recommendation:
    """Run the search, with progress bars on a terminal."""
    from funcam.cli.progress import stage_bars
    from funcam.searching.recommendation import recommend
    from funcam.searching.search import search

    collect_again()
    with stage_bars(_QUICK if space.quick else _STAGES, silent, quiet) as (stage, ticks):
        told = partial(search, stage=stage, tick=ticks.tick, earlier=ticks.earlier, timed=ticks.timed)
        result = told(rival, examples, space, base, out)
    return recommend(result, rival, space.metric, base.fit)


def _write(recommendation: Recommendation, place: Place) -> Path:
    from funcam.comparison.findings import finite
    from funcam.files import write_atomically

    files = {"record": f"{place.name(RECIPE, lambda name: [f'{name}.json'])}.json"}
    document = {**recommendation.document(), "files": files, ASKED: place.asked}
    text = json_text(finite(document), indent=1) + "\n"
    write_atomically(place.folder / files["record"], text.encode(errors="backslashreplace"), links=False)
    place.done(document)
    return place.folder / files["record"]


def _print(recommendation: Recommendation, record: Path, as_json: bool, quiet: bool) -> None:
    if as_json:
        print(json_text(json.loads(record.read_bytes()), indent=1, ascii_only=True))
    elif not quiet:
        from funcam.cli.recipe_table import print_recommendation

        print_recommendation(console(), recommendation, record)
        tell_name(record, RECIPE)
