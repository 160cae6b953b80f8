"""Which layer is explained where none is named."""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile

from torch import fx, nn
from torch.nn.modules.conv import _ConvNd

from funcam.errors import FuncamError
from funcam.network.differentiable import differentiable
from funcam.network.failures import UnknownAxes
from funcam.network.graph import Graph
from funcam.network.layers import Shapes, ancestors, dependants, name_of, of_images, output_of
from funcam.network.traits import (
    ADDITIONS,
    PARTS,
    TOKEN_NORMS,
    is_attention,
    is_identity,
    is_passing,
    is_weighted,
    module_of,
    operation,
)

LAST_CONV = "last-conv"
_MOST_PARALLEL = 4
IsNorm = Callable[[Graph, Shapes, fx.Node], bool]


def default_layer(graph: Graph, shapes: Shapes) -> str:
    """The layer that is explained by default: the last feature map before pooling or flattening, after its activation.

    The map must have a layer with weights behind it (the class maps of SqueezeNet are already the answer) unless the
    network has no head, and all that the network knows of the image must pass through it (no branch of a block), unless
    the only such map lies before the deepest ones (networks that join several scales). In a network whose maps are
    tokens beside a class token, or channels-last (Vision Transformers, Swin), it is the norm at the last block's
    attention: behind it a class token no longer sees the other tokens. Where a class token joins behind the last of
    the patches' attention (CaiT), it is the map that it reads.

    Raises:
        FuncamError: there is no feature map.
    """
    maps = _maps(graph, shapes)
    if not maps:
        raise UnknownAxes(
            f"{graph.model} has no feature map with a spatial extent for images of shape {list(shapes.image)}; "
            "give a larger image, or name a layer"
        )
    carrying = carriers(graph)
    node = _deepest(maps, carrying, shapes)[-1]
    same = node  # the last node that holds the same values
    while is_passing(graph, node) and isinstance(node.args[0], fx.Node) and node.args[0].op != "placeholder":
        same = same if is_identity(operation(graph, node)) else node.args[0]
        node = node.args[0]
    if not _is_plain(shapes, node):
        node = (
            _patches_read_by_class(graph, shapes, maps, carrying)
            or _norm_at_last_attention(graph, shapes, node)
            or node
        )
        same = node
    return min(name_of(graph, node), name_of(graph, same), key=lambda name: name.count("."))


def _deepest(maps: list[fx.Node], carrying: set[fx.Node], shapes: Shapes) -> list[fx.Node]:
    """The last map that carries everything; where none does, or the network is at its deepest behind it (its scales
    part there and are joined later), all maps behind it.
    """
    at = next((i for i, node in reversed([*enumerate(maps)]) if node in carrying), None)
    if at is None:
        return maps
    behind = maps[at + 1 :]
    return behind if any(shapes.cells(later) < shapes.cells(maps[at]) for later in behind) else [maps[at]]


def branch_ends(graph: Graph, shapes: Shapes) -> list[str]:
    """The last map of each branch where branches meet behind their maps, so that none so deep carries everything.

    A map in front of others is the last of a branch, too, where a way leads past them. Where tokens stand beside a
    class token, or channels are last, it is the norm at each branch's last attention.

    Returns:
        The names; of one map alone where the other ways pass none.
    """
    maps, carrying = _maps(graph, shapes), carriers(graph)
    if not maps:  # the layer was found by running the model
        return []
    if not _is_plain(shapes, _deepest(maps, carrying, shapes)[-1]):
        norms = _norms_at_attention(graph, shapes)
        inner = ancestors(*norms, given_to=differentiable(graph))
        ends = [node for node in norms if node not in inner]
        return [name_of(graph, node) for node in ends] if len(ends) > 1 else []
    met = _first_met(graph, {*maps})
    ends = [node for node in maps if node in met]
    around = any(node.op == "placeholder" for node in met)
    return [name_of(graph, node) for node in ends] if len(ends) > 1 or around else []


def _first_met(graph: Graph, maps: set[fx.Node]) -> set[fx.Node]:
    """The maps that are met first on all ways back from the output, and the images where a way meets none."""
    by, met, seen, left = differentiable(graph), set(), set(), [output_of(graph)]
    while left:
        for given in by(left.pop()):
            if given in maps or given.op == "placeholder":
                met.add(given)
            elif given not in seen:
                seen.add(given)
                left.append(given)
    return met


def _norms_at_attention(graph: Graph, shapes: Shapes) -> list[fx.Node]:
    """The norms in front of all attentions that lead to the output; where there is none, the attention.

    Of a grid that isn't the last one's the layout may not be known.
    """
    live = ancestors(output_of(graph), given_to=differentiable(graph))
    attention = [n for n in graph.module.graph.nodes if n in live and is_attention(graph, n)]
    return list(dict.fromkeys(_norm_in_front(graph, shapes, one, _is_norm_of_tokens) or one for one in attention))


def _is_norm_of_tokens(graph: Graph, shapes: Shapes, node: fx.Node) -> bool:
    return operation(graph, node) in TOKEN_NORMS and len(shapes.of.get(node, ())) == len(shapes.image) - 1


def _maps(graph: Graph, shapes: Shapes) -> list[fx.Node]:
    """The maps of images that lead to the output, with a layer with weights behind them unless it is headless."""
    by = differentiable(graph)
    live = ancestors(output_of(graph), given_to=by) & of_images(graph, by)
    able = live if _is_headless(graph, shapes, live) else _before_weights(graph, live)
    return [n for n in graph.module.graph.nodes if n in able and n.op != "placeholder" and shapes.layout(n)]


def _before_weights(graph: Graph, live: set[fx.Node]) -> set[fx.Node]:
    """The nodes with a layer with weights behind them."""
    weighted = (node for node in live if is_weighted(graph, node))
    return live & ancestors(*weighted, given_to=differentiable(graph))


def _is_headless(graph: Graph, shapes: Shapes, live: set[fx.Node]) -> bool:
    """Whether the last layer with weights is a part of the body (`fc = Identity()`): a map that is normed or added to
    something behind it, or a convolution of more than one cell whose map becomes a vector.
    """
    weighted = [n for n in graph.module.graph.nodes if n in live and is_weighted(graph, n)]
    if not weighted or not shapes.cells(weighted[-1]):
        return False
    behind = live & dependants([weighted[-1]], differentiable(graph))
    if any("norm" in operation(graph, n) for n in behind):
        return True
    last = output_of(graph).args[0]
    if not isinstance(last, fx.Node) or shapes.cells(last):  # maps are returned: what makes them may be the head
        return False
    sides = getattr(_module(graph, weighted[-1]), "kernel_size", (1,))
    return max(sides) > 1 or any(_joins(graph, n) for n in behind)


def _module(graph: Graph, node: fx.Node) -> nn.Module | None:
    return module_of(graph.module, node) if node.op == "call_module" else None


def last_conv(graph: Graph, model: nn.Module) -> str:
    """The original's rule, the last convolution in module order, among those the model runs in evaluation mode.

    Raises:
        FuncamError: the model has no convolution.
    """
    names: list[str] = [
        path for path, module in model.named_modules() if isinstance(module, _ConvNd) and path in graph.nodes
    ]
    if not names:
        raise FuncamError(f"layer '{LAST_CONV}' needs a convolution and {graph.model} has none; name a layer instead")
    return names[-1]


def carriers(graph: Graph) -> set[fx.Node]:
    """The nodes through which every path from the images to the output passes.

    Of the nodes on such paths, in the order in which they run, those that no edge passes by: with an edge from before a
    node to behind it there is a path around it.
    """
    by = differentiable(graph)
    leading = ancestors(output_of(graph), given_to=by) | {output_of(graph)}
    place: dict[fx.Node, int] = {}
    last_use: dict[fx.Node, int] = {}
    for node in graph.module.graph.nodes:
        before = [given for given in by(node) if given in place]
        if node in leading and (before or node.op == "placeholder"):
            place[node] = len(place)
            last_use.update(dict.fromkeys(before, place[node]))
    carrying: set[fx.Node] = set()
    furthest = 0  # where the longest edge from before leads
    for node, number in place.items():
        if node.op != "placeholder" and furthest <= number:
            carrying.add(node)
        furthest = max(furthest, last_use.get(node, number))
    return carrying


def _is_plain(shapes: Shapes, node: fx.Node) -> bool:
    """Whether the map's tensor holds its cells and nothing beside them, with the channels in front or as tokens."""
    layout = shapes.layout(node)
    return layout is None or layout.kind == "channels-first" or (layout.kind == "tokens" and not layout.prefix)


def _patches_read_by_class(graph: Graph, shapes: Shapes, maps: list[fx.Node], carrying: set[fx.Node]) -> fx.Node | None:
    """The last map that carries all in front of a class token's own attention, if the patches have none behind it.

    The keys and values that the attention itself makes of the map are no map of the network's, and what takes all of it
    (`x[:, 0:]`) has no name of its own.
    """
    number = {node: i for i, node in enumerate(graph.module.graph.nodes)}
    live = ancestors(output_of(graph), given_to=differentiable(graph))
    attention = [n for n in number if n in live and is_attention(graph, n)]
    behind = list(takewhile(lambda n: shapes.of.get(n, ())[-2:-1] == (1,), reversed(attention)))  # one query: the class
    if not behind:
        return None
    others = attention[: -len(behind)]
    start = number[others[-1]] if others else 0
    between = [n for n in maps if start < number[n] < number[behind[-1]]]
    able = [n for n in between if _is_plain(shapes, n) and n in carrying and not is_weighted(graph, n)]
    able = [n for n in able if operation(graph, n) not in PARTS or shapes.of[n] != shapes.of.get(n.all_input_nodes[0])]
    return able[-1] if able else None


def _norm_at_last_attention(graph: Graph, shapes: Shapes, node: fx.Node) -> fx.Node | None:
    """The norm in front of the last attention before the node, or (in Swin V2) behind it.

    Of attentions side by side, each with a norm of its own, it is what all of them read.
    """
    before = ancestors(node, given_to=differentiable(graph))
    attention = [n for n in graph.module.graph.nodes if n in before and is_attention(graph, n)]
    if not attention:
        return None
    norms = [_norm_in_front(graph, shapes, each) for each in attention[-_MOST_PARALLEL:]]
    if norms[-1] is not None:
        given = norms[-1].args[0]
        beside = [n for n in norms[:-1] if n is not None and n is not norms[-1] and n.args[0] is given]
        return given if beside and isinstance(given, fx.Node) else norms[-1]
    return next(
        filter(None, (_first_norm(graph, shapes, user, lambda n: list(n.users)[:1]) for user in attention[-1].users)),
        None,
    )


def _is_norm_of_map(graph: Graph, shapes: Shapes, node: fx.Node) -> bool:
    """Whether a node norms whole tokens, not those of heads."""
    layout = shapes.layout(node)
    return operation(graph, node) in TOKEN_NORMS and layout is not None and layout.kind != "channels-first"


def _norm_in_front(
    graph: Graph, shapes: Shapes, attention: fx.Node, is_norm: IsNorm = _is_norm_of_map
) -> fx.Node | None:
    given = attention.args[0] if attention.args else attention.kwargs.get("query")
    if not isinstance(given, fx.Node):
        return None
    return _first_norm(graph, shapes, given, lambda n: n.all_input_nodes[:1], is_norm)


def _first_norm(
    graph: Graph,
    shapes: Shapes,
    node: fx.Node,
    step: Callable[[fx.Node], list[fx.Node]],
    is_norm: IsNorm = _is_norm_of_map,
) -> fx.Node | None:
    """The first norm on the way from a node, within its branch of the block."""
    while not _joins(graph, node):
        if is_norm(graph, shapes, node):
            return node
        further = step(node)
        if not further:
            return None
        node = further[0]
    return None


def _joins(graph: Graph, node: fx.Node) -> bool:
    """Whether the node adds a branch to what it branched off."""
    if operation(graph, node) not in ADDITIONS:
        return False
    seeing = of_images(graph, differentiable(graph))
    return sum(given in seeing for given in node.all_input_nodes) > 1
