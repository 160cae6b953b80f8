"""Layers as callers give them - by name, as a module of the model, as a line of `list_layers` - and their names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from funcam.errors import FuncamError, nearest, shown
from funcam.network.wrappers import unwrapped

_MOST_LISTED = 6


@dataclass(frozen=True)
class Layer:
    """A line of `list_layers`: a layer that a model can be cut at.

    Attributes:
        name: what to cut at.
        shape: the shape of what it holds, `[1, ...]`.
        default: whether it is the layer that is explained where none is named.
    """

    name: str
    shape: tuple[int, ...]
    default: bool


LayerLike = str | nn.Module | Layer


def layer_name(model: nn.Module | None, layer: Any) -> str | None:
    """The name of a layer that was given by its name, as a module of the model or as a line of `list_layers`.

    Args:
        model: the model; None where there is none behind what is explained.
        layer: the layer; None for the default one, which has no name yet.

    Raises:
        FuncamError: it is none of these, or the module is not in the model.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        >>> layer_name(model, model[1]), layer_name(model, "1")
        ('1', '1')
    """
    if layer is None or (isinstance(layer, str) and layer):
        return layer and str(layer)  # NumPy's strings are Python's by kind, not by name
    if isinstance(layer, Layer):
        return layer.name
    if isinstance(layer, nn.Module) and model is not None:
        return _name_in(unwrapped(model), layer)
    raise FuncamError(
        f"layer {shown(layer)} names no layer; expected a name ('layer4'), a module of the model (model.layer4) or a "
        "line of funcam.list_layers(model)"
    )


def _name_in(model: nn.Module, layer: nn.Module) -> str:
    """The first name under which the model has the module itself, or what `torch.compile` and its like wrapped."""
    inner = layer._modules.get("_orig_mod", layer)
    names = {id(module): name for name, module in model.named_modules()}
    name = names.get(id(layer), names.get(id(inner)))
    if name:
        return str(name)
    kind = type(layer).__name__
    if name == "" or unwrapped(layer) is model:
        raise FuncamError(f"the {kind} that was given as a layer is the model itself; give a module inside of it")
    raise FuncamError(
        f"the {kind} that was given as a layer is not in {type(model).__name__}, but a copy's, another model's or "
        f"replaced since; {_alike(model, layer)} (funcam.list_layers(model) lists them all)"
    )


def _alike(model: nn.Module, layer: nn.Module) -> str:
    """The layers of the same type as one that the model hasn't, or of the type that is called most like it."""
    kind = type(layer).__name__
    by_kind: dict[str, list[str]] = {}
    for name, module in model.named_modules():
        if name:
            by_kind.setdefault(type(module).__name__, []).append(name)
    if kind not in by_kind:
        return f"it has no {kind}; nearest types: {nearest(kind, by_kind) or 'none'}"
    names = by_kind[kind]
    more = ", ..." if len(names) > _MOST_LISTED else ""
    return f"its own of that type: {', '.join(map(repr, names[-_MOST_LISTED:]))}{more}"
