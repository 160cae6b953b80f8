"""`funcam explain`: the main job, from image files to pictures of why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from funcam.cli import input_options as options
from funcam.cli.compiler import begin_compiling
from funcam.cli.configuration import LARGEST
from funcam.cli.device import check_device
from funcam.cli.explain_run import run
from funcam.cli.messages import (
    FAILURE,
    UsageError,
    check_choice,
    check_colormap,
    check_file,
    complain,
    console,
    make_results_folder,
)
from funcam.cli.net_loading import check_meaning, load_on_device, tell_parts, with_weights
from funcam.cli.net_option import OWN, NetSpec, layers_by_label, nets_by_label
from funcam.cli.opening import show
from funcam.cli.recipe_options import RUNNER_UP, recipe_of
from funcam.cli.report_option import Overwrite, Reports, check_reports, tell_replaced
from funcam.cli.skip_done import (
    EXPLAINED,
    SkipDone,
    asked,
    called_otherwise,
    earlier_records,
    report_question,
    with_names_apart,
)
from funcam.cli.standard_input import NAME, STEM, behind, from_standard_input
from funcam.errors import FuncamError
from funcam.pipeline.recipes import RECIPES
from funcam.resuming.words import told_before

if TYPE_CHECKING:
    from funcam.pipeline.earlier import ImageSource
    from funcam.pipeline.stream import Job
    from funcam.pipeline.writing import Style
    from funcam.recipe import Recipe
    from funcam.zoo.nets import Net

DEFAULT_NET = "resnet50"
DEFAULT_SCENE = 2
NO_PICTURES = "none"
_METHOD, _PICTURES, _OUTPUT = "Method", "Pictures", "Output"


def explain(
    images: Annotated[
        list[str] | None, typer.Argument(help="Image files, folders, globs, or - for standard input; without: a scene.")
    ] = None,
    nets: Annotated[
        list[str] | None,
        typer.Option(
            "--net",
            "--network",
            "-n",
            help=f"Name (`funcam nets`; else {DEFAULT_NET}), {OWN}; =WEIGHTS behind; repeat for several.",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option("--weights", "--weight-path", "-w", help=".pth, .pt or .safetensors file, or IMAGENET1K_V2, ..."),
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", "-c", help="Class to explain, index, name or 'not NAME'; repeat. Else the predicted."),
    ] = None,
    top: Annotated[int | None, typer.Option("--top", min=1, help="Explain so many of the likeliest classes.")] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option("--method", "-m", help="Method (`funcam methods`), repeat for several, or all. Else the usual."),
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option(
            "--layer",
            "--layer-name",
            "-l",
            help="Where to cut (`funcam layers NET`), last-conv, or NET=LAYER; repeat.",
        ),
    ] = None,
    device: options.Device = "auto",
    labels: options.Labels = None,
    combine: Annotated[
        str | None,
        typer.Option("--combine", help="Several layers as one map: mean, max or product.", rich_help_panel=_METHOD),
    ] = None,
    smooth: Annotated[
        list[str] | None,
        typer.Option("--smooth", help="aug (flipped and rescaled copies) or eigen; repeat.", rich_help_panel=_METHOD),
    ] = None,
    contrast: Annotated[
        str | None,
        typer.Option("--contrast", help="Why not this class, index or name, or runner-up.", rich_help_panel=_METHOD),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", help=f"{', '.join(RECIPES)}, or a recipe.json of evaluate.", rich_help_panel=_METHOD),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A method's option: score-cam.strongest=64; repeat.", rich_help_panel=_METHOD),
    ] = None,
    fit: Annotated[
        str,
        typer.Option(
            "--fit", help="squash, crop, pad or native: onto the network's input.", rich_help_panel=options.INPUT
        ),
    ] = "squash",
    input_size: options.InputSize = None,
    scores: options.Scores = None,
    output: options.Output = None,
    layout: Annotated[
        str | None,
        typer.Option("--layout", help="Axes of --layer: channels-last, 'tokens 14x14', ...", rich_help_panel=_METHOD),
    ] = None,
    scene: Annotated[
        int | None,
        typer.Option("--scene", min=0, help="Explain the scene of this seed.", rich_help_panel=options.INPUT),
    ] = None,
    format_: Annotated[str, typer.Option("--format", help="jpg, png or webp.", rich_help_panel=_PICTURES)] = "jpg",
    colormap: Annotated[
        str | None,
        typer.Option("--colormap", help="jet (else), turbo, viridis, inferno, cividis, ...", rich_help_panel=_PICTURES),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option("--alpha", min=0, max=1, help="Weight of the heat; else 0.5.", rich_help_panel=_PICTURES),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            "--size",
            min=1,
            max=LARGEST,
            help="Longest side in pixels; else the image's own.",
            rich_help_panel=_PICTURES,
        ),
    ] = None,
    pictures: Annotated[
        list[str] | None,
        typer.Option(
            "--pictures",
            help="Only heatmap, overlay, gradient or panel; repeat. Or none.",
            rich_help_panel=_PICTURES,
        ),
    ] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="Compile the network first, for many images.", rich_help_panel=_METHOD)
    ] = False,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.", rich_help_panel=_OUTPUT)] = Path(
        "results"
    ),
    maps: Annotated[bool, typer.Option("--maps", help="Also write raw maps (.npz).", rich_help_panel=_OUTPUT)] = False,
    report: Reports = None,
    overwrite: Overwrite = False,
    skip_done: SkipDone = False,
    open_: Annotated[
        bool, typer.Option("--open", help="Show the report, else the first panel.", rich_help_panel=_OUTPUT)
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document per image, only.", rich_help_panel=_OUTPUT)
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.", rich_help_panel=_OUTPUT)] = False,
) -> int:
    """Explain what a network says of images: heatmaps, overlays, guided backpropagation, a panel, a JSON record."""
    _check(labels, fit, device, format_)
    if top is not None and classes:
        raise UsageError("--top was given and --class too; give one or the other")
    check_reports(report or [], overwrite)
    check_meaning(scores, layout)
    if fit == "native" and (input_size or recipe):
        raise UsageError("--fit native keeps the image's own size; leave out --input-size and --recipe")
    specs = _specs(nets or [DEFAULT_NET if images else "scenes"], weights)
    cuts = layers_by_label(layers or [], specs)
    recipes = {
        label: recipe_of(recipe, methods or [], cuts.get(label, ()), combine, smooth or [], settings or [], input_size)
        for label in specs
    }
    if fast:
        for made in recipes.values():
            _check_fast(made, contrast, layout)
    if skip_done and report:
        raise UsageError("--report shows what this run explains, and --skip-done leaves images out; leave one out")
    sources, problems, notes = _sources(images or [], scene, [*specs.values()])
    _check_parts(sources, specs)
    style = _style(format_, colormap or "jet", 0.5 if alpha is None else alpha, size, maps, pictures or [])
    if open_ and not report and "panel" not in style.pictures:
        raise UsageError("--open shows a report or a panel, and none is made; give --report, or --pictures panel too")
    make_results_folder(out)
    silent = quiet or as_json
    for told in [*problems, *([] if silent else notes)]:
        complain(told)
    jobs = []
    for label, spec in specs.items():
        loaded, where = load_on_device(spec, labels, device, silent, scores, output)
        try:
            job = _job(label, loaded, where, classes, contrast, fit, recipes[label], layout, style, out)
        except FuncamError as error:
            if len(specs) == 1:
                raise
            raise FuncamError(f"{label}: {error}") from error
        _check_top(top, job)
        jobs.append(replace(job, fast=fast, top=top))
    if len(jobs) == 1:  # of several networks the others can
        from funcam.network.named import check_names

        check_names(jobs[0].net.model, jobs[0].recipe.layers)
    if not silent:
        tell_parts([*(classes or []), None if contrast == RUNNER_UP else contrast], [job.net.classes for job in jobs])
    if fast:
        begin_compiling(jobs[0].recipe.methods, silent)
    jobs = asked(jobs, skip_done or len(sources) > 1, overwrite)
    question = report_question(jobs, images or [sources[0].name], report[0].parent) if report else ""
    tell_replaced(report or [], question, overwrite)
    sources = with_names_apart(sources, jobs)
    earlier = earlier_records(jobs, sources, silent) if skip_done else {}
    if earlier and not silent:
        print(told_before(len(earlier), len(sources), EXPLAINED), flush=True)
    done, records = run(jobs, sources, earlier, report or [], as_json, silent, question, colormap or "", alpha)
    new = [] if silent else records[len(earlier) :]
    if new:
        from funcam.cli.explain_summary import print_summary, print_summary_of_several

        if len(jobs) > 1:
            print_summary_of_several(console(), jobs, new)
        else:
            print_summary(console(), jobs[0].net, new, out)
        for line in called_otherwise(jobs, sources, new):
            console().print(line, markup=False, soft_wrap=True)
        for path in report or []:
            console().print(f"report in {path}", markup=False, soft_wrap=True)
    if open_ and records:
        show(report[0] if report else out / records[0]["files"]["panel"])
    return FAILURE if problems or done < len(sources) else 0


def _specs(nets: Sequence[str], weights: str | None) -> dict[str, NetSpec]:
    """The networks by their labels."""
    specs = nets_by_label(nets)
    if len(specs) == 1:
        return {label: with_weights(spec, weights) for label, spec in specs.items()}
    if weights is not None:
        raise UsageError(f"--weights {weights!r} is for one network; give each its own, as --net {nets[0]}=FILE")
    return specs


def _check_parts(sources: Sequence[ImageSource], labels: Iterable[str]) -> None:
    """Refuse labels by which two images' results would have one name: pic.jpg of a-b, and pic-a.jpg of b."""
    parts: dict[str, ImageSource] = {}
    for label in labels:
        for source in sources:
            other = parts.setdefault(f"{source.stem}-{label}", source)
            if other.stem != source.stem:
                told = f"results of {other.name!r} and {source.name!r} would both be called {source.stem}-{label}"
                raise UsageError(f"{told}; give --net another label, as LABEL:NET")


def _check_top(top: int | None, job: Job) -> None:
    if top is not None and top > len(job.net.classes):
        raise UsageError(f"--top {top}: {job.label} has {len(job.net.classes)} classes; ask for fewer")


def _sources(
    images: Sequence[str], scene: int | None, specs: Sequence[NetSpec]
) -> tuple[list[ImageSource], list[str], list[str]]:
    """What to explain, what could not be found, and what was left out."""
    from funcam.pipeline.earlier import ImageSource

    if scene is not None and images:
        raise UsageError("--scene was given and images too; give one or the other")
    if not images:
        others = [spec.label for spec in specs if not spec.is_scenes]
        if scene is None and others:
            raise UsageError(f"no image for {others[0]} to explain; give image files, folders or globs (or --scene 1)")
        seed = DEFAULT_SCENE if scene is None else scene
        return [ImageSource(f"scene {seed}", f"scene{seed}", seed)], [], []
    from funcam.imaging.reading import find_images
    from funcam.imaging.suffixes import heic_offer

    names, data = from_standard_input(images)
    files = find_images(names)
    if data is None and not files.paths:
        raise UsageError("; ".join([*files.problems, *heic_offer(files.problems)]))
    piped = [] if data is None else [ImageSource(NAME, STEM, data=data)]
    found = [ImageSource(str(path), path.stem) for path in files.paths]
    return [*piped, *found], files.problems, [*files.notes, *heic_offer(files.notes), *behind(data)]


def _check(labels: Path | None, fit: str, device: str, format_: str) -> None:
    """Find every wrong word before torch is imported."""
    from funcam.imaging.fit import FITS
    from funcam.pipeline.writing import FORMATS

    check_choice("--fit", fit, FITS)
    check_choice("--format", format_, FORMATS)
    check_device(device)
    check_file("--labels", labels)


def _check_fast(recipe: Recipe, contrast: str | None, layout: str | None) -> None:
    """What can be prepared: methods that are named, at one layer, of classes."""
    if not recipe.methods or recipe.methods == ("all",):
        raise UsageError("--fast prepares each method, and none was named; give --method, as -m grad-cam")
    if len(recipe.layers) > 1:
        raise UsageError(f"--fast prepares one layer and {len(recipe.layers)} were given; give one --layer")
    for option, value in (("--contrast", contrast), ("--layout", layout)):
        if value is not None:
            raise UsageError(f"{option} can't be prepared; leave it out, or --fast")


def _style(format_: str, colormap: str, alpha: float, size: int | None, maps: bool, pictures: Sequence[str]) -> Style:
    from funcam.pipeline.writing import PICTURES, Style

    for name in pictures:
        check_choice("--pictures", name, (*PICTURES, NO_PICTURES))
    if NO_PICTURES in pictures and len(set(pictures)) > 1:
        raise UsageError(f"--pictures {NO_PICTURES} was given and others too; give one or the other")
    check_colormap(colormap)
    return Style(format_, colormap, alpha, size, maps, tuple(pictures) or PICTURES)


def _job(
    label: str,
    net: Net,
    device: str,
    classes: Sequence[str] | None,
    contrast: str | None,
    fit: str,
    recipe: Recipe,
    layout: str | None,
    style: Style,
    out: Path,
) -> Job:
    """Find what was named in the network."""
    from funcam.pipeline.stream import Job
    from funcam.zoo.labels import find_class, find_meant
    from funcam.zoo.nets import at_size

    sized = at_size(net, recipe.size_for(net.input_size))  # a size that it can't take is told once, not for each image
    if sized.size[0] * sized.size[1] > max(_LARGE_INPUT, 4 * net.size[0] * net.size[1]):
        height, width = sized.size
        complain(f"an input of {width}x{height} pixels takes gigabytes of memory: up to 2 kB a pixel")
    chosen = tuple(dict.fromkeys(find_meant(text, net.classes) for text in classes)) if classes else None
    against = find_class(contrast, net.classes) if contrast not in (None, RUNNER_UP) else contrast
    return Job(label, net, device, chosen, against, fit, recipe, layout, style, out)


_LARGE_INPUT = 2**20
"""Pixels: a larger input is told before it is allocated."""
