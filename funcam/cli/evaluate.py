"""``funcam evaluate``: the best layer and method for one network on one's own images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from funcam.cli import compare as comparing
from funcam.cli.asked import asked_of
from funcam.cli.words import FAILURE, UsageError, complain, console
from funcam.comparison.plan import METRICS, Plan
from funcam.errors import nearest

if TYPE_CHECKING:
    from funcam.comparison.choosing import Choice
    from funcam.comparison.plan import Rival

# Methods that share one forward and one backward pass; the others are asked for by name.
_CANDIDATES = ("grad-cam", "grad-cam++", "xgrad-cam", "hires-cam", "layer-cam", "eigen-grad-cam", "fem")
_MOST_LAYERS = 4
_SHOWN = 12


def evaluate(
    images: comparing.Images = None,
    net: Annotated[str, typer.Option("--net", "-n", help="NAME or NAME=WEIGHTS.")] = "scenes",
    methods: comparing.Methods = None,
    layers: Annotated[
        list[str] | None, typer.Option("--layer", "-l", help="Candidates; repeat. Else the last layer of each size.")
    ] = None,
    truth: comparing.Truths = None,
    scenes: comparing.Scenes = None,
    metric: Annotated[str | None, typer.Option("--by", help="The metric that chooses; else max-box-acc-v2.")] = None,
    smooth: Annotated[list[str] | None, typer.Option("--smooth", help="aug, eigen; repeat.")] = None,
    fit: Annotated[str, typer.Option("--fit", help="squash, crop or pad.")] = "squash",
    device: Annotated[str, typer.Option("--device", "-d", help="auto, cpu, cuda, ...")] = "auto",
    batch: Annotated[int, typer.Option("--batch", min=1, help="Images at once.")] = 8,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("evaluation"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the ranking as one JSON document, only.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> int:
    """Find the best layer and method for a network: chosen on half of the images, reported on the other half."""
    labels = comparing.labels_of([net])
    asked = asked_of(methods or list(_CANDIDATES), [], None, smooth or [], [])
    groups = comparing.groups_of(None, truth, scenes)
    by = metric or ("max-box-acc-v2" if truth or scenes else "insertion")
    if by not in METRICS:
        raise UsageError(f"--by {by!r} is no metric; nearest: {nearest(by, METRICS)}")
    comparing.check(images, truth, scenes, "truth", fit, None, [], asked, {})
    subjects_of = comparing.source(images or [], truth, scenes)
    comparing.make(out)
    silent = quiet or as_json
    with comparing.loading(silent):
        (rival,) = comparing.rivals_of(labels, device)
        subjects, problems = subjects_of(rival.net.classes)
        places = {rival.label: tuple(layers or _layers_of(rival))}
    plan = Plan(asked.methods, places, None, asked.smooth, groups, "truth", fit, batch=batch)
    run = comparing.run([rival], subjects, plan, out, silent)
    choices = _choices(rival, plan, out, {subject.name for subject in subjects}, by)
    for problem in [*problems, *run.problems]:
        complain(problem)
    _print(choices, rival, by, as_json, quiet)
    return FAILURE if run.problems else 0


def _layers_of(rival: Rival) -> list[str]:
    """The default layer, and the last of the outermost layers of each larger grid before it, the coarsest first."""
    from funcam.network.cutting import list_layers

    side = rival.net.input_size
    known = list_layers(rival.net.model, (1, 3, side, side))
    end = next(i for i, layer in enumerate(known) if layer.default)
    outermost: dict[tuple[int, ...], str] = {}
    for layer in known[: end + 1]:
        before = outermost.get(layer.shape[2:])
        if before is None or layer.name.count(".") <= before.count("."):
            outermost[layer.shape[2:]] = layer.name
    others = [name for name in reversed(outermost.values()) if name != known[end].name]
    return [known[end].name, *others][:_MOST_LAYERS]


def _choices(rival: Rival, plan: Plan, out: Path, names: set[str], by: str) -> list[Choice]:
    from funcam.comparison.choosing import ranked
    from funcam.comparison.journal import Journal
    from funcam.comparison.run import JOURNAL
    from funcam.comparison.summing import collected

    key = plan.key(rival)
    records = [r | {"net": rival.label} for r in Journal(out / JOURNAL).records({key}) if r["image"] in names]
    values, _ = collected(records)
    return ranked(values, sorted(record["image"] for record in records), by)


def _print(choices: Sequence[Choice], rival: Rival, by: str, as_json: bool, quiet: bool) -> None:
    if as_json:
        import json

        rows = [
            {"layer": c.layer, "method": c.method, "chosen_on": c.chosen_on._asdict(), "found_on": c.found_on._asdict()}
            for c in choices
        ]
        print(json.dumps({"net": rival.label, "metric": by, "ranking": rows}))
    elif not quiet:
        from rich.markup import escape
        from rich.table import Table

        title = f"[bold]{escape(rival.label)}[/], {METRICS[by].title} in %: chosen on one half, found on the other"
        table = Table("layer", "method", title=title, title_justify="left", box=None, pad_edge=False)
        for name in ("chosen on", "found on"):
            table.add_column(name, justify="right")
        for choice in choices[:_SHOWN]:
            table.add_row(escape(choice.layer), choice.method, _cell(choice.chosen_on), _cell(choice.found_on))
        console().print(table)
        best = choices[0]
        console().print(f"[bold]best[/] {best.method} at {escape(best.layer)}: {_cell(best.found_on)}", soft_wrap=True)


def _cell(found: Any) -> str:
    return f"{100 * found.value:.1f} [dim]{100 * found.low:.1f}..{100 * found.high:.1f}[/]"
