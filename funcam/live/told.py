"""What a page says in words, tables, files and code. Everything that comes from outside is escaped."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Sequence
from typing import Any

from PIL import Image

from funcam.errors import json_text, one_line
from funcam.imaging.reading import Pixels
from funcam.live.side import Place, Side
from funcam.methods import METHODS

_PARTS = (("upper left", "top", "upper right"), ("left", "middle", "right"), ("lower left", "bottom", "lower right"))


def pictures(sides: Sequence[Side], chosen: str | None, colormap: str, cells: Sequence[tuple[int, int] | None]) -> str:
    """The map of a class on each side, with the cell that was chosen, as HTML.

    Args:
        sides: one or two.
        chosen: the class's name; a side that doesn't have it shows its likeliest.
        colormap: a name of `COLORMAPS`.
        cells: row and column of the chosen cell of each side.
    """
    figures = [_figure(side, cell, chosen, colormap) for side, cell in zip(sides, cells, strict=True)]
    return f'<div class="maps">{"".join(figures)}</div>'


def _figure(side: Side, cell: tuple[int, int] | None, chosen: str | None, colormap: str) -> str:
    row = side.row_of(chosen)
    words, seen = html.escape(said(side, row)), html.escape(described(side, row))
    mark = ""
    if cell is not None:
        box = zip(("left", "top", "width", "height"), side.cell_box(*cell), strict=True)
        mark = f'<i style="{";".join(f"{name}:{100 * value:.3f}%" for name, value in box)}"></i>'
    rows, columns = side.map_of(row).shape
    source = _data(_png(side.shown(row, colormap)), "image/png")
    return (
        f'<figure><div class="seen" tabindex="0" role="group" data-rows="{rows}" data-columns="{columns}" '
        'aria-label="Map; arrow keys move from cell to cell">'
        f'<img src="{source}" alt="{seen}">{mark}</div><figcaption>{words}</figcaption></figure>'
    )


def said(side: Side, row: int) -> str:
    """One line under a picture: the class, how it was made, and with how many cells."""
    each = side.classes[row]
    sure = "" if each.probability is None else f" {100 * each.probability:.1f} %"
    rows, columns = side.map_of(row).shape
    method = METHODS[side.asked.method].title
    net, layer = side.loaded.net, side.loaded.layers[side.layer].name
    return f"{each.name}{sure}: {method} at {layer} of {net.name} ({short(net.weights)}), {columns} x {rows} cells"


def short(weights: str) -> str:
    """What weights go by on the page: of a file its name, not where it lies on the server."""
    return os.path.basename(weights) or weights


def described(side: Side, row: int) -> str:
    """What there is to see, for who doesn't: where the map is strongest."""
    values = side.map_of(row)
    what = f"Map of what speaks for {side.classes[row].name!r}"
    if not values.max() > 0:
        return f"{what}: nothing does at this layer"
    place = int(values.argmax())
    rows, columns = values.shape
    down, across = place // columns * 3 // rows, place % columns * 3 // columns
    return f"{what}, laid over the picture: strongest at the {_PARTS[down][across]}"


def choices(sides: Sequence[Side]) -> list[tuple[str, str]]:
    """The classes as buttons: those of the first side, then what the second has besides; label and name."""
    known = {each.name: each for side in reversed(sides) for each in side.classes}
    order = dict.fromkeys(each.name for side in sides for each in side.classes)
    return [(_button(name, known[name].probability), name) for name in order]


def _button(name: str, probability: float | None) -> str:
    return name if probability is None else f"{name}, {100 * probability:.1f} %"


def place_table(place: Place | None, side: Side) -> str:
    """Which classes a place speaks for, as HTML."""
    if place is None:
        return "<p>The network does not see this place.</p>"
    where = f"column {place.column + 1} of {place.columns}, row {place.row + 1} of {place.rows}"
    net = f"{side.loaded.net.name}, {side.loaded.layers[side.layer].name}"
    how = (
        "Exact: the shares of all cells and the class's bias add up to its logit."
        if place.exact
        else "To first order (gradient times features), among the likeliest classes: the head is not linear."
    )
    rows = "".join(
        f'<tr><th scope="row">{html.escape(each.name)}</th><td>{each.share:+.3f}</td><td>{each.logit:.2f}</td></tr>'
        for each in place.shares
    )
    return (
        f"<table><caption>{html.escape(net)}: what the cell in {where} says</caption>"
        '<thead><tr><th scope="col">class</th><th scope="col">this cell adds</th>'
        '<th scope="col">whole logit</th></tr></thead>'
        f"<tbody>{rows}</tbody></table><p>{how}</p>"
    )


def downloads(sides: Sequence[Side], colormap: str) -> str:
    """Links to the panel and the JSON of each side; they are in the page, so no file is written anywhere."""
    links = []
    for side in sides:
        panel = io.BytesIO()
        side.result.panel(colormap=colormap).save(panel, "PNG")
        text = json_text(record(side), indent=1).encode()
        stem = html.escape(f"{side.loaded.net.name}-{side.asked.method}")
        links += [
            f'<a download="{stem}-panel.png" href="{_data(panel.getvalue(), "image/png")}">Panel of {stem} (PNG)</a>',
            f'<a download="{stem}.json" href="{_data(text, "application/json")}">{stem} (JSON)</a>',
        ]
    return f'<p class="files">{" ".join(links)}</p>'


def record(side: Side) -> dict[str, Any]:
    """What was explained, and how, with the maps as numbers."""
    return {"weights": side.loaded.net.weights, "box": list(side.view.box), **side.result.to_dict(maps=True)}


def problem(message: str) -> str:
    """What is wrong, as HTML that is read out at once."""
    return f'<p class="problem" role="alert">{html.escape(message)}</p>'


def programs(sides: Sequence[Side], chosen: str | None, colormap: str, picture: str) -> str:
    """The lines that make the same pictures, one program after the other."""
    return "\n\n".join(program(side, side.row_of(chosen), colormap, picture) for side in sides)


def program(side: Side, row: int, colormap: str, picture: str) -> str:
    """The lines that make the same picture.

    Args:
        side: the network and the rest.
        row: the number of the class.
        colormap: a name of `COLORMAPS`.
        picture: the name of the picture's file, or the code of a scene.
    """
    each, layer = side.classes[row], side.loaded.layers[side.layer].name
    net = side.loaded.code or "...  # your network: funcam.own_net(model, input_size=...)"
    lines = [f"picture = {picture!r}"]
    if picture.startswith(SCENE):
        lines = ["from funcam.scenes import scene", "", f"picture = scene({picture.removeprefix(SCENE)}).image"]
    how = f"method={side.asked.method!r}, layer={layer!r}"
    return "\n".join(
        [
            "import funcam",
            *lines,
            f"net = {net}",
            f"target = {each.index}  # {one_line(each.name)}",
            f"result = funcam.explain(net, picture, target, {how})",
            f'result.overlay(colormap="{colormap}").save("map.png")',
        ]
    )


SCENE = "scene:"
"""What stands before the arguments of a scene, in the place of a file's name."""


def _png(pixels: Pixels) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _data(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
