"""A network that is run very many times and not differentiated: BatchNorms are folded into convolutions."""

from __future__ import annotations

from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from funcam.network.graph import Graph, acyclic
from funcam.network.inplace import reuse_memory
from funcam.network.twin import twin

# Exactly these classes: what folds them does not know those derived from them.
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def fused(graph: Graph) -> fx.GraphModule:
    """The whole network with BatchNorms folded into convolutions: the same function to rounding, some passes cheaper.

    It has weights of its own, so that it must be made anew for each call: weights changed in place are not seen.

    Example:
        >>> import torch
        >>> from funcam.network.graph import trace
        >>> graph = trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval())
        >>> x = torch.rand(1, 3, 8, 8)
        >>> network = fused(graph)
        >>> len(list(network.graph.nodes)), torch.allclose(network(x), graph.module(x), atol=1e-6)
        (4, True)
    """
    root = twin(graph.module)
    copy = fx.Graph()
    copy.output(copy.graph_copy(graph.module.graph, {}))
    calls = [str(node.target) for node in copy.nodes if node.op == "call_module"]
    for node in list(copy.nodes):
        given = node.args[0] if node.args else None
        if isinstance(given, fx.Node) and _foldable(root, given, node, calls):
            _fold(root, given, node)
            node.replace_all_uses_with(given)
            copy.erase_node(node)
    reuse_memory(copy, root)
    return acyclic(fx.GraphModule(root, copy, graph.model).eval())


def _foldable(root: nn.Module, given: fx.Node, node: fx.Node, calls: list[str]) -> bool:
    """Whether a node is a BatchNorm with statistics behind a convolution that nobody else uses; each is called once."""
    if node.op != "call_module" or given.op != "call_module" or len(given.users) > 1:
        return False
    norm, conv = (root.get_submodule(str(each.target)) for each in (node, given))
    once = calls.count(str(node.target)) == calls.count(str(given.target)) == 1
    return once and isinstance(norm, _BatchNorm) and norm.running_var is not None and type(conv) in _CONVOLUTIONS


def _fold(root: nn.Module, given: fx.Node, node: fx.Node) -> None:
    conv, norm = (root.get_submodule(str(each.target)) for each in (given, node))
    path, _, name = str(given.target).rpartition(".")
    root.get_submodule(path)._modules[name] = fuse_conv_bn_eval(conv, norm)  # type: ignore[type-var, arg-type]
