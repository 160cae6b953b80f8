"""Several layers of one model in a single forward pass: the features of each, and the gradients at all at once."""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from funcam.network.cuts import Cut, feature_extractor
from funcam.network.cutting import Split, graph_of, layout_at, run_features, split
from funcam.network.graph import Graph
from funcam.network.layers import between, dependants, find_node, output_of, shapes_of

Tail = Callable[..., tuple[Any, tuple[torch.Tensor, ...]]]


@dataclass(frozen=True, eq=False)
class Tapped:
    """A batch run up to the first of several layers, and the rest of the network with a tap at each further one.

    Attributes:
        inputs: one tensor `[B, C, *S]` for each layer: its features, or zeros where it lies behind another one.
        tail: `(*inputs) -> (outputs, features of each layer)`. Behind another layer an input is added to the
            features there, so that the derivative with respect to it is the derivative at that layer.
    """

    inputs: tuple[torch.Tensor, ...]
    tail: Tail


@dataclass(frozen=True, eq=False)
class _Taps:
    """How a graph is cut for several layers: the values that cross, and which layers are inputs of the rest."""

    cuts: tuple[Cut, ...]
    first: Cut
    roots: tuple[bool, ...]
    shapes: tuple[tuple[int, ...], ...]


def run_tapped(model: nn.Module, layers: Sequence[str], images: torch.Tensor) -> Tapped:
    """Run a model up to several layers at once.

    Args:
        model: a module; it is only read.
        layers: names as in `funcam.split`, in any order; one may lie behind another.
        images: `[B, channels, *size]`.

    Raises:
        FuncamError: as `funcam.split`, or a layer is no feature map.

    Example:
        >>> import torchvision
        >>> model, images = torchvision.models.resnet18().eval(), torch.rand(2, 3, 64, 64)
        >>> tapped = run_tapped(model, ["layer4", "layer2"], images)
        >>> outputs, features = tapped.tail(*tapped.inputs)
        >>> [tuple(A.shape) for A in features], torch.allclose(outputs, model(images), atol=1e-5)
        ([(2, 512, 2, 2), (2, 128, 8, 8)], True)
    """
    splits = [split(model, layer, example=images) for layer in layers]
    taps = _taps_of(model, splits, images)
    crossing = run_features(taps.first, images)
    raw = _raw_inputs(taps, crossing, len(images))
    layouts = [layout_at(cut, tensor, images) for cut, tensor in zip(taps.cuts, raw, strict=True)]

    def tail(*inputs: torch.Tensor) -> tuple[Any, tuple[torch.Tensor, ...]]:
        given = [layout.from_map(x, tensor) for layout, x, tensor in zip(layouts, inputs, raw, strict=True)]
        roots = [x for x, root in zip(given, taps.roots, strict=True) if root]
        added = [x for x, root in zip(given, taps.roots, strict=True) if not root]
        outputs, features = taps.first.rest(*roots, *crossing[len(roots) :], *added)
        return outputs, tuple(layout.to_map(A) for layout, A in zip(layouts, features, strict=True))

    return Tapped(tuple(layout.to_map(x) for layout, x in zip(layouts, raw, strict=True)), tail)


def _raw_inputs(taps: _Taps, crossing: list[Any], batch: int) -> list[torch.Tensor]:
    """The layers' own tensors where they are inputs of the rest; zeros of the right shape where they lie behind one."""
    roots = iter(crossing)
    like = crossing[0]
    return [
        next(roots) if root else like.new_zeros(()).expand(batch, *shape[1:])
        for root, shape in zip(taps.roots, taps.shapes, strict=True)
    ]


def _taps_of(model: nn.Module, cuts: Sequence[Split], images: torch.Tensor) -> _Taps:
    graph = graph_of(model, images)
    known = _CACHE.setdefault(graph, {})
    key = (*(cut.layer for cut in cuts), *images.shape[1:])
    if key not in known:
        known[key] = _make_taps(graph, cuts, tuple(images.shape))
    return known[key]


_CACHE: weakref.WeakKeyDictionary[Graph, dict[tuple[Any, ...], _Taps]] = weakref.WeakKeyDictionary()


def _make_taps(graph: Graph, splits: Sequence[Split], image: tuple[int, ...]) -> _Taps:
    nodes = [find_node(graph, cut.layer) for cut in splits]
    shapes = shapes_of(graph, image)
    behind = dependants(nodes)
    roots = [node for node in nodes if node not in behind]
    rest, crossing = between(roots, output_of(graph))
    names = {node: f"crossing{i}" for i, node in enumerate([*roots, *crossing])}
    added = {node: f"tap{i}" for i, node in enumerate(nodes) if node not in roots}
    tail = _tail(graph, nodes, names, added, rest)
    first = Cut(splits[0].layer, feature_extractor(graph, names), tail, tuple(names.values()), ())
    cuts = tuple(cut.current(image) for cut in splits)
    return _Taps(cuts, first, tuple(node in roots for node in nodes), tuple(shapes.of[node] for node in nodes))


def _tail(
    graph: Graph, nodes: Sequence[fx.Node], crossing: dict[fx.Node, str], added: dict[fx.Node, str], rest: list[fx.Node]
) -> fx.GraphModule:
    """The rest of the network as a module that also returns each layer's features."""
    copy = fx.Graph()
    placed = {node: copy.placeholder(name) for node, name in crossing.items()}
    taps = {node: copy.placeholder(name) for node, name in added.items()}
    *computed, output = rest
    for node in computed:
        placed[node] = copy.node_copy(node, placed.__getitem__)
        if node in taps:
            placed[node] = copy.call_function(operator.add, (placed[node], taps[node]))
    outputs = fx.map_arg(output.args[0], placed.__getitem__)
    copy.output((outputs, tuple(placed[layer] for layer in nodes)))
    return fx.GraphModule(graph.module, copy, graph.model).eval()
