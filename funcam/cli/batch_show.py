"""`funcam batch show`: the pictures of a store, drawn when somebody wants to see them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from funcam.cli.collector import collect_again
from funcam.cli.configuration import LARGEST
from funcam.cli.messages import FAILURE, UsageError, check_choice, complain, console
from funcam.cli.report_option import Overwrite, check_reports, tell_replaced
from funcam.errors import about, json_text, nearest
from funcam.zoo.labels import class_name

if TYPE_CHECKING:
    from funcam.store import Row, Store


_OF_PICTURES = {
    "out": "--out",
    "overwrite": "--overwrite",
    "colormap": "--colormap",
    "alpha": "--alpha",
    "size": "--size",
    "format_": "--format",
}
_OF_FILES = ("size", "format_")
_SHOWN = 60


def batch_show(
    context: typer.Context,
    store: Annotated[Path, typer.Argument(help="The store, --out of `funcam batch`.")],
    query: Annotated[
        list[str] | None,
        typer.Option("--query", help="'score < 0.5 and path ~ dog', 'predicted = 207', 'error != null'; repeat."),
    ] = None,
    most: Annotated[
        int | None, typer.Option("--most", min=1, help=f"So many images, the first ones; else {_SHOWN}, as rows all.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option("--sample", min=1, help="So many by lot instead, the same each time.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the pictures; else STORE-pictures.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write them as one page, .html, instead of pictures.")
    ] = None,
    overwrite: Overwrite = False,
    colormap: Annotated[
        str | None, typer.Option("--colormap", help="jet (else), turbo, viridis, inferno, cividis, ...")
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option("--alpha", min=0, max=1, help="Weight of the heat; else 0.5, a report's 0.65."),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option("--size", min=1, max=LARGEST, help="Longest side in pixels; else the image's own."),
    ] = None,
    format_: Annotated[str, typer.Option("--format", help="jpg, png or webp.")] = "jpg",
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows, a JSON line each; draw nothing.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> int:
    """Draw maps of a store over their images, and a contact sheet of them; or a page of them; or print its rows."""
    from funcam.imaging.render import COLORMAPS
    from funcam.pipeline.writing import FORMATS
    from funcam.store import open_store, parse_query

    check_choice("--format", format_, FORMATS)
    if colormap is not None and colormap not in COLORMAPS:
        raise UsageError(f"--colormap {colormap!r} is unknown; nearest: {nearest(colormap, COLORMAPS)}")
    if report is not None:
        _check_report(report, out, as_json)
    _check_unused(context, report, most, sample, as_json)
    folder = out or store.with_name(f"{store.name}-pictures")
    if not as_json:
        _check_outside(store, folder if report is None else report.parent)
    check_reports([] if report is None else [report], overwrite)
    parse_query(query or [])
    opened = open_store(store)
    if opened.question["map_type"] == "none" and not as_json:
        return complain(f"{store}: the store holds no maps (--maps none), figures only; add --json, which prints them")
    question = "" if report is None else _question(opened, report, (query, most or _SHOWN, sample))
    tell_replaced([] if report is None else [report], question, overwrite)
    collect_again()
    missing = [] if quiet else opened.missing
    if missing:
        told = f"{len(missing):,}, the first is shard {missing[0]:,}"
        complain(f"shards of {store} are missing, with their rows ({told}); the same `funcam batch` makes them")
    rows = opened.rows(query or [], maps=not as_json)
    if as_json:
        for row in islice(rows, most) if sample is None else _sampled(rows, sample):
            print(json_text(_record(row, opened.question["classes"]), ascii_only=True))
        return 0
    chosen = list(islice(rows, most or _SHOWN)) if sample is None else _sampled(rows, sample)
    if not chosen:
        return complain(f"no row of {store} {'answers ' + ' and '.join(query) if query else 'is there yet'}")
    if report is not None:
        return _report(opened, chosen, report, question, (colormap or "", alpha), quiet)
    return _draw(
        opened, chosen, folder, (colormap or "jet", 0.5 if alpha is None else alpha, size, format_), overwrite, quiet
    )


def _check_report(report: Path, out: Path | None, as_json: bool) -> None:
    if report.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--report {str(report)!r}: expected a page, such as report.html")
    if out is not None or as_json:
        raise UsageError(f"--report and {'--json' if as_json else '--out'} were given; give one or the other")


def _check_unused(
    context: typer.Context, report: Path | None, most: int | None, sample: int | None, as_json: bool
) -> None:
    """Refuse what was given on the command line and would change nothing: a configuration's style is not meant."""
    if most is not None and sample is not None:
        raise UsageError("--most and --sample were given; give one or the other")
    if not as_json and report is None:
        return
    other, names = ("--json", _OF_PICTURES) if as_json else ("--report", _OF_FILES)
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"{_OF_PICTURES[name]} is of pictures, and {other} makes none; leave one of them out")


def _check_outside(store: Path, folder: Path) -> None:
    """Refuse to write into the store: `funcam batch` doesn't go on in a folder that holds other files."""
    place = store.resolve()
    if place in (folder.resolve(), *folder.resolve().parents):
        raise UsageError(
            f"{str(folder)!r} is in the store, which holds nothing else; choose another place, such as "
            f"{f'{store.name}-pictures'!r}"
        )


def _sampled(rows: Iterable[Row], most: int) -> list[Row]:
    from funcam.bulk.reporting import sample

    return sample(rows, most)


def _question(store: Store, report: Path, chosen: tuple[object, ...]) -> str:
    """What tells what the page shows from what others do, in letters: the store, and which of its rows."""
    from funcam.resuming.places import way
    from funcam.resuming.question import question_letters

    return question_letters([store.question, way(report.parent, str(store.folder)), chosen])


def _report(
    store: Store, rows: Sequence[Row], path: Path, question: str, style: tuple[str, float | None], quiet: bool
) -> int:
    """The page over rows."""
    from funcam.bulk.reporting import report_of
    from funcam.report import write_report

    colormap, alpha = style
    page, failed = report_of(store, rows, colormap)
    for row, error in failed:
        complain(about(row.path, str(error)))
    if page.images:
        write_report(path, replace(page, question=question, alpha=page.alpha if alpha is None else alpha))
        if not quiet:
            count = len(page.images)
            console().print(f"{count} image{'s' * (count != 1)} in {path}", markup=False)
    return FAILURE if failed else 0


def _draw(
    store: Store, chosen: Sequence[Row], folder: Path, look: tuple[Any, ...], overwrite: bool, quiet: bool
) -> int:
    """A picture of each row, and the contact sheet."""
    from funcam.bulk.pictures import Look, draw_rows, taken_by_others

    taken = taken_by_others(folder, chosen, Look(*look))
    if taken is not None and not overwrite:
        raise UsageError(
            f"--out {str(folder)!r}: {taken} is there and funcam did not write it; choose another folder, or add "
            "--overwrite"
        )

    failures = 0
    for row, made in draw_rows(store, chosen, folder, Look(*look)):
        if not isinstance(made, Path):
            failures += 1
            complain(about(row.path, str(made)))
    if not quiet and failures < len(chosen):
        console().print(f"{len(chosen) - failures} pictures and sheet.jpg in {folder}", markup=False)
    return FAILURE if failures else 0


def _record(row: Row, classes: Sequence[str]) -> dict[str, Any]:
    """A row as people read it: classes by their names, what there isn't left out."""
    return {
        "index": row.index,
        "path": row.path,
        "label": row.label,
        "content": row.content,
        "width": row.width,
        "height": row.height,
        "top": [{"class": index, "name": class_name(index, classes), "score": score} for index, score in row.top],
        "class": row.target,
        "score": row.score,
        "figures": None if row.figures is None else row.figures._asdict(),
        "error": row.error,
    }
