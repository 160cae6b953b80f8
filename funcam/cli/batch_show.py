"""`funcam batch show`: the pictures of a store, drawn when somebody wants to see them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from funcam.cli.messages import FAILURE, UsageError, check_choice, complain, console
from funcam.errors import about, json_text, nearest
from funcam.zoo.labels import class_name

if TYPE_CHECKING:
    from funcam.store import Row


def batch_show(
    store: Annotated[Path, typer.Argument(help="The store, --out of `funcam batch`.")],
    query: Annotated[
        list[str] | None,
        typer.Option("--query", help="'score < 0.5 and path ~ dog', 'predicted = 207', 'error != null'; repeat."),
    ] = None,
    most: Annotated[int, typer.Option("--most", min=1, help="So many images, the first ones.")] = 60,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the pictures; else STORE-pictures.")
    ] = None,
    colormap: Annotated[str, typer.Option("--colormap", help="jet, turbo, viridis, inferno, cividis, ...")] = "jet",
    alpha: Annotated[float, typer.Option("--alpha", min=0, max=1, help="Weight of the heat.")] = 0.5,
    size: Annotated[
        int | None, typer.Option("--size", min=1, help="Longest side in pixels; else the image's own.")
    ] = None,
    format_: Annotated[str, typer.Option("--format", help="jpg, png or webp.")] = "jpg",
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows, a JSON line each; draw nothing.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> int:
    """Draw maps of a store over their images, and a contact sheet of them; or print its rows."""
    from funcam.imaging.render import COLORMAPS
    from funcam.pipeline.writing import FORMATS
    from funcam.store import open_store, parse_query

    check_choice("--format", format_, FORMATS)
    if colormap not in COLORMAPS:
        raise UsageError(f"--colormap {colormap!r} is unknown; nearest: {nearest(colormap, COLORMAPS)}")
    parse_query(query or [])
    opened = open_store(store)
    rows = opened.rows(query or [], maps=not as_json)
    if as_json:
        for row in rows:
            print(json_text(_record(row, opened.question["classes"]), ascii_only=True))
        return 0
    from funcam.bulk.pictures import Look, draw_rows

    folder = out or store.with_name(f"{store.name}-pictures")
    chosen = list(islice(rows, most))
    if not chosen:
        return complain(f"no row of {store} {'answers ' + ' and '.join(query) if query else 'is there yet'}")
    failures = 0
    for row, made in draw_rows(opened, chosen, folder, Look(colormap, alpha, size, format_)):
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
