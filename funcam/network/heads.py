"""Whether what follows a cut is pooling over space and one linear layer, so that CAM's weights are that layer's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from torch import fx

from funcam.network.graph import Graph
from funcam.network.layers import Shapes, between, name_of, probe_shapes, shapes_of
from funcam.network.traits import CASTS, REORDERED_AXES, RESHAPED, SAME, is_dropout, is_mean, operation

_PASSING = SAME | CASTS | RESHAPED | REORDERED_AXES
_WORDS = {"linear": "linear layer", "relu": "ReLU", "gelu": "GELU", "getitem": "selection of a part"}


def why_not_linear(graph: Graph, node: fx.Node, image: Sequence[int] | None = None) -> str | None:
    """Why the rest of a network is not the mean over space followed by one linear layer; None where it is.

    Flattening, dropout, permuting and the like change nothing. A convolution is not taken for a linear layer, and the
    class token of a transformer is no mean.

    Args:
        graph: the traced model.
        node: the node of the cut, a feature map.
        image: the images' shape, `[B, channels, *size]`; None for a usual size.

    Returns:
        None, or the reason, to be put behind "CAM needs pooling and one linear layer behind the cut: ".

    Raises:
        FuncamError: the model takes no images of this shape.

    Example:
        >>> import torchvision
        >>> from funcam.network.cutting import graph_of
        >>> graph = graph_of(torchvision.models.resnet18())
        >>> why_not_linear(graph, graph.outputs["layer4"])
        >>> why_not_linear(graph, graph.outputs["layer4.1.bn1"])
        "values that skip 'layer4.1.bn1' reach the output"
    """
    found = linear_behind(graph, node, lambda: probe_shapes(graph) if image is None else shapes_of(graph, image))
    return found if isinstance(found, str) else None


def linear_behind(graph: Graph, node: fx.Node, shapes_in: Callable[[], Shapes]) -> fx.Node | str:
    """The one linear layer behind the mean over space of a node's feature map; else why there is none.

    Args:
        graph: the traced model.
        node: the node of the cut, a feature map.
        shapes_in: gives the shapes in the graph, if they are needed.

    Example:
        >>> import torchvision
        >>> from funcam.network.cutting import graph_of
        >>> graph = graph_of(torchvision.models.resnet18())
        >>> linear_behind(graph, graph.outputs["layer4"], lambda: shapes_of(graph, (1, 3, 224, 224)))
        fc
    """
    output = graph.module.graph.output_node()
    returned = output.args[0]
    if not isinstance(returned, fx.Node):
        return "the model returns several values, not one tensor of logits"
    shapes = shapes_in()
    inner, crossing = between([node], returned)
    rest = [n for n in inner if n in shapes.of and n.op != "get_attr"]
    name = name_of(graph, node)
    if returned is node or not rest:
        return f"{name!r} is the output itself, or does not lead to it"
    if any(n in shapes.of for n in crossing if n.op != "get_attr"):
        return f"values that skip {name!r} reach the output"
    kinds = [(n, _kind(graph, n, shapes)) for n in rest]
    parts = [kind for _, kind in kinds if kind != "passing"]
    if parts != ["pooling", "linear"]:
        return _described(graph, name, kinds)
    pool, linear = (n for n, kind in kinds if kind != "passing")
    return _why_not_pooled(shapes, node, pool, linear, name) or linear


def _kind(graph: Graph, node: fx.Node, shapes: Shapes) -> str:
    """`pooling`, `linear` or `passing`; anything else stands in the way."""
    name = operation(graph, node)
    if is_mean(name):
        return "pooling" if _is_global(graph, node, shapes) else "passing" if _is_idle(node, shapes) else name
    return "passing" if name in _PASSING or is_dropout(name) else name


def _is_global(graph: Graph, node: fx.Node, shapes: Shapes) -> bool:
    """Whether a mean leaves one value for each channel: it is taken over all of space, and nothing but space."""
    given = node.all_input_nodes[0]
    before, after = shapes.of.get(given, ()), shapes.of[node]
    layout = shapes.layout(given)
    if layout is None or not before:
        return False
    space = set(range(1, len(before) - 1)) if layout.kind != "channels-first" else set(range(2, len(before)))
    if operation(graph, node) == "mean":
        dims: Any = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
        listed = dims if isinstance(dims, (list, tuple)) else [dims]
        return layout.prefix == 0 and all(type(d) is int for d in listed) and {d % len(before) for d in listed} == space
    return layout.kind == "channels-first" and all(side == 1 for side in after[2:])


def _is_idle(node: fx.Node, shapes: Shapes) -> bool:
    """Whether pooling is of one cell: a second pooling behind a global one."""
    return shapes.of.get(node.all_input_nodes[0]) == shapes.of[node] and set(shapes.of[node][2:]) == {1}


def _why_not_pooled(shapes: Shapes, node: fx.Node, pool: fx.Node, linear: fx.Node, name: str) -> str | None:
    layout = shapes.layout(node)
    channels = shapes.of[node][1 if layout and layout.kind == "channels-first" else -1]
    rows = shapes.of[linear.all_input_nodes[0]]
    if layout is None or rows != (shapes.of[node][0], channels):
        return f"the linear layer behind {name!r} is given {list(rows)}, not the mean of each of {channels} channels"
    return None


def _described(graph: Graph, name: str, kinds: list[tuple[fx.Node, str]]) -> str:
    """What stands behind the cut, counted: `behind 'features.29' come 3 linear layers and 2 ReLUs`."""
    counted = Counter(_word(graph, node, kind) for node, kind in kinds if kind not in ("passing", "pooling"))
    words = [f"{count} {word}{'s' * (count > 1 and not word.endswith('s'))}" for word, count in counted.items()]
    listed = " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]])) or "no linear layer"
    pooled = [kind for _, kind in kinds].count("pooling")
    lack = "" if pooled else ", without pooling over all of space"
    return f"behind {name!r} come{'s' * (sum(counted.values()) < 2)} {listed}{lack}"


def _word(graph: Graph, node: fx.Node, kind: str) -> str:
    if kind in _WORDS:
        return _WORDS[kind]
    if node.op == "call_module":
        return type(graph.module.get_submodule(str(node.target))).__name__
    return kind
