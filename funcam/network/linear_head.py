"""A head that is the mean over space and one linear layer: the gradient of a logit is a row, the same in every cell."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from funcam.network.casting import uncast
from funcam.network.checks import cotangents, difference
from funcam.network.derivative import along
from funcam.network.graph import Graph
from funcam.network.heads import linear_behind
from funcam.network.known import known_of
from funcam.network.layers import find_node
from funcam.network.samples import scattered
from funcam.network.settled import LinearHead, Settled
from funcam.network.tracing import is_batched, is_compiled


def linear_head(
    settled: Settled,
    source: Callable[[], nn.Module] | None,
    images: Tensor,
    A: Tensor,
    head: Callable[[Tensor], Any],
) -> LinearHead | None:
    """The linear layer behind a cut, if the head is nothing but the mean over space and that layer; else None.

    The graph says so (`linear_behind`), and a check, once for a model state and kind of images: the head's derivative
    at some features is that row, divided by the number of cells, in every cell. Nothing is found where there are no
    numbers to check with, nor where the derivative is to be differentiated in turn.

    Args:
        settled: the cut.
        source: the model as it is now; None for a pair of functions.
        images: the images.
        A: features `[B, C, *S]`.
        head: features -> what the model returns.
    """
    if torch.is_grad_enabled() or source is None or settled.way != "fx" or not len(A):
        return None
    if not settled.linear:
        if is_compiled() or is_batched(images):
            return None
        settled.linear.append(_found(settled, source(), tuple(images.shape), A, head))
    return settled.linear[0]


def _found(
    settled: Settled, model: nn.Module, image: tuple[int, ...], A: Tensor, head: Callable[[Tensor], Any]
) -> LinearHead | None:
    traced = known_of(model).traced(model)
    assert traced is not None  # the cut is of that graph
    node = find_node(traced.graph, settled.layer)
    linear = linear_behind(traced.graph, node, lambda: traced.shapes(image))
    path = None if isinstance(linear, str) else _weight_path(traced.graph, linear)
    if path is None:
        return None
    found = LinearHead(traced.graph.module, path)
    return found if _is_derivative(found.weight, A, head) else None


def _weight_path(graph: Graph, linear: fx.Node) -> str | None:
    """Where the weights of a linear layer are; None where they are computed from others, or it is another's layer."""
    if linear.op == "call_module":
        return f"{linear.target}.weight" if type(graph.module.get_submodule(str(linear.target))) is nn.Linear else None
    weight = linear.args[1] if len(linear.args) > 1 else linear.kwargs.get("weight")
    if linear.target is not functional.linear or not isinstance(weight, fx.Node) or weight.op != "get_attr":
        return None
    return str(weight.target)


def _is_derivative(weight: Tensor, A: Tensor, head: Callable[[Tensor], Any]) -> bool:
    """Whether the head's derivative is these rows, in every cell, at features without a pattern."""
    features = scattered(tuple(A.shape), A.dtype, A.device)
    if not isinstance(head(features), Tensor):  # they are wrapped in what no derivative is made of
        return False
    (logits,), (g,), *_ = along(lambda given: ([head(given)], None), [features], cotangents, plain=False)
    if logits.shape != (len(A), len(weight)) or weight.shape[1] != A.shape[1]:
        return False
    (cotangent,) = cotangents([logits])
    with uncast(A.device):
        rows = cotangent.to(weight.dtype) @ weight / math.prod(A.shape[2:])
    everywhere = rows.to(g.dtype).view(*rows.shape, *[1] * (A.ndim - 2)).expand_as(g)
    return not difference([g], [everywhere])
