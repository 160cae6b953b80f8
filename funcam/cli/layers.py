"""`funcam layers NET`: where a network can be cut."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from funcam.cli.json_option import AsJson, print_json
from funcam.cli.messages import console
from funcam.cli.net_loading import load_on_device
from funcam.cli.net_option import OWN, NetSpec, parse_net_spec
from funcam.zoo.names import canonical_name
from funcam.zoo.user_code import Factory

if TYPE_CHECKING:
    from torch import nn


def layers(
    net: Annotated[str, typer.Argument(help=f"A network, as `funcam nets` lists them, {OWN}; =WEIGHTS behind it.")],
    as_json: AsJson = False,
) -> None:
    """List the layers of a network: name, shape, the default marked."""
    spec = parse_net_spec(net, "NET")
    from funcam.cli.tables import Column, plain, print_prose, print_table
    from funcam.network.listing import list_layers

    model, shape = _model(spec, silent=as_json)
    found = list_layers(model, (1, *shape))
    if as_json:
        print_json([{"name": each.name, "shape": list(each.shape[1:]), "default": each.default} for each in found])
        return
    rows = []
    for layer in found:
        row = (plain(layer.name), "x".join(map(str, layer.shape[1:])), "default" if layer.default else "")
        rows.append([f"[bold green]{cell}[/]" for cell in row] if layer.default else row)
    print_table(console(), (Column("layer"), Column("shape"), Column()), rows)
    print_prose(console(), f"shape: channels x height x width, of an image of {shape[-1]}x{shape[-2]} pixels")


def _model(spec: NetSpec, silent: bool) -> tuple[nn.Module, tuple[int, ...]]:
    """The network and the shape of its input; of the zoo's usual one without values, which its layers don't need."""
    if isinstance(spec.net, Factory) or spec.weights is not None:
        net, _ = load_on_device(spec, None, "cpu", silent, None, None)
        return net.model, net.image_shape
    from funcam.zoo.architectures import meta_network
    from funcam.zoo.nets import net_infos

    name = canonical_name(spec.net)
    side = next((info.input_size for info in net_infos() if info.name == name), 224)
    sized = {"image_size": side} if name.startswith("vit_") else {}  # their tensors' shapes depend on it
    return meta_network(name, **sized), (3, side, side)
