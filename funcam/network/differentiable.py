"""By which of what it is given an operation of a graph has a derivative, as far as its kind says."""

from __future__ import annotations

import operator
from collections.abc import Sequence

from torch import fx

from funcam.network.graph import Graph
from funcam.network.layers import GivenTo
from funcam.network.traits import Names, operation, reads_shape

_COMPARISONS: Names = frozenset(
    (
        *("eq", "ne", "ge", "gt", "le", "lt", "not_equal", "equal", "greater", "greater_equal", "less", "less_equal"),
        *("isnan", "isinf", "isfinite", "isclose", "any", "all", "nonzero", "count_nonzero"),
        *("logical_and", "logical_not", "logical_or", "logical_xor"),
    )
)
_INDICES: Names = frozenset(("argmax", "argmin", "argsort", "bucketize", "searchsorted", "one_hot", "multinomial"))
_STEPS: Names = frozenset(("round", "floor", "ceil", "trunc", "fix", "sign", "heaviside", "floor_divide", "floordiv"))
_WHOLE_NUMBERS: Names = frozenset(("bool", "long", "int", "short", "char", "byte"))
_CUT_OFF: Names = frozenset(("data", "detach", "detach_"))
_NEW: Names = frozenset(
    ("new_zeros", "new_ones", "new_full", "new_empty", "new_tensor", "full_like", "rand_like", "randn_like")
)
_NONE = _COMPARISONS | _INDICES | _STEPS | _WHOLE_NUMBERS | _CUT_OFF | _NEW
_ONE_ONLY: Names = frozenset(("to", "type_as", "view_as", "reshape_as", "expand_as"))
"""The other argument says a shape or a type."""
_WITH_INDICES: Names = frozenset(("topk", "sort", "max", "min", "median", "nanmedian", "mode", "kthvalue")) | {
    "cummax",
    "cummin",
}
"""A pair of values and whole numbers."""


def differentiable(graph: Graph) -> GivenTo:
    """What each node of a graph has a derivative by: nothing behind a comparison, no index of the largest value.

    Example:
        >>> from torch import nn
        >>> from funcam.network.graph import trace
        >>> graph = trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
        >>> [differentiable(graph)(node) for node in graph.nodes.values()]
        [[], [input_1], [_0]]
    """
    return lambda node: _given(graph, node)


def _given(graph: Graph, node: fx.Node) -> Sequence[fx.Node]:
    name = operation(graph, node)
    if name in _NONE or reads_shape(graph.module, node) or _takes_indices(graph, node):
        return []
    if node.target is getattr and node.args[1] in _CUT_OFF:
        return []
    return node.all_input_nodes[:1] if name in _ONE_ONLY else node.all_input_nodes


def _takes_indices(graph: Graph, node: fx.Node) -> bool:
    """Whether a node takes the whole numbers out of a pair, by their place or their name."""
    if node.target not in (operator.getitem, getattr) or not isinstance(node.args[0], fx.Node):
        return False
    return operation(graph, node.args[0]) in _WITH_INDICES and node.args[1] in (1, -1, "indices")
