"""Targets: which classes are explained, as a tensor of class indices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from funcam.errors import FuncamError

Targets = int | str | torch.Tensor | Sequence[int] | Sequence[Sequence[int]] | None


def class_targets(targets: Targets, logits: torch.Tensor) -> torch.Tensor:
    """The classes to explain for each image.

    Args:
        targets: None for the predicted class; an index for all images; ``[B]`` one index for each image; ``[B, K]``
            several for each image (lists or a tensor); ``"all"`` for every class.
        logits: what the model returned, ``[B, N]``.

    Returns:
        Class indices, ``[B]`` or ``[B, K]``, long, on the logits' device.

    Raises:
        FuncamError: another shape or type, or an index that is no class.

    Example:
        >>> class_targets([[0, 2]], torch.zeros(1, 3))
        tensor([[0, 2]])
    """
    batch, classes = logits.shape
    if targets is None:
        return logits.argmax(1)
    if isinstance(targets, str):
        if targets != "all":
            raise FuncamError(f"targets {targets!r} is not known; expected class indices, 'all' or None")
        return torch.arange(classes, device=logits.device).expand(batch, classes)
    indices = _as_indices(targets).to(logits.device)
    if indices.ndim == 0:
        indices = indices.expand(batch)
    if indices.ndim > 2 or len(indices) != batch or indices.numel() == 0:
        raise FuncamError(
            f"targets have shape {list(indices.shape)} for {batch} image{'s' * (batch != 1)}; expected [{batch}], one "
            f"class for each image, or [{batch}, K], several for each (one image, two classes: [[281, 282]])"
        )
    if is_concrete(indices) and not bool(((indices >= 0) & (indices < classes)).all()):
        wrong = indices[(indices < 0) | (indices >= classes)][0].item()
        raise FuncamError(f"class {wrong} is out of range: the model has {classes} classes, 0 to {classes - 1}")
    return indices


def _as_indices(targets: Any) -> torch.Tensor:
    try:
        indices = torch.as_tensor(targets)
    except (TypeError, ValueError, RuntimeError) as error:
        raise FuncamError(
            f"targets {targets!r} are no class indices ({error}); expected whole numbers, [B] or [B, K]"
        ) from error
    if indices.is_floating_point() or indices.is_complex() or indices.dtype == torch.bool:
        raise FuncamError(f"targets have type {indices.dtype}; expected whole numbers, class indices")
    return indices.long()


def is_concrete(tensor: torch.Tensor) -> bool:
    """Whether the tensor's values may be looked at: not while compiling or inside a ``torch.func`` transform."""
    return not torch.compiler.is_compiling() and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)
