"""``funcam layers NET``: where a network can be cut."""

from __future__ import annotations

from typing import Annotated

import typer

from funcam.cli.words import UsageError, console
from funcam.errors import FuncamError
from funcam.zoo import canonical_name


def layers(
    net: Annotated[str, typer.Argument(help="A network, as `funcam nets` lists them.")],
) -> None:
    """List the layers of a network: name, shape, the default marked."""
    try:
        name = canonical_name(net)
    except FuncamError as error:
        raise UsageError(str(error)) from error
    from rich.table import Table

    from funcam.nets import net_infos
    from funcam.network.cutting import list_layers
    from funcam.skeleton import skeleton

    size = next((info.input_size for info in net_infos() if info.name == name), 224)
    table = Table("layer", "shape", "", box=None, pad_edge=False)
    for layer in list_layers(skeleton(name), (1, 3, size, size)):
        mark, style = ("default", "bold green") if layer.default else ("", None)
        table.add_row(layer.name, "x".join(map(str, layer.shape[1:])), mark, style=style)
    console().print(table)
    console().print(f"shape: channels x height x width, of an image of {size}x{size} pixels")
