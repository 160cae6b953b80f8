"""``funcam nets``: the networks that can be named, with size, input and default layer."""

from __future__ import annotations

from typing import Annotated

import typer

from funcam.cli.words import console
from funcam.errors import FuncamError


def nets(
    pattern: Annotated[str, typer.Argument(help="Only networks whose name has this in it.")] = "",
) -> None:
    """List the networks: name, parameters, input size, default layer."""
    from rich.table import Table

    from funcam.cutting import split
    from funcam.nets import net_infos
    from funcam.skeleton import skeleton

    infos = [info for info in net_infos() if pattern.lower() in info.name or pattern.lower() in info.aliases]
    if not infos:
        raise FuncamError(f"no network has {pattern!r} in its name; `funcam nets` lists them all")
    table = Table(box=None, pad_edge=False)
    for title in ("network", "also", "parameters", "input", "default layer", "top-1", "weights"):
        table.add_column(title, justify="right" if title in ("parameters", "input", "top-1") else "left")
    from rich.progress import track

    shown = console()
    for info in track(infos, "tracing", console=console(stderr=True), transient=True, disable=not shown.is_terminal):
        layer = split(skeleton(info.name)).layer
        accuracy = "" if info.accuracy is None else f"{info.accuracy:.1f}"
        table.add_row(
            f"[bold]{info.name}[/]",
            ", ".join(info.aliases),
            f"{info.parameters:,}",
            str(info.input_size),
            layer,
            accuracy,
            ", ".join(info.weights) or "in the package",
        )
    shown.print(table)
