"""A graph that is differentiated once, with respect to the images alone, by plain autograd.

A BatchNorm with running statistics is a factor and a summand for each channel, but torch's derivative of it has its
input kept and reads it, for weights whose gradient nobody asks for. Here the gradient is multiplied, and nothing kept.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from funcam.network.cuts import Cut, make_cut
from funcam.network.graph import Graph, acyclic
from funcam.network.recent import Recent
from funcam.network.rewrites.batchnorm import put
from funcam.network.twin import twin

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)  # exactly these: a class derived from them may do otherwise


class _Normalised(torch.autograd.Function):
    """A BatchNorm in evaluation mode whose gradient is that of its input alone."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, norm: nn.BatchNorm2d) -> torch.Tensor:
        mean, variance, weight = norm.running_mean, norm.running_var, norm.weight
        assert variance is not None
        inverse = (1 / (variance.double() + norm.eps).sqrt()).to(variance.dtype)
        ctx.save_for_backward(*([inverse] if weight is None else [inverse, weight]))
        return functional.batch_norm(x, mean, variance, weight, norm.bias, False, 0.0, norm.eps)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        shape = (-1, *[1] * (gradient.ndim - 2))
        inverse, *weights = (tensor.view(shape) for tensor in ctx.saved_tensors)
        passed = gradient * inverse  # by one after the other, as torch does, so that the bits are the same
        for weight in weights:
            passed.mul_(weight)
        return passed.to(gradient.dtype), None


class _Norm(nn.Module):
    """In the place of a BatchNorm."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normalised: torch.Tensor = _Normalised.apply(x, self.norm)
        return normalised


def once(graph: Graph) -> Graph:
    """The graph for one derivative by the images, of plain autograd: the same function, to the bit, passed back sooner.

    Args:
        graph: a graph in evaluation mode; what it shares with the model stays shared.

    Example:
        >>> from funcam.network.graph import trace
        >>> graph = trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval())
        >>> x = torch.rand(1, 3, 8, 8)
        >>> torch.equal(once(graph).module(x), graph.module(x))
        True
    """
    if graph not in _ONCE:
        _ONCE[graph] = _made(graph)
    return _ONCE[graph]


def cut_at(graph: Graph, layer: str) -> Cut:
    """A graph cut at a layer, as `make_cut` does it; kept with the graph."""
    return _CUTS.setdefault(graph, Recent()).get(layer, lambda: make_cut(graph, layer))


_ONCE: weakref.WeakKeyDictionary[Graph, Graph] = weakref.WeakKeyDictionary()
_CUTS: weakref.WeakKeyDictionary[Graph, Recent[Cut]] = weakref.WeakKeyDictionary()


def _made(graph: Graph) -> Graph:
    root, copy = twin(graph.module), fx.Graph()
    placed: dict[fx.Node, fx.Node] = {}
    output = copy.graph_copy(graph.module.graph, placed)
    copy.output(output)
    for path in {str(node.target) for node in copy.nodes if node.op == "call_module"}:
        norm = root.get_submodule(path)
        if type(norm) in _NORMS and norm.running_var is not None:
            put(root, path, _Norm(norm))
    return graph.copied(acyclic(fx.GraphModule(root, copy, graph.model).eval()), placed)
