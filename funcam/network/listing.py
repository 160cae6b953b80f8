"""Where a model can be cut: the layers that hold a feature map and lead to the outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from funcam.errors import FuncamError, shown, whole_number
from funcam.network.believed import manner_for
from funcam.network.checks import own_random_numbers
from funcam.network.defaults import default_maps
from funcam.network.failures import UnknownAxes
from funcam.network.known import Known, TracedModel, blank, known_of
from funcam.network.layers import leads_out, name_of, of_images
from funcam.network.naming import Layer
from funcam.network.survey import survey
from funcam.network.tap import Inputs
from funcam.network.wrappers import unwrapped

Image = tuple[int, ...]


def list_layers(model: nn.Module, image: Sequence[int] | torch.Tensor | None = None) -> list[Layer]:
    """Every layer that a model can be cut at: those that hold a feature map and lead to the output.

    Args:
        model: a module; it is only read and not run.
        image: the images' shape, `[B, channels, *size]`, or images of it; None for a usual size that the model takes.
            A model that has to be run because nobody has its graph needs them.

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
    module = unwrapped(model)
    known = known_of(module)
    traced = known.traced(module)
    if traced is None:
        return _surveyed(module, known, image)
    shapes = traced.shapes(shape)
    default = _default(traced, shapes.image)
    rows = {}
    living = of_images(traced.graph)
    for node in traced.graph.module.graph.nodes:
        if node.op != "placeholder" and node in living and shapes.layout(node) and leads_out(traced.graph, node):
            name = name_of(traced.graph, node)
            rows[name] = Layer(name, shapes.of[node], name == default)
    return list(rows.values())


def _default(traced: TracedModel, image: Image) -> str | None:
    """The default layer, if there is one."""
    try:
        return traced.default(image)
    except UnknownAxes:
        return None


def _surveyed(model: nn.Module, known: Known, image: Any) -> list[Layer]:
    """The layers of a model without a graph: what its modules return when it runs."""
    if image is None:
        raise FuncamError(f"{known.failure}; give images, so that it can be run: list_layers(model, images)")
    images = image if isinstance(image, torch.Tensor) else blank(model, _image_shape(image)).contiguous()
    inputs = Inputs(images[:1])
    manner = manner_for(model, inputs)
    with own_random_numbers(images):
        default, listed = str(default_maps(model, inputs, manner)[0].place), survey(model, inputs, manner)
    rows = {}
    for seen in reversed(listed):
        if seen.layout(tuple(inputs.images.shape)):
            name = str(seen.place)
            rows[name] = Layer(name, seen.shape, name == default)
    return list(rows.values())[::-1]


def _image_shape(image: Any) -> Image:
    shape = image.shape if isinstance(image, torch.Tensor) else image
    if not isinstance(shape, tuple | list) or len(shape) < 3:
        raise FuncamError(
            f"image is {shown(shape)}; expected the images' shape [B, channels, *size], as (1, 3, 224, 224)"
        )
    return tuple(whole_number("a side in image", side, 1) for side in shape)
