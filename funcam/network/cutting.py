"""Splitting a model at a layer into two pure functions: features, and the head that turns features into logits."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import nn

from funcam.errors import FuncamError, nearest, shown, whole_number
from funcam.network.choice import LAST_CONV, last_conv
from funcam.network.cuts import Cut as Cut
from funcam.network.failures import reason_of
from funcam.network.images import check_images, hint_of
from funcam.network.known import graph_of as graph_of
from funcam.network.known import traced_model
from funcam.network.layers import Layout, layout_of, leads_out, name_of, of_images
from funcam.network.naming import Layer as Layer
from funcam.network.naming import LayerLike, layer_name
from funcam.network.pair import NAMES, check_features, closed_head, is_pair, named_features
from funcam.network.wrappers import plain_name, unwrapped

Head = Callable[[torch.Tensor], Any]
Functions = tuple[Callable[[torch.Tensor], Any], Callable[..., Any]]
Image = tuple[int, ...]

_VIA = (None, "fx", "export")


@dataclass(frozen=True, eq=False)
class Split:
    """A model cut at a layer: a reusable, thread-safe function `images -> (A, head)`. Made by `split`.

    Attributes:
        layer: the name of the cut, e.g. `layer4`.
    """

    layer: str
    _cut: Cut = field(repr=False)
    _model: Callable[[], nn.Module | None] = field(repr=False)
    _via: str | None = field(repr=False, default=None)

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, Head]:
        """Run the model up to the layer.

        Args:
            images: `[B, channels, *image size]`, as the model takes them.

        Returns:
            `A`, the features `[B, C, *S]`, and `head`, a pure function from such features to what the model
            returns (`[B, N]` logits for a classifier). Values that skip the layer, and the class token of a
            transformer, are closed over as constants.

        Raises:
            FuncamError: the images have a shape that the model can't take, or the layer is no feature map for them.
        """
        check_images(images)
        return _run(self._cut if torch.compiler.is_dynamo_compiling() else self.current(images), images)

    def unchecked(self, images: torch.Tensor) -> tuple[torch.Tensor, Head]:
        """As a call, but without looking for modules that were replaced since: for a split that was just made."""
        check_images(images)
        return _run(self._cut, images)

    def model(self) -> nn.Module:
        """The model that was split.

        Raises:
            FuncamError: it is gone (a split does not keep its model alive), or there was none, but a pair of functions.
        """
        model = self._model()
        if self._cut.names == NAMES:
            raise FuncamError(
                "this needs the whole model, and a pair (features, head) has none; use a method that needs only the "
                "features and the head (as grad-cam), or give the module"
            )
        if model is None:
            raise FuncamError(f"the model that was split at {self.layer!r} is gone; keep it, or split it again")
        return model

    def current(self, images: torch.Tensor | Image | None = None) -> Cut:
        """The cut of the model as it is now, for images (or a shape of them): a new one if a module was replaced."""
        model = self._model()
        if model is None:
            return self._cut
        return traced_model(model, images, self._via).cut(self.layer, _shape(images))


def split(
    model: nn.Module | Functions,
    layer: LayerLike | None = None,
    *,
    example: torch.Tensor | None = None,
    via: str | None = None,
) -> Split:
    """Cut a model at a layer: `A, head = split(model, layer)(images)` with `head(A)` equal to `model(images)`.

    The model is traced once, to its leaf operations, and only read: it is explained as in evaluation mode, whatever
    mode it is in, and nothing of it is changed. Cuts are cached for as long as the model lives; weights changed in
    place and modules replaced since are seen.

    Args:
        model: a module; `torch.fx` follows it, as all of torchvision's, or else `torch.export`, which needs an
            example. Or a pair of functions `(features, head)`, cut by hand: `features(images)` returns
            `A [B, C, *S]`, or `(A, rest)`, and `head(A)`, or `head(A, rest)`, what the model returns.
        layer: a module path (`layer4.2`) or a node name (`get_graph_node_names`); a module of the model
            (`model.layer4[2]`; at its first call, under its first name) or a line of `list_layers`; None for the last
            feature map before pooling, after its activation; `last-conv` for the last convolution in module order.
        example: images of the size that will be explained, where the default layer or `torch.export` depends on it.
        via: `fx` or `export` to use one of the two alone; None for the first of them that can follow the model.

    Returns:
        The split.

    Raises:
        FuncamError: the model can't be followed (the message says why, where in its code, and what is left), there is
            no such layer or the module is not in the model, or the outputs don't depend on it.

    Example:
        >>> import torchvision
        >>> model = torchvision.models.resnet18().eval()
        >>> images = torch.rand(2, 3, 64, 64)
        >>> A, head = split(model, "layer3")(images)
        >>> A.shape, torch.allclose(head(A), model(images), atol=1e-5)
        (torch.Size([2, 256, 4, 4]), True)
    """
    if via not in _VIA:
        raise FuncamError(f"via={via!r} is unknown; expected 'fx', 'export' or None")
    if example is not None:
        check_images(example)
    if is_pair(model):
        return _split_pair(*cast(Functions, model), layer)
    module = unwrapped(model)
    name = layer_name(module, layer)
    traced = traced_model(module, example, via)
    if name is None:
        name = traced.default(_shape(example))
    elif name == LAST_CONV:
        name = last_conv(traced.graph, module)
    else:
        known = {**traced.graph.outputs, **traced.graph.nodes}
        name = plain_name(known, name)
        if name not in known and isinstance(layer, nn.Module):
            raise FuncamError(
                f"{name!r} is in {traced.graph.model} but is never called there by itself (it only holds others, or "
                f"is run as a part of one); nearest: {nearest(name, known)}"
            )
    return Split(name, traced.cut(name, _shape(example)), weakref.ref(module), via)


def _split_pair(features: Callable[[torch.Tensor], Any], head: Callable[..., Any], layer: LayerLike | None) -> Split:
    if layer is not None and layer != NAMES[0]:
        raise FuncamError(
            f"layer {shown(layer)} was given with a pair (features, head), which is cut already; leave it out"
        )
    return Split(NAMES[0], Cut(NAMES[0], named_features(features), closed_head(head), NAMES, ()), lambda: None)


def _shape(images: torch.Tensor | Image | None) -> Image | None:
    return tuple(images.shape) if isinstance(images, torch.Tensor) else images


def _run(cut: Cut, images: torch.Tensor) -> tuple[torch.Tensor, Head]:
    tensor, *crossing = run_features(cut, images)
    layout = layout_at(cut, tensor, images)

    def head(features: torch.Tensor) -> Any:
        return cut.rest(layout.from_map(features, tensor), *crossing)

    return layout.to_map(tensor), head


def run_features(cut: Cut, images: torch.Tensor) -> list[Any]:
    """The values that cross the cut, the layer's own first."""
    if cut.image is not None and images.shape[1:] != cut.image[1:]:
        raise FuncamError(f"the cut was made by torch.export for images of {list(cut.image)}, not {list(images.shape)}")
    values = cut.features(images) if torch.compiler.is_dynamo_compiling() else _reporting(cut, images)
    return [values[name] for name in cut.names]


def _reporting(cut: Cut, images: torch.Tensor) -> Any:
    recording = torch.is_grad_enabled()
    try:
        # autograd can't save an inference tensor; leaving inference mode would switch its recording on
        with torch.inference_mode(False), torch.set_grad_enabled(recording):
            images = images.clone() if images.is_inference() else images
            return cut.features(images)
    except (RuntimeError, AssertionError, ValueError, TypeError, IndexError) as error:
        if isinstance(error, torch.OutOfMemoryError | FuncamError):
            raise
        raise FuncamError(
            f"the model can't take images of shape {list(images.shape)} and type {images.dtype} on {images.device}: "
            f"{reason_of(error)}{_hint(cut, images)}"
        ) from error


def _hint(cut: Cut, images: torch.Tensor) -> str:
    return hint_of(cut.features, images.shape) if isinstance(cut.features, nn.Module) else ""


def layout_at(cut: Cut, tensor: Any, images: torch.Tensor) -> Layout:
    """How a layer's tensor holds a feature map of the images.

    Raises:
        FuncamError: it holds none.
    """
    if cut.names == NAMES:
        check_features(tensor, images)
        return Layout("channels-first")
    if not isinstance(tensor, torch.Tensor):
        raise FuncamError(f"layer {cut.layer!r} is no feature map: it holds a {type(tensor).__name__}, not a tensor")
    grid = tuple(side // patch for side, patch in zip(images.shape[2:], cut.patch, strict=False))
    layout = layout_of(tensor.shape, images.shape, grid)
    if layout is None or len(tensor) != len(images) or math.prod(layout.spatial(tensor.shape)) < 2:
        raise FuncamError(
            f"layer {cut.layer!r} is no feature map: its output is {list(tensor.shape)} for images of "
            f"{list(images.shape)}; expected [B, C, *S] with a spatial extent above one cell (name an earlier layer)"
        )
    return layout


def list_layers(model: nn.Module, image: Sequence[int] | torch.Tensor | None = None) -> list[Layer]:
    """Every layer that a model can be cut at: those that hold a feature map and lead to the output.

    Args:
        model: a module; it is only read and not run.
        image: the images' shape, `[B, channels, *size]`, or images of it; None for a usual size that the model takes.
            A model that only `torch.export` can follow needs it.

    Returns:
        The layers in order of execution, each under its outermost name.

    Raises:
        FuncamError: the model can't be traced, or can't take such images.

    Example:
        >>> import torchvision
        >>> [layer for layer in list_layers(torchvision.models.resnet18()) if layer.default]
        [Layer(name='layer4', shape=(1, 512, 7, 7), default=True)]
    """
    shape = None if image is None else _image_shape(image)
    traced = traced_model(model, shape)
    shapes = traced.shapes(shape)
    default = traced.default(shapes.image)
    rows = {}
    living = of_images(traced.graph)
    for node in traced.graph.module.graph.nodes:
        if node.op != "placeholder" and node in living and shapes.layout(node) and leads_out(traced.graph, node):
            name = name_of(traced.graph, node)
            rows[name] = Layer(name, shapes.of[node], name == default)
    return list(rows.values())


def _image_shape(image: Any) -> Image:
    shape = image.shape if isinstance(image, torch.Tensor) else image
    if not isinstance(shape, tuple | list) or len(shape) < 3:
        raise FuncamError(
            f"image is {shown(shape)}; expected the images' shape [B, channels, *size], as (1, 3, 224, 224)"
        )
    return tuple(whole_number("a side in image", side, 1) for side in shape)
