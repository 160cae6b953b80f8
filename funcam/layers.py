"""Layers: which one by default, what their names are, and how a layer's tensor is laid out as a feature map."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn.modules.conv import _ConvNd

from funcam.errors import FuncamError, nearest
from funcam.graph import Graph, reason_of
from funcam.twin import meta_twin

LAST_CONV = "last-conv"

_PASSING_MODULES = (
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    *(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.Identity),
)
_PASSING_NAMES = ("pool", "dropout", "permute", "transpose", "contiguous", "movedim")
_MOST_PREFIX_TOKENS = 16
_PROBE_SIZES = (224, 299, 384, 518, 512, 256, 128, 96, 64, 32)

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """How a layer's tensor holds a feature map ``[B, C, *S]``.

    Attributes:
        kind: ``channels-first`` (``[B, C, *S]``), ``channels-last`` (``[B, *S, C]``) or ``tokens`` (``[B, P + T, C]``).
        prefix: for tokens, the number P of class and register tokens in front of the T tokens of the grid.
        grid: for tokens, the grid ``S`` whose cells they are, row by row.
    """

    kind: str
    prefix: int = 0
    grid: Shape = ()

    def to_map(self, tensor: torch.Tensor) -> torch.Tensor:
        """The feature map ``[B, C, *S]`` in a layer's tensor."""
        if self.kind == "channels-last":
            return tensor.movedim(-1, 1)
        if self.kind == "tokens":
            tokens = tensor[:, self.prefix :].transpose(1, 2)
            return tokens.reshape(*tokens.shape[:2], *self.grid)
        return tensor

    def from_map(self, features: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
        """The layer's tensor that holds these features; class tokens are taken from ``tensor``, as constants."""
        if self.kind == "channels-last":
            return features.movedim(1, -1)
        if self.kind == "tokens":
            tokens = features.flatten(2).transpose(1, 2)
            return torch.cat([tensor[:, : self.prefix].detach(), tokens], dim=1)
        return features

    def spatial(self, shape: Sequence[int]) -> Shape:
        """The spatial extent ``S`` of a tensor of this shape."""
        if self.kind == "tokens":
            return self.grid
        return tuple(shape[1:-1] if self.kind == "channels-last" else shape[2:])


def layout_of(shape: Sequence[int], image: Sequence[int], grid: Shape = ()) -> Layout | None:
    """How a tensor of this shape holds a feature map of an image, or None when it holds none.

    Args:
        shape: the layer's shape, ``[B, ...]``.
        image: the images' shape, ``[B, channels, *S]``.
        grid: the grid that a patch embedding made of the image, for a layer of tokens.

    Example:
        >>> layout_of((1, 7, 7, 768), (1, 3, 224, 224)).kind
        'channels-last'
        >>> layout_of((1, 197, 768), (1, 3, 224, 224), grid=(14, 14))
        Layout(kind='tokens', prefix=1, grid=(14, 14))
        >>> layout_of((1, 1000), (1, 3, 224, 224)) is None
        True
    """
    if len(shape) == len(image) and len(image) > 2:
        first = _mismatch(shape[2:], image[2:])
        last = _mismatch(shape[1:-1], image[2:])
        return Layout("channels-first" if first <= last else "channels-last")
    prefix = shape[1] - math.prod(grid) if len(shape) == 3 and grid else -1
    if 0 <= prefix <= _MOST_PREFIX_TOKENS:
        return Layout("tokens", prefix, grid)
    return None


def _mismatch(spatial: Sequence[int], image: Sequence[int]) -> float:
    """How badly a spatial extent fits an image: 0 when both sides are reduced by the same factor, as networks do."""
    factors = [
        math.log(whole / part) if part and whole else math.inf for part, whole in zip(spatial, image, strict=True)
    ]
    return max(factors) - min(factors) + max(0.0, -min(factors))


@dataclass(frozen=True, eq=False)
class Shapes:
    """The shape of every node of a graph for one shape of images, and the patch grid in force at each node."""

    image: Shape
    of: dict[fx.Node, Shape]
    grids: dict[fx.Node, Shape]

    def layout(self, node: fx.Node) -> Layout | None:
        """How the node holds a feature map, or None when it holds none (no tensor, no spatial extent)."""
        shape = self.of.get(node)
        layout = layout_of(shape, self.image, self.grids.get(node, ())) if shape else None
        return layout if shape and layout and math.prod(layout.spatial(shape)) > 1 else None


class _ShapeRecorder(fx.Interpreter):
    """Runs a graph and notes the shape of every tensor it comes across."""

    def __init__(self, module: fx.GraphModule, root: nn.Module, graph: fx.Graph) -> None:
        super().__init__(root, graph=graph)
        self.seen: dict[fx.Node, Shape] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, torch.Tensor):
            self.seen[n] = tuple(result.shape)
        return result


def shapes_of(graph: Graph, image: Sequence[int]) -> Shapes:
    """Find the shape of every node for images of a shape, without computing (on torch's meta device).

    Args:
        graph: the traced model.
        image: the images' shape, ``[B, channels, *S]``.

    Raises:
        FuncamError: the model can't take images of this shape; the model's own words say why.
    """
    recorder = _ShapeRecorder(graph.module, meta_twin(graph.module), graph.module.graph)
    dtype = next((p.dtype for p in graph.module.parameters() if p.is_floating_point()), torch.get_default_dtype())
    try:
        with torch.no_grad():
            recorder.run(torch.empty((1, *image[1:]), device="meta", dtype=dtype))
    except Exception as error:
        raise FuncamError(f"{graph.model} can't take images of shape {list(image)}: {reason_of(error)}") from error
    grids: dict[fx.Node, Shape] = {}
    grid: Shape = ()
    for node in graph.module.graph.nodes:
        shape = recorder.seen.get(node, ())
        if len(shape) == len(image) and layout_of(shape, image) == Layout("channels-first"):
            grid = shape[2:]
        grids[node] = grid
    return Shapes(tuple(image), recorder.seen, grids)


def probe_shapes(graph: Graph) -> Shapes:
    """The shapes for a usual image size that the model can take, when no image is at hand.

    Raises:
        FuncamError: none of the usual sizes fits.
    """
    conv = next((m for m in graph.module.modules() if isinstance(m, _ConvNd)), None)
    dimensions, channels = (len(conv.kernel_size), conv.in_channels) if conv else (2, 3)
    for size in _PROBE_SIZES:
        try:
            return shapes_of(graph, (1, channels, *([size] * dimensions)))
        except FuncamError:
            continue
    raise FuncamError(
        f"{graph.model} takes none of the usual image sizes {_PROBE_SIZES}; pass an example: "
        "split(model, layer, example=images)"
    )


def default_layer(graph: Graph, shapes: Shapes) -> str:
    """The layer that is explained by default: the last feature map before pooling or flattening, after its activation.

    The map must have a layer with weights behind it (the class maps of SqueezeNet are already the answer), and all that
    the network knows of the image must pass through it, where there is such a map (no branch of a block). In a network
    whose maps are tokens or channels-last (Vision Transformers, Swin) it is the norm at the last block's attention:
    behind it a class token no longer sees the other tokens.

    Raises:
        FuncamError: there is no feature map.
    """
    live = _ancestors(_output(graph))
    weighted_behind = {a for node in live if _is_weighted(graph, node) for a in _ancestors(node)}
    maps = [n for n in graph.module.graph.nodes if n in live and n in weighted_behind and shapes.layout(n)]
    maps = [n for n in maps if n.op != "placeholder"]
    if not maps:
        raise FuncamError(
            f"{graph.model} has no feature map with a spatial extent for images of shape {list(shapes.image)}; "
            "give a larger image, or name a layer"
        )
    node = next((n for n in reversed(maps) if _carries_all(graph, n)), maps[-1])
    while _is_passing(graph, node) and isinstance(node.args[0], fx.Node) and node.args[0].op != "placeholder":
        node = node.args[0]
    layout = shapes.layout(node)
    if layout and layout.kind != "channels-first":
        node = _norm_at_last_attention(graph, node) or node
    return name_of(graph, node)


def last_conv(graph: Graph, model: nn.Module) -> str:
    """The seed's rule, the last convolution in module order, among those the model runs in evaluation mode.

    Raises:
        FuncamError: the model has no convolution.
    """
    names: list[str] = [
        path for path, module in model.named_modules() if isinstance(module, _ConvNd) and path in graph.nodes
    ]
    if not names:
        raise FuncamError(f"layer '{LAST_CONV}' needs a convolution and {graph.model} has none; name a layer instead")
    return names[-1]


def find_node(graph: Graph, layer: str) -> fx.Node:
    """The node that holds a layer's output: a module path (what it returned at its first call), or a node name.

    Paths come first: torchvision's node names count (``ln_1`` is its name for the second of the modules ln_1, ln_2).

    Raises:
        FuncamError: there is no such layer; the nearest names are given.
    """
    node = graph.outputs.get(layer) or graph.nodes.get(layer)
    if node is None or node.op == "placeholder":
        found = {**graph.outputs, **graph.nodes}
        known = [name for name, node in found.items() if node.op != "placeholder"]
        raise FuncamError(
            f"layer {layer!r} is not in {graph.model}; nearest: {nearest(layer, known)} "
            "(`funcam layers NET` and funcam.list_layers(model) list them all)"
        )
    return node


def name_of(graph: Graph, node: fx.Node) -> str:
    """The name by which a layer is known: the outermost module that returns it, or the node's own name.

    A module that holds the whole network up to there (``features`` in MobileNetV2) says nothing: its last part does.
    """
    for path, output in sorted(graph.outputs.items(), key=lambda item: item[0].count(".")):
        given = graph.inputs.get(path)
        if output is node and (path in graph.nodes or (given is not None and given.op != "placeholder")):
            return path
    names: dict[fx.Node, str] = {known: name for name, known in graph.nodes.items()}
    return names.get(node, str(node))


def _output(graph: Graph) -> fx.Node:
    return graph.module.graph.output_node()


def leads_out(graph: Graph, node: fx.Node) -> bool:
    """Whether the model's output depends on the node."""
    return node in _ancestors(_output(graph))


def _ancestors(node: fx.Node) -> set[fx.Node]:
    found: set[fx.Node] = set()
    pending = [node]
    while pending:
        for given in pending.pop().all_input_nodes:
            if given not in found:
                found.add(given)
                pending.append(given)
    return found


def _carries_all(graph: Graph, node: fx.Node) -> bool:
    """Whether every path from the images to the output passes through the node."""
    seen = {node}
    pending = [_output(graph)]
    while pending:
        for given in pending.pop().all_input_nodes:
            if given.op == "placeholder":
                return False
            if given not in seen:
                seen.add(given)
                pending.append(given)
    return True


def _is_weighted(graph: Graph, node: fx.Node) -> bool:
    """Whether the node multiplies by weights (a convolution, a linear layer, an attention; not a norm's scale)."""
    if node.op == "call_module":
        return any(p.ndim > 1 for p in graph.module.get_submodule(str(node.target)).parameters())
    name = getattr(node.target, "__name__", "")
    return node.op == "call_function" and (name == "linear" or name.startswith("conv"))


def _is_passing(graph: Graph, node: fx.Node) -> bool:
    """Whether the node only pools, drops out or rearranges what it is given."""
    if node.op == "call_module":
        return isinstance(graph.module.get_submodule(str(node.target)), _PASSING_MODULES)
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return node.op in ("call_function", "call_method") and any(part in name for part in _PASSING_NAMES)


def _norm_at_last_attention(graph: Graph, node: fx.Node) -> fx.Node | None:
    """The norm in front of the last attention before the node, or (in Swin V2) behind it."""
    before = _ancestors(node)
    attention = [n for n in graph.module.graph.nodes if n in before and _is_attention(graph, n)]
    if not attention:
        return None
    given = attention[-1].args[0] if attention[-1].args else attention[-1].kwargs.get("query")
    if isinstance(given, fx.Node) and _is_norm(graph, given):
        return given
    return next((user for user in _followers(graph, attention[-1]) if _is_norm(graph, user)), None)


def _followers(graph: Graph, node: fx.Node) -> Iterator[fx.Node]:
    for user in node.users:
        yield user
        if _is_passing(graph, user):
            yield from _followers(graph, user)


def _is_attention(graph: Graph, node: fx.Node) -> bool:
    if node.op == "call_module":
        return "attention" in type(graph.module.get_submodule(str(node.target))).__name__.lower()
    return node.op == "call_function" and "attention" in getattr(node.target, "__name__", "")


def _is_norm(graph: Graph, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(graph.module.get_submodule(str(node.target)), nn.LayerNorm)
    return node.op == "call_function" and getattr(node.target, "__name__", "") == "layer_norm"
