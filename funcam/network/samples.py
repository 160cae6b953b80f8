"""What a check of a model holds for, and the image that it is done with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules import module as modules

from funcam.network.fixed import is_captured
from funcam.network.state import told
from funcam.network.tap import Inputs
from funcam.network.tracing import is_batched, is_compiled, untracked
from funcam.network.values import numbers_in

Shape = tuple[int, ...]

_MOST_BYTES = 16
"""So many a number takes at most."""


def kind_of(inputs: Inputs) -> tuple[Any, ...]:
    """What a check holds for: shape, type and device of the images, autocast, the values of what else goes in, and
    whether there are hooks on all modules, which make another derivative of every model.

    Of tensors that have dimensions it is the shape, the type and the device.
    """
    images = inputs.images
    kind = images.device.type
    casting = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    given = (*images.shape[1:], images.dtype, images.device, inputs.wrt, inputs.bare, inputs.last)
    alone = (*given, casting, bool(modules._global_backward_hooks))
    if not inputs.has_others:  # asked several times in each call
        return alone
    return (*alone, told(inputs.args, dict(inputs.kwargs), tensor=_kind_of_tensor))


def _kind_of_tensor(tensor: Tensor) -> tuple[Any, ...]:
    """Its shape, type and device, and the number of a flag, an index, a factor: the model's code may ask for it.

    What has dimensions has one for each image, an age, say, and is data, as the images are.
    """
    kind = (tuple(tensor.shape), tensor.dtype, tensor.device)
    own = untracked(tensor)
    if tensor.ndim or is_batched(tensor) or is_compiled() or is_captured(own):
        return kind
    return (*kind, numbers_in(own.cpu(), _MOST_BYTES))


def sample_of(inputs: Inputs) -> Inputs:
    """One image to check with: the first, or one of ours where the images' values can't be looked at."""
    images = inputs.images
    if inputs.has_others:  # who knows which of the others have a row for each image
        return inputs
    if len(images) and not is_batched(images):
        sample = untracked(images)[:1].detach()
        if bool(sample.isfinite().all()):
            return replace(inputs, images=sample)
    return replace(inputs, images=numbers((1, *images.shape[1:]), images.dtype, images.device))


def numbers(shape: Shape, dtype: torch.dtype, device: torch.device) -> Tensor:
    """An image of numbers between -1 and 1, always the same, made without the random state."""
    count = torch.Size(shape).numel()
    return torch.arange(count, dtype=torch.float64, device="cpu").sin().view(shape).to(device=device, dtype=dtype)


def scattered(shape: Shape, dtype: torch.dtype, device: torch.device, seed: int = 0) -> Tensor:
    """Numbers between -1 and 1 without a pattern, always the same; no random state is touched."""
    count = torch.Size(shape).numel()
    spread = ((torch.arange(count, dtype=torch.float64, device="cpu") + 1) * 12.9898 + seed * 78.233).sin() * 43758.5453
    return (2 * spread.frac().abs() - 1).view(shape).to(device=device, dtype=dtype)
