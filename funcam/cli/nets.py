"""`funcam nets`: the networks that can be named, with size, input and default layer."""

from __future__ import annotations

from typing import Annotated

import typer

from funcam.cli.messages import console
from funcam.errors import FuncamError
from funcam.zoo.names import DEFAULT_LAYERS


def nets(
    pattern: Annotated[str, typer.Argument(help="Only networks whose name has this in it.")] = "",
) -> None:
    """List the networks: name, parameters, input size, default layer."""
    from rich.table import Table

    from funcam.zoo.nets import net_infos

    infos = [info for info in net_infos() if any(pattern.lower() in name for name in (info.name, *info.aliases))]
    if not infos:
        raise FuncamError(f"no network has {pattern!r} in its name; `funcam nets` lists them all")
    table = Table(box=None, pad_edge=False)
    for title in ("network", "parameters", "input", "default layer", "top-1", "also called"):
        table.add_column(title, justify="right" if title in ("parameters", "input", "top-1") else "left", no_wrap=True)
    for info in infos:
        accuracy = "" if info.accuracy is None else f"{info.accuracy:.1f}"
        size, parameters = f"{info.input_size}{'' if info.fixed_size else '+'}", f"{info.parameters:,}"
        row = (parameters, size, DEFAULT_LAYERS[info.name], accuracy, ", ".join(info.aliases))
        table.add_row(f"[bold]{info.name}[/]", *row)
    console().print(table)
    console().print("input: pixels on a side; + takes larger images too. top-1: ImageNet, in percent, as published.")
