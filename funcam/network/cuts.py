"""A graph cut at a node into two graphs: images -> what crosses the cut, and what crosses the cut -> outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import torch
from torch import fx, nn

from funcam.errors import FuncamError
from funcam.network.graph import Graph, acyclic
from funcam.network.inplace import reuse_memory
from funcam.network.layers import between, find_node, output_of


@dataclass(frozen=True, eq=False)
class Cut:
    """A graph cut at a node, or a pair of functions that are cut already.

    Attributes:
        layer: the name of the cut.
        features: images -> the values that cross the cut, by name (`create_feature_extractor`'s).
        rest: the values that cross the cut, the layer's own first -> what the model returns.
        names: the names of those values, the layer's own first.
        image: the shape of the images that the cut is for, where it is for one (`torch.export`'s are).
    """

    layer: str
    features: Callable[[torch.Tensor], dict[str, Any]]
    rest: Callable[..., Any]
    names: tuple[str, ...]
    image: tuple[int, ...] | None = None


def make_cut(graph: Graph, layer: str) -> Cut:
    """A graph cut at a layer.

    Raises:
        FuncamError: there is no such layer, or the outputs don't depend on it.
    """
    placed = crossing_of(graph, layer)
    return Cut(
        layer,
        feature_extractor(graph, placed),
        part(graph, placed, output_of(graph)),
        tuple(placed.values()),
        graph.image,
    )


def crossing_of(graph: Graph, layer: str) -> dict[fx.Node, str]:
    """What crosses a cut at a layer, the layer's own node first, and by which names.

    Raises:
        FuncamError: there is no such layer, or the outputs don't depend on it.
    """
    node = find_node(graph, layer)
    rest, crossing = between([node], output_of(graph))
    if not any(user in rest for user in node.users):
        raise FuncamError(f"layer {layer!r} of {graph.model} does not lead to its output; name a layer that does")
    return {each: f"crossing{i}" for i, each in enumerate([node, *crossing])}


def feature_extractor(graph: Graph, crossing: dict[fx.Node, str]) -> fx.GraphModule:
    """The graph up to some nodes as a module `images -> their values by the names given`.

    What torchvision's `create_feature_extractor` makes of a model, from a graph that is there already: torchvision's
    would trace it again, which changes `nn.Module` for all threads and the training flags of what it traces.
    """
    copy = fx.Graph()
    placed: dict[fx.Node, fx.Node] = {}
    copy.graph_copy(graph.module.graph, placed)
    copy.output({name: placed[node] for node, name in crossing.items()})
    copy.eliminate_dead_code(lambda node: node.op in ("placeholder", "output"))
    reuse_memory(copy, graph.module)
    return acyclic(fx.GraphModule(_flat(copy, graph.module), copy, graph.model).eval())


def _flat(copy: fx.Graph, root: nn.Module) -> dict[str, Any]:
    """What a graph's nodes name, by names without dots: each step to a module would take time at each call."""
    names: dict[Any, str] = {}
    held: dict[str, Any] = {}
    for node in copy.nodes:
        if node.op not in ("call_module", "get_attr"):
            continue
        if node.target not in names:
            name = "at_" + str(node.target).replace(".", "_")
            while name in held:
                name += "_"
            names[node.target] = name
            held[name] = attrgetter(node.target)(root)
        node.target = names[node.target]
    return held


def part(graph: Graph, crossing: dict[fx.Node, str], end: fx.Node) -> fx.GraphModule:
    """The nodes by which one depends on some others, as a module that takes those.

    Args:
        graph: the graph.
        crossing: the others, and how what is taken is to be called.
        end: the one; the output for what the model returns.
    """
    copy = fx.Graph()
    placed = {node: copy.placeholder(name) for node, name in crossing.items()}
    for node in between(crossing, end)[0]:
        placed[node] = copy.node_copy(node, placed.__getitem__)
    if end.op != "output":
        copy.output(placed[end])
    return acyclic(fx.GraphModule(graph.module, copy, graph.model).eval())
