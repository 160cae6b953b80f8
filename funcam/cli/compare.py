"""`funcam compare`: which network, which layer, which method localises best, over a data set, with error bars."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from funcam.cli import dataset_options as dataset
from funcam.cli.collector import collect_again
from funcam.cli.device import check_device
from funcam.cli.messages import (
    FAILURE,
    UsageError,
    check_choice,
    complain,
    console,
    loading,
    make_results_folder,
)
from funcam.cli.net_option import OWN, layers_by_label, load_rivals, nets_by_label
from funcam.cli.opening import show
from funcam.cli.recipe_options import (
    check_combination,
    check_smoothings,
    compared_methods,
    separated,
    settings_of,
)
from funcam.cli.report_option import Alpha, Colormap, Overwrite, Reports, check_reports, report_style, tell_replaced
from funcam.cli.skip_done import GoesOn, tell_name
from funcam.comparison.plan import BASELINES, CONFIDENCE, FAITHFULNESS, GROUPS, LOCALISATION, USUAL_RECIPE, Plan
from funcam.errors import FuncamError, json_text
from funcam.recipe import Recipe

if TYPE_CHECKING:
    from funcam.comparison.dataset import Example
    from funcam.comparison.findings import ComparisonResult
    from funcam.comparison.plan import Rival

_REPORTED = 500
_CHEAP = (
    "without --truth, average drop and gain are measured, two forward passes a map; --metrics faithfulness adds "
    "insertion and deletion (100 passes), and --truth how well maps fit the objects"
)


def compare(
    images: dataset.Images = None,
    nets: Annotated[
        list[str] | None,
        typer.Option("--net", "-n", help=f"NAME, {OWN}; LABEL: before it, =WEIGHTS behind; repeat."),
    ] = None,
    methods: Annotated[
        list[str] | None, typer.Option("--method", "-m", help="Method; repeat. Else Grad-CAM and Grad-CAM++.")
    ] = None,
    layers: Annotated[
        list[str] | None, typer.Option("--layer", "-l", help="LAYER of every network, or LABEL=LAYER; repeat.")
    ] = None,
    truth: dataset.TruthPath = None,
    names: dataset.Names = None,
    against: Annotated[
        str | None, typer.Option("--against", help="boxes (else), or masks where the truth has them.")
    ] = None,
    scenes: dataset.Scenes = None,
    target: Annotated[
        str | None, typer.Option("--target", help="truth (the labelled class; where it is known) or predicted.")
    ] = None,
    metrics: Annotated[
        list[str] | None, typer.Option("--metrics", help=f"{', '.join(GROUPS)}, or all; repeat.")
    ] = None,
    combine: Annotated[str | None, typer.Option("--combine", help="Several layers as one: mean, max, product.")] = None,
    smooth: Annotated[list[str] | None, typer.Option("--smooth", help="aug, eigen; repeat.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="METHOD.OPTION=VALUE; repeat.")] = None,
    fit: dataset.Fit = "squash",
    size: dataset.InputSize = None,
    device: Annotated[str, typer.Option("--device", "-d", help="auto, cpu, cuda, ...")] = "auto",
    batch: dataset.Batch = 8,
    report: Reports = None,
    overwrite: Overwrite = False,
    colormap: Colormap = None,
    alpha: Alpha = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("comparison"),
    open_: Annotated[bool, typer.Option("--open", help="Show the report.")] = False,
    skip_done: GoesOn = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as one JSON document, only.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> int:
    """Compare networks, layers and methods over images with known truth, or over scenes."""
    specs = nets_by_label(nets or [])
    recipe = _recipe(methods, combine, smooth or [], settings or [], size)
    known = truth is not None or scenes is not None
    groups = _groups(metrics, known)
    cuts = layers_by_label(layers or [], specs)
    dataset.check_dataset(images, truth, names, scenes, fit)
    check_device(device)
    check_choice("--target", target or "truth", ("truth", "predicted"))
    check_choice("--against", against or "boxes", ("boxes", "masks"))
    for option, value in (("--target", target if target == "truth" else None), ("--against", against)):
        if value is not None and not known:
            raise UsageError(f"{option} {value} needs to know where the objects are; give --truth or --scenes")
    target, against = target or ("truth" if known else "predicted"), against or "boxes"
    check_combination(combine, max(map(len, cuts.values()), default=0))
    if open_ and not report:
        raise UsageError("--open shows a report, and none is made; give --report report.html too")
    check_reports(report or [], overwrite)
    style = report_style(report or [], colormap, alpha)
    load_examples = dataset.find_dataset(images or [], truth, names, scenes)
    make_results_folder(out)
    silent = quiet or as_json
    with loading("", silent):
        rivals = load_rivals(specs, device)
        examples, problems = load_examples(_shared_classes(rivals))
    plan = Plan(recipe, cuts, groups, against, target, fit, batch=batch)
    words = partial(dataset.words_of, images or [], truth, names, scenes)
    question = plan.asked(rivals, words(report[0].parent)) if report else ""
    tell_replaced(report or [], question, overwrite)
    if not silent and not metrics and groups == (CONFIDENCE,):
        complain(_CHEAP)
    if not silent and FAITHFULNESS in groups:
        complain(_dear(rivals, examples, plan))
    asked = plan.asked(rivals, words(out))
    result = _compare(rivals, examples, plan, out, silent, quiet, asked, overwrite)
    for path in report or []:
        _write_report(path, result, rivals, examples, plan, out, question, *style)
    for problem in [*problems, *result.notes, *result.problems]:
        complain(problem)
    _print(result, out, as_json, quiet)
    if open_ and report:
        show(report[0])
    return FAILURE if result.problems else 0


def _dear(rivals: Sequence[Rival], examples: Sequence[Example], plan: Plan) -> str:
    """What insertion and deletion take, before they are begun."""
    maps = sum(len(plan.recipe.methods) * max(1, len(plan.layers.get(rival.label, ()))) for rival in rivals)
    maps += len(BASELINES) * len(rivals)
    passes = 100 * maps * len(examples)
    return (
        f"insertion and deletion take about 100 forward passes a map: {passes:,} for {len(examples):,} image(s) with "
        f"{maps} maps each, and the bar tells the time; --metrics {CONFIDENCE} takes two a map"
    )


def _recipe(
    methods: Sequence[str] | None,
    combine: str | None,
    smooth: Sequence[str],
    settings: Sequence[str],
    size: int | None,
) -> Recipe:
    """How the maps of every network are made; their layers come by network."""
    names = compared_methods(methods or USUAL_RECIPE.methods)
    smoothings = separated(smooth)
    check_smoothings(smoothings)
    options = settings_of(settings, names)
    return replace(USUAL_RECIPE, methods=names, combine=combine, smooth=smoothings, options=options, input_size=size)


def _groups(metrics: Sequence[str] | None, known: bool) -> tuple[str, ...]:
    """The groups of metrics that are measured: those that were named, else what can be with or without known truth."""
    names = separated(metrics or [])
    for name in names:
        if name not in (*GROUPS, "all"):
            raise UsageError(f"--metrics {name!r} is unknown; expected {', '.join(GROUPS)} or all")
    if not names:
        return (LOCALISATION,) if known else (CONFIDENCE,)
    if "all" in names:
        names = tuple(name for name in GROUPS if known or name != LOCALISATION)
    if LOCALISATION in names and not known:
        raise UsageError("--metrics localisation needs to know where the objects are; give --truth or --scenes")
    more = FAITHFULNESS in names  # which measures confidence, too
    return tuple(name for name in GROUPS if name in names and not (more and name == CONFIDENCE))


def _shared_classes(rivals: Sequence[Rival]) -> Sequence[str]:
    first = rivals[0]
    for rival in rivals[1:]:
        if len(rival.net.classes) != len(first.net.classes):
            raise FuncamError(
                f"{first.label} knows {len(first.net.classes)} classes and {rival.label} {len(rival.net.classes)}; "
                "compare networks that know the same classes"
            )
    return first.net.classes


def _compare(
    rivals: Sequence[Rival],
    examples: Sequence[Example],
    plan: Plan,
    out: Path,
    silent: bool,
    quiet: bool,
    asked: str,
    overwrite: bool,
) -> ComparisonResult:
    """Run the comparison, with a progress bar on a terminal."""
    from funcam.cli.progress import comparison_bar
    from funcam.comparison.run import compare as run_comparison

    collect_again()
    with comparison_bar(len(examples) * len(rivals), silent, quiet) as ticks:
        told = {"tick": ticks.tick, "earlier": ticks.earlier}
        return run_comparison(rivals, examples, plan, out, asked=asked, overwrite=overwrite, **told)


def _write_report(
    path: Path,
    result: ComparisonResult,
    rivals: Sequence[Rival],
    examples: Sequence[Example],
    plan: Plan,
    out: Path,
    question: str,
    colormap: str,
    alpha: float | None,
) -> None:
    from funcam.comparison.reporting import report_of
    from funcam.report import write_gallery, write_report
    from funcam.report.data import ALPHA

    title = f"{', '.join(rival.label for rival in rivals)} on {result.images} image{'s' * (result.images != 1)}"
    page = report_of(result, rivals, examples, plan, out, title=title, most=_REPORTED)
    styled = replace(page, colormap=colormap, alpha=ALPHA if alpha is None else alpha, question=question)
    (write_gallery if path.suffix.lower() == ".md" else write_report)(path, styled)


def _print(result: ComparisonResult, out: Path, as_json: bool, quiet: bool) -> None:
    assert result.record is not None
    if as_json:
        print(json_text(json.loads(result.record.read_bytes()), indent=1, ascii_only=True))
    elif not quiet:
        from funcam.cli.comparison_table import print_figures
        from funcam.comparison.findings import RESULTS

        print_figures(console(), result, out)
        tell_name(result.record, RESULTS)
