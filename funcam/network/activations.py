"""ReLUs in a graph: modules, functions, methods and ATen operations alike."""

from __future__ import annotations

import math

from torch import fx, nn

from funcam.network.graph import Graph
from funcam.network.layers import operation

_RELUS = {"relu": math.inf, "relu6": 6.0}


def relu_ceiling(graph: Graph, node: fx.Node) -> float | None:
    """Where the ReLU that the node is flattens out again (6, or never); None for any other node."""
    name = operation(graph, node)
    if name == "hardtanh" and node.op == "call_function":  # what the exporter makes of ReLU6
        low, high = (*node.args[1:], -1.0, 1.0)[:2] if len(node.args) != 2 else (node.args[1], 1.0)
        return float(high) if low == 0 and isinstance(high, int | float) else None
    if node.op == "call_module":
        module = graph.module.get_submodule(str(node.target))
        return 6.0 if isinstance(module, nn.ReLU6) else math.inf if isinstance(module, nn.ReLU) else None
    return _RELUS.get(name)
