"""`funcam compare`: which network, which layer, which method localises best, over a data set, with error bars."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from funcam.cli.messages import FAILURE, UsageError, complain, console
from funcam.cli.net_option import OWN, NetSpec, load, parse_net_spec
from funcam.cli.recipe_options import Asked, asked_of, words_of
from funcam.comparison.plan import FAITHFULNESS, GROUPS, LOCALISATION, Plan
from funcam.errors import FuncamError
from funcam.recipe import COMBINATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from funcam.comparison.dataset import Example
    from funcam.comparison.findings import ComparisonResult
    from funcam.comparison.plan import Rival

_TARGETS = ("truth", "predicted")
_REPORTED = 500
_USUAL = ("grad-cam", "grad-cam++")

Images = Annotated[list[str] | None, typer.Argument(help="Image files, folders or globs.")]
Truths = Annotated[
    str | None, typer.Option("--truth", "-t", help="Boxes: CSV, Pascal VOC, COCO, ILSVRC, or a folder of masks.")
]
Names = Annotated[Path | None, typer.Option("--names", help="CSV name,class_index: classes for the truth's own words.")]
Sizes = Annotated[int | None, typer.Option("--input-size", min=1, help="Side of the networks' input, in pixels.")]
Scenes = Annotated[int | None, typer.Option("--scenes", min=1, help="So many scenes with known truth, no images.")]
Methods = Annotated[
    list[str] | None, typer.Option("--method", "-m", help="Method; repeat. Else Grad-CAM and Grad-CAM++.")
]
Metrics = Annotated[list[str] | None, typer.Option("--metrics", help=f"{', '.join(GROUPS)}, or all; repeat.")]


def compare(
    images: Images = None,
    nets: Annotated[
        list[str] | None,
        typer.Option("--net", "-n", help=f"NAME, {OWN}; LABEL: before it, =WEIGHTS behind; repeat."),
    ] = None,
    methods: Methods = None,
    layers: Annotated[
        list[str] | None, typer.Option("--layer", "-l", help="LAYER of every network, or LABEL=LAYER; repeat.")
    ] = None,
    truth: Truths = None,
    names: Names = None,
    against: Annotated[str, typer.Option("--against", help="boxes, or masks where the truth has them.")] = "boxes",
    scenes: Scenes = None,
    target: Annotated[str, typer.Option("--target", help="truth (the labelled class) or predicted.")] = "truth",
    metrics: Metrics = None,
    combine: Annotated[str | None, typer.Option("--combine", help="Several layers as one: mean, max, product.")] = None,
    smooth: Annotated[list[str] | None, typer.Option("--smooth", help="aug, eigen; repeat.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="METHOD.OPTION=VALUE; repeat.")] = None,
    fit: Annotated[str, typer.Option("--fit", help="squash, crop or pad.")] = "squash",
    size: Sizes = None,
    device: Annotated[str, typer.Option("--device", "-d", help="auto, cpu, cuda, ...")] = "auto",
    batch: Annotated[int, typer.Option("--batch", min=1, help="Images at once.")] = 8,
    report: Annotated[list[Path] | None, typer.Option("--report", help="A page (.html) or a gallery (.md).")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("comparison"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as one JSON document, only.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> int:
    """Compare networks, layers and methods over images with known truth, or over scenes."""
    labels = labels_of(nets or [])
    asked = asked_of(methods or list(_USUAL), [], None, smooth or [], settings or [])
    groups = groups_of(metrics, truth, scenes)
    places = _places(layers or [], labels)
    check(images, truth, names, scenes, target, against, fit, combine, report or [], asked, places)
    examples_of = source(images or [], truth, names, scenes)
    make(out)
    silent = quiet or as_json
    with loading(silent):
        rivals = rivals_of(labels, device, size)
        examples, problems = examples_of(_classes(rivals))
    plan = Plan(
        methods=asked.methods,
        layers=places,
        combine=combine,
        smooth=asked.smooth,
        groups=groups,
        against=against,
        target=target,
        fit=fit,
        batch=batch,
        options=asked.options,
    )
    done = run(rivals, examples, plan, out, silent)
    for path in report or []:
        _write_report(path, done, rivals, examples, plan, out)
    for problem in [*problems, *done.problems]:
        complain(problem)
    _print(done, out, as_json, quiet)
    return FAILURE if done.problems else 0


def labels_of(nets: Sequence[str]) -> dict[str, NetSpec]:
    """The networks by their labels."""
    if not nets:
        raise UsageError("no network to compare; give --net NAME, NAME=WEIGHTS or LABEL:NAME=WEIGHTS, more than once")
    found: dict[str, NetSpec] = {}
    for text in nets:
        wanted = parse_net_spec(text)
        if wanted.label in found:
            advice = f"tell them apart with LABEL:{wanted.net}=WEIGHTS"
            raise UsageError(f"two networks are called {wanted.label!r}; {advice}")
        found[wanted.label] = wanted
    return found


def groups_of(metrics: Sequence[str] | None, truth: str | None, scenes: int | None) -> tuple[str, ...]:
    """The groups of metrics that are measured: those that were named, else what the truth allows."""
    names = words_of(metrics or [])
    for name in names:
        if name not in (*GROUPS, "all"):
            raise UsageError(f"--metrics {name!r} is unknown; expected {', '.join(GROUPS)} or all")
    known = truth is not None or scenes is not None
    if not names:
        return (LOCALISATION,) if known else (FAITHFULNESS,)
    if "all" in names:
        return GROUPS if known else tuple(name for name in GROUPS if name != LOCALISATION)
    if LOCALISATION in names and not known:
        raise UsageError("--metrics localisation needs to know where the objects are; give --truth or --scenes")
    return tuple(name for name in GROUPS if name in names)


def _places(layers: Sequence[str], labels: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {label: [] for label in labels}
    for text in layers:
        label, equals, layer = text.partition("=")
        if equals and label not in labels:
            raise UsageError(f"--layer {text!r}: no network is called {label!r}; there are {', '.join(labels)}")
        for place in [label] if equals else labels:
            found[place].append(layer if equals else text)
    return {label: tuple(dict.fromkeys(names)) for label, names in found.items() if names}


def check(
    images: Sequence[str] | None,
    truth: str | None,
    names: Path | None,
    scenes: int | None,
    target: str,
    against: str,
    fit: str,
    combine: str | None,
    reports: Sequence[Path],
    asked: Asked,
    places: dict[str, tuple[str, ...]],
) -> None:
    """Find every wrong word before torch is imported."""
    if scenes is None and not images:
        raise UsageError("no images to compare on; give image files, folders or globs, or --scenes 500")
    if scenes is not None and (images or truth):
        raise UsageError("--scenes was given and images or --truth too; give one or the other")
    if names is not None and truth is None:
        raise UsageError("--names says what the words of --truth mean; give --truth too")
    if names is not None and not names.is_file():
        raise UsageError(f"--names '{names}': there is no such file")
    if "all" in asked.methods:
        raise UsageError("--method all is not for a comparison; name the methods")
    for option, value, known in (
        ("--target", target, _TARGETS),
        ("--against", against, ("boxes", "masks")),
        ("--fit", fit, ("squash", "crop", "pad")),
        ("--combine", combine or COMBINATIONS[0], COMBINATIONS),
    ):
        if value not in known:
            raise UsageError(f"{option} {value!r} is unknown; expected {', '.join(known[:-1])} or {known[-1]}")
    if combine and not any(len(names) > 1 for names in places.values()):
        raise UsageError(f"--combine {combine} makes one map of several layers; give --layer more than once")
    for path in reports:
        if path.suffix.lower() not in (".html", ".htm", ".md"):
            raise UsageError(f"--report '{path}': expected a page (.html) or a gallery (.md)")


def source(
    images: Sequence[str], truth: str | None, names: Path | None, scenes: int | None
) -> Callable[[Sequence[str]], tuple[list[Example], list[str]]]:
    """The data set, once the networks' classes are known; what can be found wrong before is said before."""
    if scenes is not None:

        def drawn(classes: Sequence[str]) -> tuple[list[Example], list[str]]:
            from funcam.comparison.dataset import scene_examples
            from funcam.scenes import CLASSES

            if len(classes) != len(CLASSES):
                raise UsageError(
                    f"--scenes shows {len(CLASSES)} classes and the network knows {len(classes)}; give --net scenes or "
                    "networks that were trained on the scenes, or photos with --truth"
                )
            return scene_examples(scenes), []

        return drawn
    from funcam.imaging.reading import find_images

    found = find_images(images)
    if not found.paths:
        raise UsageError("; ".join(found.problems))
    if truth is not None and not os.path.exists(truth):
        raise UsageError(f"--truth {truth!r}: there is no such file or folder")

    def read(classes: Sequence[str]) -> tuple[list[Example], list[str]]:
        from funcam.comparison.dataset import image_examples
        from funcam.truth import match, read_names, read_truth

        if truth is None:
            return image_examples(found.paths), found.problems
        meant = read_names(names, classes) if names else None
        known = read_truth(truth, classes, names=meant, images=found.paths)
        matched = match(known.by_file, found.paths)
        examples = image_examples([path for path in found.paths if path in matched.truths], matched.truths)
        return examples, [*found.problems, *known.problems, *matched.problems]

    return read


def make(out: Path) -> None:
    """Make the folder for the results."""
    from funcam.files import make_folder

    try:
        make_folder(out)
    except FuncamError as error:
        raise UsageError(f"--out: {error}") from error


@contextmanager
def loading(silent: bool) -> Iterator[None]:
    """A spinner on a terminal."""
    if silent:
        yield
        return
    with console(stderr=True).status("loading"):
        yield


def rivals_of(labels: dict[str, NetSpec], device: str, size: int | None = None) -> list[Rival]:
    """The networks by their labels, on the device, with an input of a size of one's own."""
    from dataclasses import replace

    from funcam.cli.device import find_device
    from funcam.comparison.plan import Rival
    from funcam.zoo.nets import at_size

    where = find_device(device)
    nets = {label: at_size(load(wanted), size) for label, wanted in labels.items()}
    return [Rival(label, replace(net, model=net.model.to(where))) for label, net in nets.items()]


def _classes(rivals: Sequence[Rival]) -> Sequence[str]:
    first = rivals[0]
    for rival in rivals[1:]:
        if len(rival.net.classes) != len(first.net.classes):
            raise FuncamError(
                f"{first.label} knows {len(first.net.classes)} classes and {rival.label} {len(rival.net.classes)}; "
                "compare networks that know the same classes"
            )
    return first.net.classes


def run(rivals: Sequence[Rival], examples: Sequence[Example], plan: Plan, out: Path, silent: bool) -> ComparisonResult:
    """Run the comparison, with a progress bar on a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from funcam.cli.progress import ImagesPerSecond
    from funcam.comparison.run import compare as run_comparison

    shown = console(stderr=True)
    device = str(next(rivals[0].net.model.parameters()).device)
    gc.enable()  # off since the start (see main): a comparison is long
    columns = (
        TextColumn("comparing"),
        BarColumn(),
        MofNCompleteColumn(),
        ImagesPerSecond(),
        TimeRemainingColumn(),
    )
    if silent or not shown.is_terminal:
        return run_comparison(rivals, examples, plan, out, device=device)
    with Progress(*columns, console=shown, transient=True) as progress:
        task = progress.add_task("", total=len(examples) * len(rivals))
        return run_comparison(
            rivals, examples, plan, out, device=device, tick=lambda count: progress.advance(task, count)
        )


def _write_report(
    path: Path, run: ComparisonResult, rivals: Sequence[Rival], examples: Sequence[Example], plan: Plan, out: Path
) -> None:
    from funcam.comparison.reporting import report_of
    from funcam.report import write_gallery, write_report

    title = f"{', '.join(rival.label for rival in rivals)} on {run.images} images"
    page = report_of(run, rivals, examples, plan, out, title=title, most=_REPORTED)
    (write_gallery if path.suffix.lower() == ".md" else write_report)(path, page)


def _print(run: ComparisonResult, out: Path, as_json: bool, quiet: bool) -> None:
    if as_json:
        print((out / "results.json").read_text(encoding="utf-8"), end="")
    elif not quiet:
        from funcam.cli.comparison_table import print_figures

        print_figures(console(), run, out)
