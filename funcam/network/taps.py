"""Several layers of one model in a single forward pass: the features of each, and the gradients at all at once."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

import torch
from torch import fx, nn

from funcam.network.axes import AnyLayout, checked_map
from funcam.network.cut_runs import run_cut, run_features
from funcam.network.cuts import Cut, feature_extractor
from funcam.network.graph import Graph, acyclic
from funcam.network.known import TracedModel, known_of
from funcam.network.layers import between, dependants, find_node, output_of, shapes_of
from funcam.network.settled import Settled, TapCut
from funcam.network.tap import Inputs, Manner, Place, Visit, run
from funcam.network.ways import settle

Tail = Callable[..., tuple[Any, tuple[torch.Tensor, ...]]]


@dataclass(frozen=True, eq=False)
class Tapped:
    """A batch run up to the first of several layers, and the rest of the network with a tap at each further one.

    Attributes:
        inputs: one tensor `[B, C, *S]` for each layer: its features, or zeros where an input is added to them.
        tail: `(*inputs) -> (outputs, features of each layer)`. Where the inputs are zeros they are added to the
            features, so that the derivative with respect to them is the derivative at that layer. Where a graph is cut
            once, a part of the rest may be given beside the input, to be run in the place of the whole.
        plain: whether plain autograd has to differentiate it.
    """

    inputs: tuple[torch.Tensor, ...]
    tail: Tail
    plain: bool = False


@dataclass(frozen=True, eq=False)
class _Taps:
    """How a graph is cut for several layers: the values that cross, and which layers are inputs of the rest."""

    first: Cut
    roots: tuple[bool, ...]
    shapes: tuple[tuple[int, ...], ...]


def run_tapped(cuts: Sequence[Settled], source: Callable[[], nn.Module], inputs: Inputs) -> Tapped:
    """Run a model up to some layers at once.

    Args:
        cuts: the layers, in any order; one may lie behind another.
        source: the model as it is now; it is only read.
        inputs: the images, and whatever else it takes.

    Raises:
        FuncamError: a layer is no feature map, or an operation in the graph of a model that has to be tapped.

    Example:
        >>> import torchvision
        >>> from funcam import split
        >>> model, images = torchvision.models.resnet18().eval(), torch.rand(2, 3, 64, 64)
        >>> cuts = [split(model, layer, example=images).settled(Inputs(images)) for layer in ("layer4", "layer2")]
        >>> tapped = run_tapped(cuts, lambda: model, Inputs(images))
        >>> outputs, features = tapped.tail(*tapped.inputs)
        >>> [tuple(A.shape) for A in features], torch.allclose(outputs, model(images), atol=1e-5)
        ([(2, 512, 2, 2), (2, 128, 8, 8)], True)
    """
    if any(isinstance(settled.cut, TapCut) for settled in cuts):
        return _tapped_code(cuts, source, inputs)
    if len(cuts) == 1:
        A, head = run_cut(cuts[0], source, inputs)
        return Tapped((A,), lambda features, *part: (head(features, *part), (features,)))
    return _tapped_graph(cuts, source(), inputs.images)


def _tapped_code(cuts: Sequence[Settled], source: Callable[[], nn.Module], inputs: Inputs) -> Tapped:
    """Every layer tapped in one run of the model's own code."""
    taps = [settled.cut if isinstance(settled.cut, TapCut) else _tap_of(settled, source, inputs) for settled in cuts]
    manner = Manner(*(any(flags) for flags in zip(*(astuple(tap.manner) for tap in taps), strict=True)))
    recording = torch.is_grad_enabled()
    inputs = inputs if recording else replace(inputs, images=inputs.images.detach())
    batch, like = inputs.images.shape[0], inputs.images
    layouts = [settled.of_layer for settled in cuts]
    zeros = [like.new_zeros((), dtype=tap.dtype).expand(tap.shape) for tap in taps]

    def tail(*added: torch.Tensor) -> tuple[Any, tuple[torch.Tensor, ...]]:
        seen: dict[Place, torch.Tensor] = {}

        def visit(place: Place, layout: AnyLayout, delta: torch.Tensor) -> Visit:
            def add(tensor: torch.Tensor) -> torch.Tensor:
                checked_map(str(place), layout, tensor, inputs.images)
                seen[place] = tensor.clone()
                return tensor + layout.from_map(delta, torch.zeros_like(tensor))

            return add

        visits = {
            tap.place: visit(tap.place, layout, delta) for tap, layout, delta in zip(taps, layouts, added, strict=True)
        }
        outputs = run(source(), inputs, visits, manner, recording)
        return outputs, tuple(layout.to_map(seen[tap.place]) for layout, tap in zip(layouts, taps, strict=True))

    maps = tuple(_of_batch(layout.to_map(zero), batch) for layout, zero in zip(layouts, zeros, strict=True))
    return Tapped(maps, tail, any(tap.plain for tap in taps))


def _of_batch(one: torch.Tensor, batch: int) -> torch.Tensor:
    """Zeros of one image as those of a batch."""
    return one[:1].expand(batch, *one.shape[1:])


def _tap_of(settled: Settled, source: Callable[[], nn.Module], inputs: Inputs) -> TapCut:
    """A tap for a layer that its graph was good for."""
    cut = settle(source(), settled.layer, inputs, "tap", settled.layout).cut
    assert isinstance(cut, TapCut)
    return cut


def _tapped_graph(cuts: Sequence[Settled], model: nn.Module, images: torch.Tensor) -> Tapped:
    taps = _taps_of(model, cuts, images)
    crossing = run_features(taps.first, images)
    layouts = [settled.of_layer for settled in cuts]
    raw = _raw_inputs(taps, layouts, crossing, images.shape[0])

    def tail(*inputs: torch.Tensor) -> tuple[Any, tuple[torch.Tensor, ...]]:
        given = [layout.from_map(x, tensor) for layout, x, tensor in zip(layouts, inputs, raw, strict=True)]
        roots = [x for x, root in zip(given, taps.roots, strict=True) if root]
        added = [x for x, root in zip(given, taps.roots, strict=True) if not root]
        outputs, features = taps.first.rest(*roots, *crossing[len(roots) :], *added)
        return outputs, tuple(layout.to_map(A) for layout, A in zip(layouts, features, strict=True))

    rows = zip(cuts, layouts, raw, strict=True)
    maps = [checked_map(settled.layer, layout, tensor, images) for settled, layout, tensor in rows]
    return Tapped(tuple(maps), tail)


def _raw_inputs(taps: _Taps, layouts: Sequence[AnyLayout], crossing: list[Any], batch: int) -> list[torch.Tensor]:
    """The layers' own tensors where they are inputs of the rest; zeros of the right shape where they lie behind one."""
    roots = iter(crossing)
    like = crossing[0]

    def zeros(layout: AnyLayout, shape: tuple[int, ...]) -> torch.Tensor:
        one = like.new_zeros(()).expand(shape)
        return layout.from_map(_of_batch(layout.to_map(one), batch), one)

    return [
        next(roots) if root else zeros(layout, shape)
        for root, layout, shape in zip(taps.roots, layouts, taps.shapes, strict=True)
    ]


def _taps_of(model: nn.Module, cuts: Sequence[Settled], images: torch.Tensor) -> _Taps:
    layers = tuple(settled.layer for settled in cuts)
    known = known_of(model)
    traced = known.traced(model) if cuts[0].way == "fx" else known.exported(model, images, "")
    assert traced is not None
    key = ("taps", cuts[0].way, layers, *images.shape[1:])
    return known.fact(key, lambda: _make_taps(traced, cuts, tuple(images.shape)))


def _make_taps(traced: TracedModel, settled: Sequence[Settled], image: tuple[int, ...]) -> _Taps:
    graph = traced.graph
    nodes = [find_node(graph, one.layer) for one in settled]
    shapes = shapes_of(graph, image)
    behind = dependants(nodes)
    roots = [node for node in nodes if node not in behind]
    rest, crossing = between(roots, output_of(graph))
    names = {node: f"crossing{i}" for i, node in enumerate([*roots, *crossing])}
    added = {node: f"tap{i}" for i, node in enumerate(nodes) if node not in roots}
    tail = _tail(graph, nodes, names, added, rest)
    first = Cut(settled[0].layer, feature_extractor(graph, names), tail, tuple(names.values()))
    return _Taps(first, tuple(node in roots for node in nodes), tuple(shapes.of[node] for node in nodes))


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
    return acyclic(fx.GraphModule(graph.module, copy, graph.model).eval())
