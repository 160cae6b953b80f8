"""The rest of a network behind its cuts, as one function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.func import vjp

from funcam.network import derivative
from funcam.network.cutting import run_cut
from funcam.network.settled import Settled
from funcam.network.tap import Inputs
from funcam.network.taps import run_tapped

Tensors = tuple[torch.Tensor, ...]
Pullback = Callable[[torch.Tensor], Tensors]
Tail = Callable[..., tuple[Any, Tensors]]


def tail_of(
    cuts: Sequence[Settled], beside: Sequence[Settled], source: Callable[[], nn.Module] | None, given: Inputs
) -> tuple[Tensors, Tail, bool]:
    """All layers in one pass. The tail is a function of the cuts; it also gives the features of the layers beside."""
    if source is None or cuts[0].way == "functions":
        A, head = run_cut(cuts[0], source, given)
        return (A,), lambda features: (head(features), (features,)), False
    tapped = run_tapped([*cuts, *beside], source, given)
    count = len(cuts)
    if not beside:
        return tapped.inputs, tapped.tail, tapped.plain
    return tapped.inputs[:count], lambda *inputs: tapped.tail(*inputs, *tapped.inputs[count:]), tapped.plain


def vjp_of(
    function: Callable[..., tuple[torch.Tensor, Any]], inputs: Tensors, tapped: bool, plain: bool
) -> tuple[torch.Tensor, Pullback, Any]:
    """Values, pullback, and what is returned besides; of a graph as of a model's own code."""
    if tapped:
        return derivative.vjp(function, inputs, plain)[:3]
    values, pullback, *aux = vjp(function, *inputs, has_aux=True)
    return values, pullback, aux[0]
