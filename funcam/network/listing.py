"""Where a model can be cut: the layers that hold a feature map and lead to the outputs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import nn

from funcam.errors import FuncamError, shown, whole_number
from funcam.network.believed import manner_for
from funcam.network.failures import UnknownAxes
from funcam.network.known import Known, TracedModel, blank, known_of
from funcam.network.layers import leads_out, name_of, of_images
from funcam.network.naming import Layer
from funcam.network.random_numbers import own_random_numbers
from funcam.network.samples import numbers
from funcam.network.settled import TapCut
from funcam.network.survey import survey
from funcam.network.tap import Inputs
from funcam.network.ways import settle
from funcam.network.wrappers import unwrapped

Image = tuple[int, ...]


def list_layers(model: nn.Module, image: Sequence[int] | torch.Tensor | None = None) -> list[Layer]:
    """Every layer that a model can be cut at: those that hold a feature map and lead to the output.

    Args:
        model: a module; it is only read. To find the default layer it is run, as `explain` does, if it has values.
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
    try:
        shapes = traced.shapes(shape)
    except FuncamError:  # the model's own code may take them
        if shape is None or _has_no_values(module):
            raise
        with suppress(FuncamError):
            return _surveyed(module, known, image)
        raise
    default, held = _default(module, traced, image, shapes.image)
    at = traced.graph.outputs.get(default) or traced.graph.nodes.get(default)
    rows = {}
    living = of_images(traced.graph)
    for node in traced.graph.module.graph.nodes:
        able = node in shapes.of and (node is at or (shapes.layout(node) and leads_out(traced.graph, node)))
        if node.op != "placeholder" and node in living and able:
            name = name_of(traced.graph, node)
            rows[name] = Layer(name, shapes.of[node], node is at)
    if at is None and held:  # a part of what a module returns
        rows[default] = Layer(default, held, True)
    return list(rows.values())


def _default(model: nn.Module, traced: TracedModel, image: Any, shape: Image) -> tuple[str, Image]:
    """The default layer, the one that is explained, and its shape where the graph doesn't tell; "" for none."""
    if not _has_no_values(model):
        images = image[:1] if isinstance(image, torch.Tensor) else _numbers(model, shape)
        try:
            settled = settle(model, None, Inputs(images), None)
            return settled.layer, settled.cut.shape if isinstance(settled.cut, TapCut) else ()
        except UnknownAxes:
            return "", ()
        except FuncamError:  # it takes more than images, say
            pass
    with suppress(UnknownAxes):
        return traced.default(shape), ()
    return "", ()


def _has_no_values(model: nn.Module) -> bool:
    return any(p.is_meta for p in model.parameters())


def _numbers(model: nn.Module, shape: Image) -> torch.Tensor:
    like = blank(model, shape)
    return numbers((1, *shape[1:]), like.dtype, like.device)


def _surveyed(model: nn.Module, known: Known, image: Any) -> list[Layer]:
    """The layers of a model without a graph: what its modules return when it runs."""
    if image is None:
        raise FuncamError(f"{known.failure}; give images, so that it can be run: list_layers(model, images)")
    images = image if isinstance(image, torch.Tensor) else blank(model, _image_shape(image)).contiguous()
    inputs = Inputs(images[:1])
    manner = manner_for(model, inputs)
    with own_random_numbers(images):
        default, listed = _settled(model, inputs), survey(model, inputs, manner)
    rows = {}
    for seen in reversed(listed):
        if seen.layout(tuple(inputs.images.shape)):
            name = str(seen.place)
            rows[name] = Layer(name, seen.shape, name == default)
    return list(rows.values())[::-1]


def _settled(model: nn.Module, inputs: Inputs) -> str | None:
    with suppress(UnknownAxes):
        return settle(model, None, inputs, None).layer
    return None


def _image_shape(image: Any) -> Image:
    shape = image.shape if isinstance(image, torch.Tensor) else image
    if not isinstance(shape, tuple | list) or len(shape) < 3:
        raise FuncamError(
            f"image is {shown(shape)}; expected the images' shape [B, channels, *size], as (1, 3, 224, 224)"
        )
    return tuple(whole_number("a side in image", side, 1) for side in shape)
