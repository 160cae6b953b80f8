"""Which nodes of a graph are ReLUs, whatever they are called."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from funcam.network.graph import Graph
from funcam.network.traits import module_of, operation, relu_ceiling

_CLAMPS = ("clamp", "clip", "clamp_min")
_THRESHOLDS = ("threshold", "_threshold")
_LEAKY = ("leakyrelu", "leaky_relu")
_MAXIMA = ("maximum", "max")


@dataclass(frozen=True)
class ReLU:
    """A node that is `min(max(x, 0), ceiling)`.

    Attributes:
        given: the node of x.
        ceiling: where it flattens out again: 6, or another number of a hardtanh's; infinity where it never does.
    """

    given: fx.Node
    ceiling: float


def relu_of(graph: Graph, node: fx.Node) -> ReLU | None:
    """The ReLU that a node is, by its own name or another one; None for any other node.

    Example:
        >>> from funcam.network.graph import trace
        >>> graph = trace(torch.nn.Sequential(torch.nn.ReLU6(), torch.nn.Threshold(0, 0), torch.nn.Threshold(1, 0)))
        >>> found = [relu_of(graph, node) for node in graph.module.graph.nodes]
        >>> [relu.ceiling if relu else None for relu in found]
        [None, 6.0, inf, None, None]
    """
    ceiling = relu_ceiling(graph, node)
    if ceiling is None:
        ceiling = _ceiling(graph, node)
    if ceiling is not None:
        given = node.args[0] if node.args else node.kwargs["input"]
        assert isinstance(given, fx.Node)
        return ReLU(given, ceiling)
    if operation(graph, node) in _MAXIMA:
        operands = [*node.args, *node.kwargs.values()]
        for one, other in (operands, operands[::-1]) if len(operands) == 2 else ():
            if isinstance(one, fx.Node) and _is_zero(graph, other, like=one):
                return ReLU(one, math.inf)
    return None


def _ceiling(graph: Graph, node: fx.Node) -> float | None:
    name = operation(graph, node)
    if name in _CLAMPS:
        low, high = _numbers(graph, node, ("min", "max"), (None, None))
        return {None: math.inf, 6: 6.0}.get(high) if low == 0 and low is not None else None
    if name in _THRESHOLDS:
        return math.inf if _numbers(graph, node, ("threshold", "value"), (None, None)) == [0, 0] else None
    if name in _LEAKY:
        return math.inf if _numbers(graph, node, ("negative_slope",), (0.01,)) == [0] else None
    return None


def _numbers(graph: Graph, node: fx.Node, names: Sequence[str], usual: Sequence[Any]) -> list[Any]:
    """What an operation is given beside its input, by these names or in this order."""
    if node.op == "call_module":
        return [getattr(module_of(graph.module, node), name) for name in names]
    by_name = dict(zip(names, usual, strict=True)) | dict(zip(names, node.args[1:], strict=False)) | node.kwargs
    return [by_name[name] for name in names]


def _is_zero(graph: Graph, value: Any, like: fx.Node) -> bool:
    """Whether it is zero whatever the image is, and of no other shape than what it is compared with."""
    if not isinstance(value, fx.Node):
        return False
    if value.op == "get_attr":
        held = getattr(graph.module, str(value.target), None)
        return isinstance(held, torch.Tensor) and not (held.ndim or held.requires_grad or held.any())
    return operation(graph, value) == "zeros_like" and value.args[:1] == (like,)
