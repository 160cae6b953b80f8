"""What of a model's outputs a score depends on: the default layer is one that leads there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from funcam.errors import FuncamError
from funcam.network.known import Known
from funcam.network.outputs import differentiable, mapped
from funcam.network.random_numbers import own_random_numbers
from funcam.network.samples import kind_of, sample_of
from funcam.network.tap import Inputs, Manner, run

Read = Callable[[Any], Tensor]
"""A score: what a model returned -> numbers."""


@dataclass(frozen=True, eq=False)
class Wanted:
    """The values among the outputs that a score depends on.

    Attributes:
        masks: for each tensor of floating point in the outputs 1 where the score depends on it, 0 elsewhere; None for a
            tensor that it doesn't depend on at all.
        key: the same for the same values.
    """

    masks: tuple[Tensor | None, ...]
    key: tuple[str, ...]

    def of(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """What the score depends on in outputs of the same kind, zeros elsewhere."""
        floating = [t for t in tensors if t.is_floating_point()]
        return [t * mask.to(t) for t, mask in zip(floating, self.masks, strict=False) if mask is not None]


def wanted_by(
    model: nn.Module, inputs: Inputs, manner: Manner, read: Read, known: Known, exactly: bool = False
) -> Wanted | None:
    """What a score depends on, found out from what the model returns for a sample; None where that is everything.

    Args:
        model: a module; it is only read.
        inputs: what goes into it; it is run on a sample of them.
        manner: how.
        read: the score.
        known: what is known of the model.
        exactly: False where of logits `[B, N]`, or of a map of them, any class stands for all.

    Raises:
        FuncamError: the score has no derivative by the outputs.
    """
    outputs = known.outputs.get(kind_of(inputs), lambda: _outputs(model, sample_of(inputs), manner))
    with torch.inference_mode(False), torch.enable_grad():
        given = mapped(outputs, lambda t: t.detach().clone())
        tensors = differentiable(given, type(model).__name__)
        for tensor in tensors:  # ours
            tensor.requires_grad = True
        try:
            score = read(given)
        except FuncamError:  # it is told of the whole batch, when that is explained
            return None
        everything = len(tensors) == 1 and tensors[0].ndim in (2, inputs.images.ndim)
        if not isinstance(score, Tensor) or (everything and score is tensors[0]):
            return None
        asked = score.requires_grad
        gradients = torch.autograd.grad(score.sum(), tensors, allow_unused=True) if asked else [None] * len(tensors)
    if all(g is None for g in gradients):
        raise FuncamError(why_no_derivative(type(model).__name__))
    if everything and not exactly:
        return None
    masks = tuple(None if g is None or not g.any() else g != 0 for g in gradients)
    if exactly and all(mask is None for mask in masks):  # a mask without pixels, say
        return None
    return Wanted(masks, tuple("" if mask is None else _digest(mask) for mask in masks))


def why_no_derivative(whose: str) -> str:
    """Why a score without a derivative can't be explained.

    Args:
        whose: outputs it was to be a function of.
    """
    return (
        f"the target depends on nothing that {whose} returns, or not by a derivative (detach, argmax, item, numpy and "
        "comparisons cut it off); give a differentiable function of the outputs"
    )


def _outputs(model: nn.Module, sample: Inputs, manner: Manner) -> Any:
    with own_random_numbers(sample.images), torch.no_grad():
        return run(model, sample, {}, manner)


def _digest(mask: Tensor) -> str:
    return hashlib.sha256(mask.cpu().numpy().tobytes()).hexdigest() + str(tuple(mask.shape))
