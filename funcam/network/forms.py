"""Which axis of inputs `[B, X, Y]` is the channels', if any: followed from the inputs to the first layer with weights.

Images have two axes beside their channels, and show it; three axes may be a signal `[B, C, T]`, features in steps
`[B, T, C]`, or a spectrogram without a channel axis `[B, T, F]`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from funcam.errors import FuncamError
from funcam.network.believed import manner_for
from funcam.network.factors import BATCH, Axis, Dims, Moved, axes_in
from funcam.network.known import known_of
from funcam.network.outputs import leaves
from funcam.network.provenance import Provenance
from funcam.network.random_numbers import own_random_numbers
from funcam.network.samples import kind_of, sample_of
from funcam.network.tap import Inputs, run
from funcam.network.tracing import is_batched, is_compiled

_CHANNELS, _STEPS = "S0", "S1"


def in_form(model: nn.Module, inputs: Inputs) -> Inputs:
    """The same inputs with their channels in front, as images have them, where the model has them elsewhere.

    Args:
        model: a module; it is only read.
        inputs: the images, as the caller gave them, and whatever else goes in.

    Example:
        >>> steps = in_form(nn.Linear(5, 2), Inputs(torch.zeros(1, 7, 5)))
        >>> steps.images.shape, steps.taken.shape
        (torch.Size([1, 5, 7]), torch.Size([1, 7, 5]))
    """
    images = inputs.images
    if images.ndim != 3 or inputs.bare or images.is_meta or is_batched(images) or is_compiled():
        return inputs
    axes = known_of(model).fact(("kept axes", kind_of(inputs)), lambda: _kept(model, inputs))
    if axes == {_CHANNELS, _STEPS}:
        return replace(inputs, images=images[:, None], bare=True)
    if axes == {_CHANNELS}:
        return replace(inputs, images=images.movedim(-1, 1), last=True)
    return inputs


def _kept(model: nn.Module, inputs: Inputs) -> set[str]:
    """Which of the two axes are still there behind the first layer with weights; none where they can't be followed."""
    sample = sample_of(inputs)
    images = sample.images.detach()
    try:
        manner = manner_for(model, sample)
    except FuncamError:  # it can't run: that is told where it is explained
        return set()
    found: list[set[str]] = []

    def watch(returned: Any) -> None:
        for _, tensor in [] if found else list(leaves(returned)):
            try:
                found.append({axis.name for dim in followed.dims_of(tensor) for axis in axes_in(dim)})
            except Moved:
                found.append(set())

    weighted = [path for path, module in model.named_modules() if path and _is_weighted(module)]
    with own_random_numbers(images), torch.no_grad(), Provenance(images, _all_placed(images)) as followed:
        outputs = run(model, replace(sample, images=images), {}, manner, watch=dict.fromkeys(weighted, watch))
    if not weighted:
        watch(outputs)
    return found[0] if found else set()


def _is_weighted(module: nn.Module) -> bool:
    return any(parameter is not None and parameter.ndim > 1 for parameter in module._parameters.values())


def _all_placed(images: torch.Tensor) -> Dims:
    count, first, second = images.shape
    return ((Axis(BATCH, count),), (Axis(_CHANNELS, first),), (Axis(_STEPS, second),))
