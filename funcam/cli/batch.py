"""`funcam batch`: maps and figures of a folder, a list, shards: as many images as there are, into a store."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, cast

import typer

from funcam.cli import input_options as options
from funcam.cli.collector import collect_again
from funcam.cli.device import check_device
from funcam.cli.messages import FAILURE, UsageError, check_choice, check_file, complain, console, loading
from funcam.cli.net_loading import check_meaning, load_on_device, tell_parts, with_weights
from funcam.cli.net_option import OWN, parse_net_spec
from funcam.cli.recipe_options import check_methods, recipe_of
from funcam.cli.skip_done import GoesOn
from funcam.errors import FuncamError, about
from funcam.resuming.words import stopped

if TYPE_CHECKING:
    from funcam.bulk.asked import Asked, Target
    from funcam.recipe import Recipe
    from funcam.sources import Item
    from funcam.store import Writer
    from funcam.zoo.net import Net

_TARGETS, _ENGINES, _PICTURES = ("predicted", "label"), ("local", "ray"), ("overlay",)
_STORE, _ENGINE = "Store", "Engine"
_SHOWN = 5

_Done: TypeAlias = Callable[[int, int], None]
_Run: TypeAlias = Callable[["Asked", "Writer", _Done], None]


def batch(
    sources: Annotated[
        list[str] | None,
        typer.Argument(help="Folders, globs, .txt or .csv lists, .tar or .parquet shards, s3://..., or -."),
    ] = None,
    *,
    net: Annotated[str, typer.Option("--net", "--network", "-n", help=f"Name (`funcam nets`), {OWN}.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The store: a folder of its own.")],
    weights: Annotated[
        str | None, typer.Option("--weights", "-w", help=".pth, .pt or .safetensors file, or IMAGENET1K_V2, ...")
    ] = None,
    target: Annotated[
        str, typer.Option("--target", help="predicted, or label: the class that the source tells.")
    ] = "predicted",
    class_: Annotated[
        str | None, typer.Option("--class", "-c", help="The class to explain of all: index, name or 'not NAME'.")
    ] = None,
    method: Annotated[str, typer.Option("--method", "-m", help="Method (`funcam methods`).")] = "grad-cam",
    layers: Annotated[
        list[str] | None, typer.Option("--layer", "-l", help="Where to cut (`funcam layers NET`); repeat.")
    ] = None,
    device: options.Device = "auto",
    combine: Annotated[
        str | None, typer.Option("--combine", help="Several layers as one map: mean, max or product.")
    ] = None,
    smooth: Annotated[list[str] | None, typer.Option("--smooth", help="aug or eigen; repeat.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="METHOD.OPTION=VALUE; repeat.")] = None,
    labels: options.Labels = None,
    fit: Annotated[
        str, typer.Option("--fit", help="squash, crop or pad: onto the network's input.", rich_help_panel=options.INPUT)
    ] = "squash",
    input_size: options.InputSize = None,
    scores: options.Scores = None,
    output: options.Output = None,
    layout: Annotated[
        str | None,
        typer.Option(
            "--layout", help="Axes of --layer: channels-last, 'tokens 14x14', ...", rich_help_panel=options.INPUT
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch", min=1, help="Images at once.")] = 32,
    maps: Annotated[
        str, typer.Option("--maps", help="float16, uint8, or none: figures only.", rich_help_panel=_STORE)
    ] = "float16",
    threshold: Annotated[
        float, typer.Option("--threshold", help="The box goes round this share of the peak.", rich_help_panel=_STORE)
    ] = 0.5,
    pictures: Annotated[
        str | None, typer.Option("--pictures", help="overlay: one of each, beside the shards.", rich_help_panel=_STORE)
    ] = None,
    shard_size: Annotated[
        int,
        typer.Option("--shard", min=1, max=2**16, help="Images of one file of the store.", rich_help_panel=_STORE),
    ] = 4096,
    as_listed: Annotated[
        bool, typer.Option("--as-listed", help="Go on without listing the source again.", rich_help_panel=_STORE)
    ] = False,
    skip_done: GoesOn = False,
    engine: Annotated[str, typer.Option("--engine", help="local, or ray.", rich_help_panel=_ENGINE)] = "local",
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", min=0, help="Threads that read and decode; else one a processor.", rich_help_panel=_ENGINE
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option("--address", help="Of a Ray cluster; else one on this machine.", rich_help_panel=_ENGINE),
    ] = None,
    gpus_per_worker: Annotated[
        float, typer.Option("--gpus-per-worker", min=0, help="Of Ray's actors; 0: processors.", rich_help_panel=_ENGINE)
    ] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> int:
    """Explain any number of images into a store of maps and figures; the same command goes on where one stopped."""
    from funcam.sources import list_items

    if bool(sources) == as_listed:
        given = "--as-listed was given and images too" if sources else "no images"
        raise UsageError(f"{given}; give folders, globs, lists or shards, or --as-listed to go on with those listed")
    if sources and "" in sources:
        raise UsageError("an empty source was given; name folders, globs, lists or shards (is a variable empty?)")
    _check(labels, fit, maps, target, class_, threshold, device)
    _check_pictures(pictures, maps)
    check_meaning(scores, layout)
    run = _engine(engine, device, workers, address, gpus_per_worker)
    spec = with_weights(parse_net_spec(net), weights)
    recipe = recipe_of(None, [method], layers or [], combine, smooth or [], settings or [], input_size)
    _check_one_map(recipe)
    left_out: list[str] = []
    items = None if as_listed else list_items(sources or [], sys.stdin.buffer, left_out.append)
    loaded, where = load_on_device(spec, labels, "cpu" if engine == "ray" else device, quiet, scores, output)
    from funcam.network.named import check_names

    check_names(loaded.model, recipe.layers)
    if not quiet:
        tell_parts([class_], [loaded.classes])
    asked = _asked(loaded, recipe, class_, target, fit, layout, threshold, where)
    sizes = {"shard_size": shard_size, "batch_size": min(batch_size, shard_size)}
    return _into_store(asked, items, left_out, out, {"map_type": maps, **sizes}, run, pictures is not None, quiet)


def _check(
    labels: Path | None,
    fit: str,
    maps: str,
    target: str,
    class_: str | None,
    threshold: float,
    device: str,
) -> None:
    """Find every wrong word before torch is imported."""
    from funcam.imaging.fit import FITS
    from funcam.store import MAP_TYPES

    check_choice("--fit", fit, [name for name in FITS if name != "native"])
    check_choice("--maps", maps, MAP_TYPES)
    check_choice("--target", target, _TARGETS)
    check_device(device)
    check_file("--labels", labels)
    if not 0 < threshold <= 1:
        raise UsageError(f"--threshold {threshold:g}: expected a share of the peak above 0, such as 0.5")
    if class_ is not None and target != "predicted":
        raise UsageError(f"--class {class_!r} was given and --target {target} too; give one or the other")


def _check_pictures(pictures: str | None, maps: str) -> None:
    if pictures is not None:
        check_choice("--pictures", pictures, _PICTURES)
        if maps == "none":
            raise UsageError(f"--pictures {pictures} needs maps, and --maps is none; leave one of them out")


def _check_one_map(recipe: Recipe) -> None:
    """Refuse what would give an image several maps."""
    check_methods(recipe.methods)
    if len(recipe.layers) > 1 and recipe.combine is None:
        given = ", ".join(recipe.layers)
        raise UsageError(f"a store holds one map of each image; give one of the layers {given}, or add --combine mean")


def _engine(engine: str, device: str, workers: int | None, address: str | None, gpus_per_worker: float) -> _Run:
    """What makes the shards that are missing."""
    check_choice("--engine", engine, _ENGINES)
    if engine == "local":
        if address is not None or gpus_per_worker:
            raise UsageError("--address and --gpus-per-worker are of a cluster; give --engine ray too")
        return lambda asked, writer, done: _local(asked, writer, done, workers)
    if device != "auto" or workers is not None:
        raise UsageError(
            "--device and --workers are of the local engine; --gpus-per-worker says what Ray's actors have"
        )
    return lambda asked, writer, done: _cluster(asked, writer, done, address, gpus_per_worker)


def _local(asked: Asked, writer: Writer, done: _Done, workers: int | None) -> None:
    from funcam.bulk.local import run_local

    run_local(asked, writer, done, workers)


def _cluster(asked: Asked, writer: Writer, done: _Done, address: str | None, gpus_per_worker: float) -> None:
    from funcam.bulk.cluster import run_cluster

    run_cluster(asked, writer, done, address=address, gpus_per_worker=gpus_per_worker)


def _asked(
    net: Net,
    recipe: Recipe,
    class_: str | None,
    target: str,
    fit: str,
    layout: str | None,
    threshold: float,
    device: str,
) -> Asked:
    from funcam.bulk.asked import Asked
    from funcam.zoo.labels import find_meant
    from funcam.zoo.nets import at_size

    net = at_size(net, recipe.size_for(net.input_size))
    wanted = cast("Target", target) if class_ is None else find_meant(class_, net.classes)
    return Asked(net, recipe, wanted, fit, layout, threshold, device)


def _into_store(
    asked: Asked,
    items: Iterable[Item] | None,
    left_out: list[str],
    out: Path,
    kept: Mapping[str, Any],
    run: _Run,
    draw: bool,
    quiet: bool,
) -> int:
    """Make what is missing of the store, and say what became of it."""
    from funcam.bulk.asked import question_of
    from funcam.cli.batch_progress import batch_progress
    from funcam.imaging.suffixes import heic_offer
    from funcam.imaging.suffixes import left_out as told_left_out
    from funcam.store import Writer, open_store

    with Writer(out, question_of(asked, **kept)) as writer:
        with loading("the list of images", quiet):
            writer.list_items(items)
            changed = 0 if items is None else writer.forget_changed()
        if changed and not quiet:
            complain(f"images have changed; their shards are made anew, {changed:,} of {writer.shards:,}")
        for line in [told_left_out(left_out), *heic_offer(left_out)] if left_out and not quiet else []:
            complain(line)
        collect_again()
        try:
            with batch_progress(writer.count - writer.written(), writer.count, quiet, "explaining", "done") as told:
                run(asked, writer, told.add)
        except (KeyboardInterrupt, FuncamError):
            complain(stopped(writer.written(), writer.count, "done"))
            raise
        undrawn = _draw_missing(out, quiet) if draw else 0
    failures = open_store(out).failures
    if not quiet:
        failed = f", {failures:,} of them failed" if failures else ""
        count, them = f"{writer.count:,} image{'s' * (writer.count != 1)}", "it" if writer.count == 1 else "them"
        shows = "` draws" if kept["map_type"] != "none" and failures < writer.count else " --json` tells of"
        console().print(f"{count} in {out}{failed}; `funcam batch show {out}{shows} {them}", markup=False)
    if told.failures:
        _complain_of_some(out)
    return FAILURE if failures or undrawn else 0


def _draw_missing(out: Path, quiet: bool) -> int:
    """Draw what isn't drawn yet of a store that is whole: how many images can't be seen again."""
    from funcam.bulk.pictures import Look, draw_missing, pictures_there
    from funcam.cli.batch_progress import batch_progress
    from funcam.store import open_store

    store = open_store(out)
    count = store.count - store.failures
    try:
        with batch_progress(count - pictures_there(store), count, quiet, "drawing", "drawn", what="pictures") as told:
            for row, made in draw_missing(store, Look()):
                told.add(1, int(not isinstance(made, Path)))
                if not isinstance(made, Path) and told.failures <= _SHOWN:
                    complain(about(row.path, str(made)))
    except KeyboardInterrupt:
        complain(stopped(pictures_there(store), count, "drawn", what="pictures"))
        raise
    return told.failures


def _complain_of_some(out: Path) -> None:
    """The first images that failed."""
    from funcam.store import open_store

    rows = open_store(out).rows(["error != null"], maps=False)
    for row in islice(rows, _SHOWN):
        complain(about(row.path, row.error or ""))
    if next(rows, None) is not None:
        complain(f"and more: `funcam batch show {out} --query 'error != null' --json` tells all")
