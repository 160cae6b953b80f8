"""Fitting a state dict to a network of the zoo, whatever its number of classes and its age."""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torchvision import models

from funcam.errors import FuncamError
from funcam.zoo.architectures import AUXILIARY, WITH_AUXILIARY, class_axes, construct, is_complete, meta_network, shapes
from funcam.zoo.names import NETS
from funcam.zoo.published import default

_SHOWN = 4
"""So many entries of a kind an error message names before it counts."""

_TRIED = 16
"""So many networks, those of the nearest size, are tried for one that a file fits."""

_LARGEST_IMAGE = 1024
"""Side of the largest image of a Vision Transformer; its memory grows with the fourth power of it."""


def build_with_state(
    name: str, state: Mapping[str, Tensor], *, origin: str = "the state dict", transform_input: bool = True
) -> nn.Module:
    """The network of that name, holding the tensors of a state dict themselves, in evaluation mode.

    The number of classes and a Vision Transformer's image size are read off the tensors' shapes. Names of early
    torchvision releases are understood; auxiliary classifiers are left out.

    Args:
        name: a canonical name of the zoo.
        state: names and float32 tensors, as `funcam.zoo.checkpoints.read_checkpoint` returns them.
        origin: where the tensors come from, for error messages.
        transform_input: see `funcam.zoo.architectures.construct`.

    Raises:
        FuncamError: entries are missing, unexpected or of another shape (they are named, and the network that
            the file fits, if there is one), or a value is NaN or infinite.

    Example:
        >>> state = read_checkpoint("mobilenet_v2.pth")  # doctest: +SKIP
        >>> build_with_state("mobilenet_v2", state).classifier[1].out_features  # doctest: +SKIP
        1000
    """
    state = _in_todays_names(name, state)
    options = {"transform_input": transform_input}
    model = meta_network(name, **options)
    if _conflicts(model, state):
        options |= _read_off(name, model, state)
        model = meta_network(name, **options)
    misfit = _load(model, state)
    if misfit.any():
        raise FuncamError(f"{origin} does not fit {name}: {misfit}; {_advice(name, state)}")
    _check_finite(model, origin)
    return (model if is_complete(model) else _with_computed_buffers(model, name, options)).eval()


def fill_state(model: nn.Module, state: Mapping[str, Tensor], *, name: str, origin: str) -> None:
    """Copy a state dict into a model of whatever kind, every entry of it and nothing else.

    Args:
        model: it is changed, also where something does not fit.
        state: names and float32 tensors, as `funcam.zoo.checkpoints.read_checkpoint` returns them.
        name: what the model is called, for error messages.
        origin: where the tensors come from, for error messages.

    Raises:
        FuncamError: entries are missing, unexpected or of another shape (they are named), or a value isn't finite.

    Example:
        >>> state = {"weight": torch.ones(1, 2), "bias": torch.ones(1)}
        >>> fill_state(nn.Linear(2, 1), state, name="mine", origin="a.pth")
    """
    misfit = _load(model, state, assign=False)  # a model's own code may hold its tensors, or share them
    if misfit.any():
        raise FuncamError(f"{origin} does not fit {name}: {misfit}; give the state dict of a model from that function")
    _check_finite(model, origin)


class _Misfit(NamedTuple):
    """What keeps a state dict from fitting a network."""

    missing: list[str]
    unexpected: list[str]
    conflicts: list[str]

    def any(self) -> bool:
        return any(self)

    def __str__(self) -> str:
        kinds = zip(("missing", "unexpected", "of another kind"), self, strict=True)
        return "; ".join(f"{len(names)} {kind}: {_some(names)}" for kind, names in kinds if names)


def _some(names: list[str]) -> str:
    rest = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest


def _in_todays_names(name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Early DenseNets wrote `denselayer1.norm.1` for `norm1`; auxiliary classifiers go."""
    old = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")
    dropped = AUXILIARY if name in WITH_AUXILIARY else ()
    return {old.sub(r"\1\2.", key): tensor for key, tensor in state.items() if not key.startswith(tuple(dropped))}


def _conflicts(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, str]:
    """The entries that both have, but with different shapes or one of them not floating point."""
    misfits = {}
    for key, own in model.state_dict().items():
        if key in state and own.shape != state[key].shape:
            misfits[key] = f"{key} has the shape {list(state[key].shape)}, expected {list(own.shape)}"
        elif key in state and _number_kind(own) != _number_kind(state[key]):
            misfits[key] = f"{key} is {state[key].dtype}, expected {own.dtype}"
    return misfits


def _number_kind(tensor: Tensor) -> tuple[bool, bool]:
    return tensor.is_floating_point(), tensor.is_complex()


def _read_off(name: str, model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The constructor's options that the shapes tell: `num_classes`, and `image_size` of a Vision Transformer."""
    options = {}
    for key, axis in class_axes(lambda count: meta_network(name, num_classes=count)).items():
        # A shape with a zero in it is of no values and may claim any number.
        if key in state and state[key].ndim > axis and 0 < state[key].shape[axis] <= state[key].numel():
            options["num_classes"] = state[key].shape[axis]
    tokens = state.get("encoder.pos_embedding")
    if isinstance(model, models.VisionTransformer) and tokens is not None and tokens.ndim == 3 and tokens.numel():
        side = math.isqrt(max(tokens.shape[1] - 1, 1))  # of the grid of patches; one token more is the class token
        options["image_size"] = min(side * int(model.patch_size), _LARGEST_IMAGE)
    return options


def _load(model: nn.Module, state: Mapping[str, Tensor], *, assign: bool = True) -> _Misfit:
    """Give the model the state's tensors (or copy them), and say what does not fit.

    torch's own loading translates the names of older modules (Vision Transformers' MLPs, BatchNorm's counters) where
    no version is stated; MNASNet alone insists on one.
    """
    conflicts = _conflicts(model, state)
    fitting = OrderedDict((key, tensor) for key, tensor in state.items() if key not in conflicts)
    fitting._metadata = {"": {"version": model._version}}  # type: ignore[attr-defined]
    result = model.load_state_dict(fitting, strict=False, assign=assign)
    missing = [key for key in result.missing_keys if key not in conflicts]
    return _Misfit(missing, list(result.unexpected_keys), list(conflicts.values()))


def _check_finite(model: nn.Module, origin: str) -> None:
    for key, tensor in model.state_dict().items():
        # NumPy's needs a hundredth of a second for 60 million values, torch's up to a hundred times as long.
        if not np.isfinite(tensor.numpy()).all():
            kind = "NaN" if tensor.isnan().any() else "an infinite value"
            raise FuncamError(
                f"{origin} holds {kind} in {key!r}; the training failed or the file is damaged: use another"
            )


def _with_computed_buffers(model: nn.Module, name: str, options: Mapping[str, Any]) -> nn.Module:
    """Buffers that no state dict holds need the ordinary constructor, which computes them."""
    with torch.random.fork_rng(devices=[]):
        full = construct(name, **options)
    full.load_state_dict(model.state_dict(), assign=True)
    return full


def _advice(name: str, state: Mapping[str, Tensor]) -> str:
    """The name of the network that the file fits, or what to do where there is none."""
    size = sum(tensor.numel() for tensor in state.values())
    # Building all 81 takes seconds; another number of classes moves the size by a few million at most.
    for other in sorted(NETS, key=lambda net: abs(_published_size(net) - size))[:_TRIED]:
        if other != name and _fits(other, state):
            return f"the file fits {other}: use --net {other}"
    return "it fits no other network of the zoo either; give the state dict of an unchanged torchvision network"


def _published_size(name: str) -> int:
    if name == "scenes":
        return sum(parameter.numel() for parameter in meta_network(name).parameters())
    return int(default(name).meta["num_params"])


def _fits(name: str, state: Mapping[str, Tensor]) -> bool:
    state = _in_todays_names(name, state)
    model = meta_network(name)
    counters = "num_batches_tracked"
    if {k for k in shapes(model) if not k.endswith(counters)} != {k for k in state if not k.endswith(counters)}:
        return False
    rebuild = partial(meta_network, name, **_read_off(name, model, state))
    return not _conflicts(rebuild(), state)
