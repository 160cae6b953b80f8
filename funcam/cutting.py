"""Splitting a model at a layer into two pure functions: features, and the head that turns features into logits."""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn
from torchvision.models.feature_extraction import create_feature_extractor

from funcam.errors import FuncamError
from funcam.graph import Graph, confined_tracing, reason_of, trace
from funcam.inplace import reuse_memory
from funcam.layers import (
    LAST_CONV,
    Layout,
    Shapes,
    default_layer,
    find_node,
    last_conv,
    layout_of,
    leads_out,
    name_of,
    probe_shapes,
    shapes_of,
)
from funcam.twin import signature, twin

Head = Callable[[torch.Tensor], Any]


@dataclass(frozen=True, eq=False)
class Cut:
    """A graph cut at a node.

    Attributes:
        layer: the name of the cut.
        features: images -> the values that cross the cut, by name (``create_feature_extractor``'s).
        rest: the values that cross the cut, the layer's own first -> what the model returns.
        names: the names of those values, the layer's own first.
        patch: for a layer of tokens, the side lengths in pixels of the patch that each token stands for.
    """

    layer: str
    features: fx.GraphModule
    rest: fx.GraphModule
    names: tuple[str, ...]
    patch: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Split:
    """A model cut at a layer: a reusable, thread-safe function ``images -> (A, head)``. Made by :func:`split`.

    Attributes:
        layer: the name of the cut, e.g. ``layer4``.
    """

    layer: str
    _cut: Cut = field(repr=False)
    _model: weakref.ref[nn.Module] = field(repr=False)

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, Head]:
        """Run the model up to the layer.

        Args:
            images: ``[B, channels, *image size]``, as the model takes them.

        Returns:
            ``A``, the features ``[B, C, *S]``, and ``head``, a pure function from such features to what the model
            returns (``[B, N]`` logits for a classifier). Values that skip the layer, and the class token of a
            transformer, are closed over as constants.

        Raises:
            FuncamError: the images have a shape that the model can't take, or the layer is no feature map for them.
        """
        _check_images(images)
        return _run(self._cut if torch.compiler.is_compiling() else self.current(tuple(images.shape)), images)

    def unchecked(self, images: torch.Tensor) -> tuple[torch.Tensor, Head]:
        """As a call, but without looking for modules that were replaced since: for a split that was just made."""
        _check_images(images)
        return _run(self._cut, images)

    def model(self) -> nn.Module:
        """The model that was split.

        Raises:
            FuncamError: it is gone; a split does not keep its model alive.
        """
        model = self._model()
        if model is None:
            raise FuncamError(f"the model that was split at {self.layer!r} is gone; keep it, or split it again")
        return model

    def current(self, image: tuple[int, ...] | None = None) -> Cut:
        """The cut of the model as it is now: a new one if a module of it was replaced since."""
        model = self._model()
        return self._cut if model is None else _traced(model).cut(self.layer, image)


def split(model: nn.Module, layer: str | None = None, *, example: torch.Tensor | None = None) -> Split:
    """Cut a model at a layer: ``A, head = split(model, layer)(images)`` with ``head(A)`` equal to ``model(images)``.

    The model is traced once, to its leaf operations, and only read: it is explained as in evaluation mode, whatever
    mode it is in, and nothing of it is changed. Cuts are cached for as long as the model lives; weights changed in
    place and modules replaced since are seen.

    Args:
        model: a classifier that ``torch.fx`` can follow, as all of torchvision's.
        layer: a module path (``layer4.2``) or a node name (``get_graph_node_names``); None for the last feature map
            before pooling, after its activation; ``last-conv`` for the last convolution in module order.
        example: images of the size that will be explained, where the default layer depends on it.

    Returns:
        The split.

    Raises:
        FuncamError: the model can't be traced, there is no such layer, or the logits don't depend on it.

    Example:
        >>> import torchvision
        >>> model = torchvision.models.resnet18().eval()
        >>> images = torch.rand(2, 3, 64, 64)
        >>> A, head = split(model, "layer3")(images)
        >>> A.shape, torch.allclose(head(A), model(images), atol=1e-5)
        (torch.Size([2, 256, 4, 4]), True)
    """
    if example is not None:
        _check_images(example)
    image = None if example is None else tuple(example.shape)
    traced = _traced(model)
    if layer is None:
        layer = traced.default(image)
    elif layer == LAST_CONV:
        layer = last_conv(traced.graph, _unwrapped(model))
    return Split(layer, traced.cut(layer, image), weakref.ref(model))


class _Traced:
    """What is known of one state of a model: its graph, shapes by image shape, cuts by layer."""

    def __init__(self, model: nn.Module, state: list[Any]) -> None:
        self.state = state
        self.graph = trace(model)
        self._shapes: dict[tuple[int, ...] | None, Shapes] = {}
        self._defaults: dict[tuple[int, ...] | None, str] = {}
        self._cuts: dict[str, Cut] = {}

    def shapes(self, image: tuple[int, ...] | None) -> Shapes:
        key = image and (1, *image[1:])
        with _LOCK:
            if key not in self._shapes:
                found = probe_shapes(self.graph) if image is None else shapes_of(self.graph, image)
                if not self._shapes:  # cuts made before a size was known lack their patch
                    self._cuts.clear()
                self._shapes[key] = found
            return self._shapes[key]

    def default(self, image: tuple[int, ...] | None) -> str:
        key = image and image[1:]
        if key not in self._defaults:
            self._defaults[key] = default_layer(self.graph, self.shapes(image))
        return self._defaults[key]

    def cut(self, layer: str, image: tuple[int, ...] | None) -> Cut:
        if not self._shapes:
            self._learn_shapes(image)
        cut = self._cuts.get(layer)
        if cut is None:
            with _LOCK:
                node = find_node(self.graph, layer)
                cut = self._cuts.get(layer) or _make_cut(self.graph, layer, self._patch(node))
                self._cuts[layer] = cut
        return cut

    def _learn_shapes(self, image: tuple[int, ...] | None) -> None:
        try:
            self.shapes(image)
        except FuncamError:  # tokens then wait for images that the model takes, other layers need nothing
            if image is not None:
                raise

    def _patch(self, node: fx.Node) -> tuple[int, ...]:
        """The patch size behind a layer of tokens, read off any image size that the model is known to take."""
        shapes = next(iter(self._shapes.values()), None)
        layout = shapes.layout(node) if shapes else None
        if shapes is None or layout is None:
            return ()
        return tuple(whole // part for whole, part in zip(shapes.image[2:], layout.grid, strict=False))


_LOCK = threading.RLock()
_CACHE: weakref.WeakKeyDictionary[nn.Module, _Traced] = weakref.WeakKeyDictionary()


def _unwrapped(model: nn.Module) -> nn.Module:
    """The module itself, where ``torch.compile`` wrapped it."""
    if isinstance(model, torch.jit.ScriptModule):
        raise FuncamError("a TorchScript module can't be traced; give the Python module that it was made from")
    return model._modules.get("_orig_mod") or model


def _traced(model: nn.Module) -> _Traced:
    model = _unwrapped(model)
    state = signature(model)
    with _LOCK:
        traced = _CACHE.get(model)
        if traced is None or traced.state != state:
            traced = _CACHE[model] = _Traced(model, state)
        return traced


def graph_of(model: nn.Module) -> Graph:
    """The model's graph, traced once and cached with its cuts."""
    return _traced(model).graph


def _make_cut(graph: Graph, layer: str, patch: tuple[int, ...]) -> Cut:
    node = find_node(graph, layer)
    rest, crossing = _rest(graph, node)
    if not any(user.op == "output" or user in rest for user in node.users):
        raise FuncamError(f"layer {layer!r} of {graph.model} does not lead to its output; name a layer that does")
    names = tuple(f"crossing{i}" for i in range(1 + len(crossing)))
    placed = dict(zip([node, *crossing], names, strict=True))
    return Cut(layer, _features(graph, placed), _head(graph, placed, rest), names, patch)


def _rest(graph: Graph, node: fx.Node) -> tuple[set[fx.Node], list[fx.Node]]:
    """The nodes behind the cut that lead to the output, and the values from before it that they need as well."""
    behind = {node}
    for later in graph.module.graph.nodes:
        if later is not node and any(given in behind for given in later.all_input_nodes):
            behind.add(later)
    needed: set[fx.Node] = set()
    pending = [n for n in graph.module.graph.nodes if n.op == "output"]
    crossing: dict[fx.Node, None] = {}
    while pending:
        for given in pending.pop().all_input_nodes:
            if given is node or given in needed or given in crossing:
                continue
            if given in behind or given.op == "get_attr":
                needed.add(given)
                pending.append(given)
            else:
                crossing[given] = None
    return needed, list(crossing)


def _features(graph: Graph, crossing: dict[fx.Node, str]) -> fx.GraphModule:
    """torchvision's feature extractor for some nodes of the graph, under the names given.

    Each of them passes through an identity module, so that it has a name of ours whatever the node is called.
    """
    copy = fx.Graph()
    placed: dict[fx.Node, fx.Node] = {}
    copy.graph_copy(graph.module.graph, placed)
    # A twin: torchvision puts what it traces into training mode for a moment, while other threads may run the graph.
    root = twin(graph.module)
    for node, name in crossing.items():
        root._modules[name] = nn.Identity()
        with copy.inserting_after(placed[node]):
            copy.call_module(name, (placed[node],))
    reuse_memory(copy, root)
    copy.output(tuple(placed[node] for node in crossing))
    module = fx.GraphModule(root, copy, graph.model)
    with confined_tracing():
        extractor: fx.GraphModule = create_feature_extractor(module, list(crossing.values()))
    return extractor.eval()


def _head(graph: Graph, crossing: dict[fx.Node, str], rest: set[fx.Node]) -> fx.GraphModule:
    """The nodes behind the cut as a module that takes what crosses it."""
    copy = fx.Graph()
    placed = {node: copy.placeholder(name) for node, name in crossing.items()}
    for node in graph.module.graph.nodes:
        if node in rest or node.op == "output":
            placed[node] = copy.node_copy(node, placed.__getitem__)
    return fx.GraphModule(graph.module, copy, graph.model).eval()


def _check_images(images: torch.Tensor) -> None:
    if not isinstance(images, torch.Tensor) or images.ndim < 3 or not images.is_floating_point():
        shape, kind = getattr(images, "shape", ()), getattr(images, "dtype", type(images).__name__)
        raise FuncamError(
            f"images have shape {list(shape)} and type {kind}; expected a float tensor [B, channels, *size] "
            "(one image: image[None])"
        )


def _run(cut: Cut, images: torch.Tensor) -> tuple[torch.Tensor, Head]:
    tensor, *crossing = _run_features(cut, images)
    layout = _layout(cut, tensor, images)

    def head(features: torch.Tensor) -> Any:
        return cut.rest(layout.from_map(features, tensor), *crossing)

    return layout.to_map(tensor), head


def _run_features(cut: Cut, images: torch.Tensor) -> list[Any]:
    values = cut.features(images) if torch.compiler.is_compiling() else _reporting(cut, images)
    return [values[name] for name in cut.names]


def _reporting(cut: Cut, images: torch.Tensor) -> Any:
    recording = torch.is_grad_enabled()
    try:
        # autograd can't save an inference tensor; leaving inference mode would switch its recording on
        with torch.inference_mode(False), torch.set_grad_enabled(recording):
            images = images.clone() if images.is_inference() else images
            return cut.features(images)
    except (RuntimeError, AssertionError, ValueError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise FuncamError(
            f"the model can't take images of shape {list(images.shape)} and type {images.dtype} on {images.device}: "
            f"{reason_of(error)}"
        ) from error


def _layout(cut: Cut, tensor: Any, images: torch.Tensor) -> Layout:
    if not isinstance(tensor, torch.Tensor):
        raise FuncamError(f"layer {cut.layer!r} is no feature map: it holds a {type(tensor).__name__}, not a tensor")
    grid = tuple(side // patch for side, patch in zip(images.shape[2:], cut.patch, strict=False))
    layout = layout_of(tensor.shape, images.shape, grid)
    if layout is None or math.prod(layout.spatial(tensor.shape)) < 2:
        raise FuncamError(
            f"layer {cut.layer!r} is no feature map: its output is {list(tensor.shape)} for images of "
            f"{list(images.shape)}; expected [B, C, *S] with a spatial extent above one cell (name an earlier layer)"
        )
    return layout


@dataclass(frozen=True)
class Layer:
    """A line of :func:`list_layers`: a name to cut at, the shape of what it holds, and whether it is the default."""

    name: str
    shape: tuple[int, ...]
    default: bool


def list_layers(model: nn.Module, image: Sequence[int] | None = None) -> list[Layer]:
    """Every layer that a model can be cut at: those that hold a feature map and lead to the output.

    Args:
        model: a module that ``torch.fx`` can follow; it is only read and not run.
        image: the images' shape, ``[B, channels, *size]``; None for a usual size that the model takes.

    Returns:
        The layers in order of execution, each under its outermost name.

    Raises:
        FuncamError: the model can't be traced, or can't take such images.

    Example:
        >>> import torchvision
        >>> [layer for layer in list_layers(torchvision.models.resnet18()) if layer.default]
        [Layer(name='layer4', shape=(1, 512, 7, 7), default=True)]
    """
    traced = _traced(model)
    shapes = traced.shapes(None if image is None else tuple(image))
    default = traced.default(shapes.image)
    rows = {}
    for node in traced.graph.module.graph.nodes:
        if node.op not in ("placeholder", "get_attr") and shapes.layout(node) and leads_out(traced.graph, node):
            name = name_of(traced.graph, node)
            rows[name] = Layer(name, shapes.of[node], name == default)
    return list(rows.values())
