"""`funcam nets`: the networks that can be named, with size, input and default layer."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from funcam.cli.json_option import AsJson, print_json
from funcam.cli.messages import console
from funcam.errors import FuncamError
from funcam.zoo.names import DEFAULT_LAYERS


def nets(
    pattern: Annotated[str, typer.Argument(help="Only networks whose name has this in it.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the networks: name, parameters, input size, default layer."""
    from funcam.cli.tables import Column, print_prose, print_table
    from funcam.zoo.nets import net_infos

    infos = [info for info in net_infos() if any(pattern.lower() in name for name in (info.name, *info.aliases))]
    if not infos:
        raise FuncamError(f"no network has {pattern!r} in its name; `funcam nets` lists them all")
    if as_json:
        print_json([{**asdict(info), "default_layer": DEFAULT_LAYERS[info.name]} for info in infos])
        return
    rows = []
    for info in infos:
        accuracy = "" if info.accuracy is None else f"{info.accuracy:.1f}"
        size, parameters = f"{info.input_size}{'' if info.fixed_size else '+'}", f"{info.parameters:,}"
        row = (parameters, size, DEFAULT_LAYERS[info.name], accuracy, ", ".join(info.aliases))
        rows.append((f"[bold]{info.name}[/]", *row))
    columns = (
        Column("network"),
        Column("parameters", right=True),
        Column("input", right=True),
        Column("default layer"),
        Column("top-1", right=True, spare=True),
        Column("also called", spare=True),
    )
    print_table(console(), columns, rows)
    told = "input: pixels on a side; + takes larger images too. top-1: ImageNet, in percent, as published."
    print_prose(console(), told)
