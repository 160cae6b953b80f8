"""Images of another number of axes or channels than a model's first convolution takes, refused before they are run."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import NamedTuple

from torch import fx
from torch.nn.modules.conv import _ConvNd

from funcam.errors import FuncamError
from funcam.network.graph import Graph
from funcam.network.images import hint
from funcam.network.traits import keeps_axes, module_of, operation

_AXES = {1: ("L",), 2: ("H", "W"), 3: ("D", "H", "W")}


class _First(NamedTuple):
    """The first convolution that is given the images, its name, and whether nothing at all is done to them before."""

    name: str
    conv: _ConvNd
    direct: bool


def refuse_misfits(graph: Graph, shape: Sequence[int]) -> None:
    """Refuse images that the convolution which is given them can't take, before torch takes them for something else.

    torch takes `[C, H, W]` for one image where a convolution is given it: in a network of one input channel nothing
    would fail. Nothing is said of a network that turns its images round first.

    Args:
        graph: the traced model.
        shape: the images' shape, `[B, channels, *size]`.

    Raises:
        FuncamError: another number of axes or channels; the message says what helps, e.g. `image[None]`.
    """
    first = _first_convolution(graph)
    if first is None:
        return
    axes, channels = len(first.conv.kernel_size), first.conv.in_channels
    fitting = (channels,) if first.direct else (channels, 1)  # a mean of three channels makes three of one
    if len(shape) != axes + 2 or shape[1] not in fitting:
        raise FuncamError(
            f"images have shape {list(shape)} and {graph.model} takes {_taken(first.conv)}, by its first convolution "
            f"{first.name!r}{hint(first.conv, shape)}"
        )


def axes_taken(graph: Graph, otherwise: int) -> int:
    """How many axes images have for the convolution that is given them; `otherwise` where there is none."""
    first = _first_convolution(graph)
    return otherwise if first is None else len(first.conv.kernel_size) + 2


def _taken(conv: _ConvNd) -> str:
    return f"[B, {conv.in_channels}, {', '.join(_AXES[len(conv.kernel_size)])}]"


_FIRST: weakref.WeakKeyDictionary[Graph, _First | None] = weakref.WeakKeyDictionary()


def _first_convolution(graph: Graph) -> _First | None:
    if graph not in _FIRST:
        _FIRST[graph] = _search(graph)
    return _FIRST[graph]


def _search(graph: Graph) -> _First | None:
    as_they_are: set[fx.Node] = set()
    padded = 0
    for node in graph.module.graph.nodes:
        if node.op == "placeholder":
            as_they_are.add(node)
        if as_they_are.isdisjoint(node.all_input_nodes):
            continue
        module = module_of(graph.module, node) if node.op == "call_module" else None
        if isinstance(module, _ConvNd) and not module.transposed and module.in_channels:
            if padded > len(module.kernel_size):  # channels, too
                return None
            return _First(str(node.target), module, node.all_input_nodes[0].op == "placeholder")
        name = operation(graph, node)
        if keeps_axes(name):
            as_they_are.add(node)
            padded = max(padded, _axes_padded(node) if name == "pad" else 0)
    return None


def _axes_padded(node: fx.Node) -> int:
    """How many axes, from the last, `pad` makes longer."""
    sizes = node.args[1] if len(node.args) > 1 else node.kwargs.get("pad")
    return len(sizes) // 2 if isinstance(sizes, tuple | list) else 0
