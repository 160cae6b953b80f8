"""Layers: what their names and shapes are, and how a layer's tensor is laid out as a feature map."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn.modules.conv import _ConvNd

from funcam.errors import FuncamError, nearest
from funcam.network.alone import alone
from funcam.network.failures import reason_of
from funcam.network.graph import Graph
from funcam.network.images import hint_of
from funcam.network.layout import Layout as Layout
from funcam.network.plain_shapes import SHAPE_KEPT, result_of
from funcam.network.traits import operation, sets_grid
from funcam.network.twin import meta_twin

_MOST_PREFIX_TOKENS = 16
# Of signals, images, and volumes or clips. A volume as wide as an image would take minutes and gigabytes to run.
_PROBE_SIZES: dict[int, tuple[tuple[int, ...], ...]] = {
    1: ((224,), (1024,), (4096,), (16000,)),
    2: tuple((side, side) for side in (224, 299, 384, 518, 512, 256, 128, 96, 64, 32)),
    3: ((64, 64, 64), (16, 112, 112), (16, 224, 224), (96, 96, 96), (128, 128, 128), (32, 32, 32)),
}

Shape = tuple[int, ...]
GivenTo = Callable[[fx.Node], Iterable[fx.Node]]


def layout_of(shape: Sequence[int], image: Sequence[int], grid: Shape = ()) -> Layout | None:
    """How a tensor of this shape holds a feature map of an image, or None when it holds none.

    Args:
        shape: the layer's shape, `[B, ...]`.
        image: the images' shape, `[B, channels, *S]`.
        grid: the grid that a patch embedding made of the image, for a layer of tokens.

    Example:
        >>> layout_of((1, 7, 7, 768), (1, 3, 224, 224)).kind
        'channels-last'
        >>> layout_of((1, 197, 768), (1, 3, 224, 224), grid=(14, 14))
        Layout(kind='tokens', prefix=1, suffix=0, grid=(14, 14), order=(), folded=0)
        >>> layout_of((1, 1000), (1, 3, 224, 224)) is None
        True
    """
    if len(shape) == len(image) and len(image) > 2:
        first = _mismatch(shape[2:], image[2:])
        last = _mismatch(shape[1:-1], image[2:])
        return Layout("channels-first" if first <= last else "channels-last")
    prefix = shape[1] - math.prod(grid) if len(shape) == 3 and grid else -1
    if 0 <= prefix <= _MOST_PREFIX_TOKENS:
        return Layout("tokens", prefix, grid=grid)
    return None


def _mismatch(spatial: Sequence[int], image: Sequence[int]) -> float:
    """How badly a spatial extent fits an image: 0 when both sides are reduced by the same factor, as networks do."""
    factors = [
        math.log(whole / part) if part and whole else math.inf for part, whole in zip(spatial, image, strict=True)
    ]
    return max(factors) - min(factors) + max(0.0, -min(factors))


@dataclass(frozen=True, eq=False)
class Shapes:
    """The shape of every node of a graph for one shape of images.

    Attributes:
        image: the images' shape, `[1, channels, *size]`.
        of: the shape of each node that holds a tensor.
        grids: the patch grid in force at each node.
    """

    image: Shape
    of: dict[fx.Node, Shape]
    grids: dict[fx.Node, Shape]

    def layout(self, node: fx.Node) -> Layout | None:
        """How the node holds a feature map, or None when it holds none (no tensor, no spatial extent)."""
        shape = self.of.get(node)
        if not shape or shape[0] != 1:  # windows, or heads, in the place of images
            return None
        layout = layout_of(shape, self.image, self.grids.get(node, ()))
        return layout if layout and math.prod(layout.spatial(shape)) > 1 else None

    def cells(self, node: fx.Node) -> int:
        """The number of cells of the feature map that the node holds."""
        layout = self.layout(node)
        return math.prod(layout.spatial(self.of[node])) if layout else 0


class Unvalued(fx.Interpreter):
    """Runs a graph on the meta device, where there are shapes and no values.

    What keeps the shape of each image isn't run: torch takes its time over a BatchNorm without values.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__(meta_twin(graph.module), graph=graph.module.graph)

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        module = self.fetch_attr(target)
        if len(args) == 1 and not kwargs:
            if type(module) in SHAPE_KEPT and getattr(module, "running_mean", module) is not None:
                return args[0]
            if type(module) in (nn.LSTM, nn.GRU, nn.RNN) and isinstance(args[0], torch.Tensor):
                return _unrolled(module, args[0])
        return super().call_module(target, args, kwargs)


class _ShapeRecorder(Unvalued):
    """Notes the shape of every tensor it comes across; where a formula tells it, torch isn't asked."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.seen: dict[fx.Node, Shape] = {}

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        made = result_of(self.fetch_attr(target), args, kwargs)
        return super().call_module(target, args, kwargs) if made is None else made

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        made = result_of(target, args, kwargs)
        return super().call_function(target, args, kwargs) if made is None else made

    def call_method(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        made = result_of(target, args, kwargs)
        return super().call_method(target, args, kwargs) if made is None else made

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, torch.Tensor):
            self.seen[n] = tuple(result.shape)
        return result


def _unrolled(module: nn.RNNBase, steps: torch.Tensor) -> Any:
    """What a recurrent layer returns, by its shape."""
    ways, state = 1 + module.bidirectional, module.hidden_size
    batch = [steps.shape[0 if module.batch_first else 1]] if steps.ndim == 3 else []
    out = steps.new_empty((*steps.shape[:-1], ways * (module.proj_size or state)))
    hidden = steps.new_empty((ways * module.num_layers, *batch, module.proj_size or state))
    cell = steps.new_empty((ways * module.num_layers, *batch, state))
    return (out, (hidden, cell)) if isinstance(module, nn.LSTM) else (out, hidden)


def shapes_of(graph: Graph, image: Sequence[int]) -> Shapes:
    """Find the shape of every node for images of a shape, without computing (on torch's meta device).

    Args:
        graph: the traced model.
        image: the images' shape, `[B, channels, *S]`.

    Raises:
        FuncamError: the model can't take images of this shape; the model's own words say why.
    """
    image = tuple(image)
    seen = _seen(graph, image)
    grids: dict[fx.Node, Shape] = {}
    grid: Shape = ()
    for node in graph.module.graph.nodes:
        shape = seen.get(node, ())
        first = len(shape) == len(image) and layout_of(shape, image) == Layout("channels-first")
        if first and (not grid or sets_grid(operation(graph, node))):
            grid = shape[2:]
        grids[node] = grid
    return Shapes(image, seen, grids)


def _seen(graph: Graph, image: Shape) -> dict[fx.Node, Shape]:
    """The shape of every tensor in the graph for one image."""
    if graph.shapes is not None and graph.image is not None:
        if image[1:] != graph.image[1:]:
            raise FuncamError(
                f"{graph.model} was followed for images of {list(graph.image)} by torch.export, not of {list(image)}"
            )
        return graph.shapes
    recorder = _ShapeRecorder(graph)
    dtype = next((p.dtype for p in graph.module.parameters() if p.is_floating_point()), torch.get_default_dtype())
    try:
        with alone(), torch.no_grad():
            recorder.run(torch.empty((1, *image[1:]), device="meta", dtype=dtype))
    except Exception as error:
        raise FuncamError(
            f"{graph.model} can't take images of shape {list(image)}: {reason_of(error)}{hint_of(graph.module, image)}"
        ) from error
    return recorder.seen


def probe_shapes(graph: Graph) -> Shapes:
    """The shapes for a usual image size that the model can take, when no image is at hand.

    Raises:
        FuncamError: none of the usual sizes fits.
    """
    if graph.image is not None:
        return shapes_of(graph, graph.image)
    conv = next((m for m in graph.module.modules() if isinstance(m, _ConvNd)), None)
    dimensions, channels = (len(conv.kernel_size), conv.in_channels) if conv else (2, 3)
    for size in _PROBE_SIZES[dimensions]:
        try:
            return shapes_of(graph, (1, channels, *size))
        except FuncamError:
            continue
    sizes = ", ".join("x".join(map(str, size)) for size in _PROBE_SIZES[dimensions])
    raise FuncamError(
        f"{graph.model} takes none of the usual image sizes {sizes}; pass an example: "
        "split(model, layer, example=images)"
    )


def find_node(graph: Graph, layer: str) -> fx.Node:
    """The node that holds a layer's output: a module path (what it returned at its first call), or a node name.

    Paths come first: torchvision's node names count (`ln_1` is its name for the second of the modules ln_1, ln_2).

    Raises:
        FuncamError: there is no such layer; the nearest names are given.
    """
    node = graph.outputs.get(layer) or graph.nodes.get(layer)
    if node is None or node.op == "placeholder":
        raise FuncamError(
            f"layer {layer!r} is not in {graph.model}; nearest: {nearest(layer, [*graph.layers])} "
            "(`funcam layers NET` and funcam.list_layers(model) list them all)"
        )
    return node


def name_of(graph: Graph, node: fx.Node) -> str:
    """The name by which a layer is known: the outermost module that returns it, or the node's own name.

    A module that holds the whole network up to there (`features` in MobileNetV2) says nothing: its last part does.
    """
    for path, output in sorted(graph.outputs.items(), key=lambda item: item[0].count(".")):
        given = graph.inputs.get(path)
        if output is node and (path in graph.nodes or (given is not None and given.op != "placeholder")):
            return path
    names: dict[fx.Node, str] = {known: name for name, known in graph.nodes.items()}
    return names.get(node, str(node))


def output_of(graph: Graph) -> fx.Node:
    """The node of what the model returns."""
    return graph.module.graph.output_node()


def leads_out(graph: Graph, node: fx.Node) -> bool:
    """Whether the model's output depends on the node."""
    return node in ancestors(output_of(graph))


def all_given(node: fx.Node) -> Iterable[fx.Node]:
    """Everything that a node is given."""
    return node.all_input_nodes


def of_images(graph: Graph, given_to: GivenTo = all_given) -> set[fx.Node]:
    """The images, and the nodes that depend on them; `given_to` says which of a node's inputs count."""
    images = {node for node in graph.module.graph.nodes if node.op == "placeholder"}
    return images | dependants(images, given_to)


def dependants(starts: Collection[fx.Node], given_to: GivenTo = all_given) -> set[fx.Node]:
    """What depends on one of some nodes of a graph; one of them itself only where it depends on another.

    Args:
        starts: the nodes.
        given_to: which of a node's inputs count.
    """
    behind: set[fx.Node] = set()
    for node in next(iter(starts)).graph.nodes:
        if any(given in behind or given in starts for given in given_to(node)):
            behind.add(node)
    return behind


def between(starts: Collection[fx.Node], end: fx.Node) -> tuple[list[fx.Node], list[fx.Node]]:
    """The nodes by which `end` depends on the starts, in order, and the values from elsewhere that they need."""
    behind = dependants(starts)
    needed: set[fx.Node] = set()
    crossing: dict[fx.Node, None] = {}
    pending = [end]
    while pending:
        node = pending.pop()
        if node in starts or node in needed or node in crossing:
            continue
        if node in behind or node.op == "get_attr":
            needed.add(node)
            pending.extend(node.all_input_nodes)
        else:
            crossing[node] = None
    return [node for node in end.graph.nodes if node in needed], list(crossing)


def ancestors(*nodes: fx.Node, without: Collection[fx.Node] = (), given_to: GivenTo = all_given) -> set[fx.Node]:
    """The nodes that some nodes are computed from.

    Args:
        *nodes: the nodes.
        without: nodes through which the way back doesn't go.
        given_to: which of a node's inputs count.
    """
    before: set[fx.Node] = set()
    pending = list(nodes)
    while pending:
        for given in given_to(pending.pop()):
            if given not in before and given not in without:
                before.add(given)
                pending.append(given)
    return before
