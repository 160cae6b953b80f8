"""Which nodes of a graph are ReLUs, whatever they are called."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from funcam.network.graph import Graph
from funcam.network.traits import CASTS, module_of, operation, relu_ceiling

_CLAMPS = ("clamp", "clip", "clamp_min")
_THRESHOLDS = ("threshold", "_threshold")
_LEAKY = ("leakyrelu", "leaky_relu")
_MAXIMA = ("maximum", "max")
_PRODUCTS = ("mul", "multiply")
_FILLS = ("masked_fill",)
_POSITIVE, _NEGATIVE = (
    frozenset(("gt", "ge", "greater", "greater_equal")),
    frozenset(("lt", "le", "less", "less_equal")),
)


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
    given = _larger_than_zero(graph, node) or _kept_by_a_mask(graph, node)
    return None if given is None else ReLU(given, math.inf)


def _larger_than_zero(graph: Graph, node: fx.Node) -> fx.Node | None:
    """What a node is the maximum of and zero."""
    if operation(graph, node) in _MAXIMA:
        operands = [*node.args, *node.kwargs.values()]
        for one, other in (operands, operands[::-1]) if len(operands) == 2 else ():
            if isinstance(one, fx.Node) and _is_zero(graph, other, like=one):
                return one
    return None


def _kept_by_a_mask(graph: Graph, node: fx.Node) -> fx.Node | None:
    """What a node keeps where it is positive, with zero elsewhere: `x * (x > 0)`, `where(x > 0, x, 0)`, ..."""
    for one, mask, signs, rest in _readings(operation(graph, node), node):
        if isinstance(one, fx.Node) and _tells_sign(graph, mask, one, signs) and _counts_as_zero(graph, rest, like=one):
            return one
    return None


def _readings(name: str, node: fx.Node) -> list[tuple[Any, Any, frozenset[str], Any]]:
    """What a node may keep, the mask that would say where, the signs that this tells, and what stands elsewhere."""
    given: list[Any] = [*node.args]
    if name in _PRODUCTS and len(given) == 2:
        return [(given[0], given[1], _POSITIVE, 0), (given[1], given[0], _POSITIVE, 0)]
    if name == "where" and len(given) == 3:
        mask, one, other = (given[1], given[0], given[2]) if node.op == "call_method" else given
        return [(one, mask, _POSITIVE, other), (other, mask, _NEGATIVE, one)]
    if name == "masked_fill" and len(given) == 3:
        return [(given[0], given[1], _NEGATIVE, given[2])]
    return []


def _tells_sign(graph: Graph, mask: Any, of: Any, comparisons: frozenset[str]) -> bool:
    """Whether a node says, true or 1, where another one is of a sign; zero itself may go to either side."""
    while isinstance(mask, fx.Node) and operation(graph, mask) in CASTS and mask.args:
        mask = mask.args[0]
    if not (isinstance(mask, fx.Node) and isinstance(of, fx.Node)) or len(mask.args) != 2:
        return False
    return (
        operation(graph, mask) in comparisons and mask.args[0] is of and _counts_as_zero(graph, mask.args[1], like=of)
    )


def _counts_as_zero(graph: Graph, value: Any, like: Any) -> bool:
    return _is_zero(graph, value, like) if isinstance(value, fx.Node) else type(value) in (int, float) and value == 0


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
