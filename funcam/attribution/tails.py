"""The rest of a network behind its cuts, as one function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from funcam.network import derivative
from funcam.network.cut_runs import run_cut
from funcam.network.outputs import mapped, unpacked
from funcam.network.settled import ClassRows, Settled
from funcam.network.tap import Inputs
from funcam.network.taps import run_tapped
from funcam.targets.target import Target

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
    return derivative.functional(function, *inputs)


def as_they_are(logits: torch.Tensor) -> tuple[torch.Tensor, Tensors]:
    """A tail that is nothing; what is explained may write into the logits."""
    return logits.clone(), ()


def run_tail(
    inputs: Tensors,
    tail: Tail,
    settled: Callable[[Any], tuple[Target, torch.Tensor]],
    gradient: bool,
    tapped: bool,
    plain: bool,
) -> tuple[Tensors, Any, Target, torch.Tensor, Pullback | None]:
    """The tail's features and outputs, the target, its scores, and (if asked for) their pullback.

    Args:
        inputs: what goes into the tail.
        tail: `(*inputs) -> (outputs, features)`.
        settled: the outputs -> the target and its scores.
        gradient: whether the pullback is asked for.
        tapped: whether the model's own code is run, or plain autograd may be what differentiates.
        plain: whether it is; sooner than `torch.func` by a third of a millisecond for each guided ReLU.
    """
    if not gradient:
        outputs, features = tail(*inputs)
        return features, outputs, *settled(outputs), None
    seen: list[Any] = []

    def scores(*inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        outputs, features = tail(*inputs)
        target, values = settled(outputs)
        tensors, rest = unpacked(outputs)
        seen[:] = [(target, rest)]
        return values, (tensors, features, target.indices, target.constants)

    values, pullback, besides = vjp_of(scores, inputs, tapped, plain)
    if plain and not torch.is_grad_enabled():  # what was recorded is the pullback's alone
        values, besides = mapped((values, besides), torch.Tensor.detach)
    tensors, features, indices, constants = besides
    target, rest = seen[0]
    class_score = target.class_score and replace(target.class_score, classes=indices)
    bound = replace(target, indices=indices, constants=tuple(constants), class_score=class_score)
    return tuple(features), rest(tensors), bound, values, pullback


def run_by_rows(
    inputs: Tensors, tail: Tail, rows: ClassRows, settled: Callable[[Any], tuple[Target, torch.Tensor]]
) -> tuple[Tensors, Any, Target, torch.Tensor, Pullback]:
    """As `run_tail` with the pullback, for logits of classes: of the head's last layer their rows alone are run back.

    Args:
        inputs: the features.
        tail: as in `run_tail`, of a graph that was cut once.
        rows: its head.
        settled: as in `run_tail`; nothing but logits are explained.
    """
    given, by_features, features = derivative.functional(lambda A: tail(A, rows.before), *inputs)
    channels = rows.layer(given)
    outputs = rows.logits(channels)
    target, values = settled(outputs)
    classes = target.constants[0].expand(channels.shape[0], -1)
    by_channels = _of_channels(rows, channels, classes)

    def pullback(cotangents: torch.Tensor) -> Tensors:
        of_channels = by_channels(cotangents)[0].reshape(*classes.shape, -1)
        return by_features(_through_layer(rows.weight, classes, of_channels).reshape(given.shape))

    return features, outputs, target, values, pullback


_FEW = 16
"""Of more classes each image's own rows are more to read than all rows once, which all classes share."""


def _through_layer(weight: torch.Tensor, classes: torch.Tensor, of_channels: torch.Tensor) -> torch.Tensor:
    """What a layer gives back for some of its channels, `[B, K]`, `[B, K, cells] -> [B, C, cells]`."""
    if classes.shape[1] <= _FEW:
        return weight[classes].flatten(2).mT @ of_channels
    of_all = of_channels.new_zeros(len(classes), len(weight), of_channels.shape[2])
    return weight.flatten(1).mT @ of_all.scatter_add(1, classes[..., None].expand_as(of_channels), of_channels)


def _of_channels(rows: ClassRows, channels: torch.Tensor, classes: torch.Tensor) -> Pullback:
    """The pullback of the logits of classes, `[B, K]`, to their channels among those of the last layer."""
    if rows.behind is None:
        return lambda cotangents: (cotangents,)
    index = classes.view(*classes.shape, *[1] * (channels.ndim - 2)).expand(-1, -1, *channels.shape[2:])
    return derivative.functional(lambda own: (rows.logits(own), ()), channels.gather(1, index))[1]
