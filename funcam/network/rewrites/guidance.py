"""Guided backpropagation as a rewrite of the traced graph: every ReLU, module or function, becomes a guided one."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from funcam.errors import FuncamError
from funcam.network.believed import graph_of
from funcam.network.graph import Graph, acyclic
from funcam.network.images import check_images
from funcam.network.rewrites.relus import relu_of
from funcam.network.traits import OTHER_ACTIVATIONS, operation


class GuidedReLU(torch.autograd.Function):
    """`min(max(x, 0), c)` whose gradient also stops negative gradients: `R_in = R_out [0 < x < c] [R_out > 0]`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: torch.Tensor, ceiling: float) -> torch.Tensor:
        return x.relu() if ceiling == math.inf else x.clamp(0, ceiling)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[torch.Tensor, float], output: torch.Tensor) -> None:
        ctx.ceiling = inputs[1]
        ctx.save_for_backward(output)  # which the next layer keeps anyway; its input needn't be kept beside it

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (y,) = ctx.saved_tensors  # between 0 and c where x is
        aten = torch.ops.aten  # a ReLU's own derivative: one pass over the numbers instead of five
        if ctx.ceiling == math.inf:
            return aten.threshold_backward(gradient, y, 0).relu_(), None
        return aten.hardtanh_backward(gradient, y, 0.0, ctx.ceiling).relu_(), None


def guided_relu(x: torch.Tensor, ceiling: float = math.inf) -> torch.Tensor:
    """ReLU (with `ceiling=6.0` ReLU6) with the guided gradient.

    Example:
        >>> gradient = torch.func.grad(lambda x: (guided_relu(x) * torch.tensor([1.0, -1.0, 1.0])).sum())
        >>> gradient(torch.tensor([1.0, 1.0, -1.0]))
        tensor([1., 0., 0.])
    """
    if not x.is_floating_point():  # indices that are clamped
        return x.clamp(0, None if ceiling == math.inf else int(ceiling))
    return GuidedReLU.apply(x, ceiling)  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class Guided:
    """A model whose ReLUs are guided. Made by `guided`.

    Attributes:
        network: a pure function images `[B, channels, *size]` -> logits, equal to the model's.
        rewritten: the names of the ReLUs that were rewritten, one for each call.
        left: the names of other activations (SiLU, GELU, ...), for which guided backpropagation is undefined; they
            keep their own gradient.
        graph: its graph, with the names of the model's nodes.
    """

    network: Callable[[torch.Tensor], Any]
    rewritten: tuple[str, ...]
    left: tuple[str, ...]
    graph: Graph = field(repr=False)


def guided(model: nn.Module, images: torch.Tensor | None = None) -> Guided:
    """The model with every ReLU and ReLU6 rewritten for guided backpropagation: modules, functions, in-place or not.

    So are those of another name: `clamp(min=0)`, `maximum` with zeros, a threshold of 0, a leaky ReLU of slope 0,
    `x * (x > 0)`, `where(x > 0, x, 0)`, `masked_fill(x < 0, 0)`.

    Args:
        model: a module; it is only read.
        images: `[B, channels, *size]`, for a model that `torch.fx` can't follow and that has to be exported.

    Raises:
        FuncamError: there is no ReLU to rewrite, or one is out of reach inside a module of torch's.

    Example:
        >>> len(guided(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.ReLU6(inplace=True))).rewritten)
        2
    """
    if images is not None:
        check_images(images)
    graph = graph_of(model, images)
    if graph not in _CACHE:
        _CACHE[graph] = _rewrite(graph)
    return _CACHE[graph]


_CACHE: weakref.WeakKeyDictionary[Graph, Guided] = weakref.WeakKeyDictionary()


def _rewrite(graph: Graph) -> Guided:
    copy = fx.Graph()
    placed: dict[fx.Node, fx.Node] = {}
    rewritten, left = [], []
    for name, node in _named(graph):
        relu = relu_of(graph, node)
        if relu is None:
            placed[node] = copy.node_copy(node, placed.__getitem__)
            left += [name] if operation(graph, node) in OTHER_ACTIVATIONS else []
        else:
            placed[node] = copy.call_function(guided_relu, (placed[relu.given], relu.ceiling))
            rewritten.append(name)
    _refuse_hidden(graph)
    if not rewritten:
        raise FuncamError(
            f"guided backpropagation is undefined for {graph.model}: it has no ReLU to rewrite"
            f"{f' ({len(left)} other activations)' if left else ''}; use grad-cam, or a network with ReLUs"
        )
    module = acyclic(fx.GraphModule(graph.module, copy, graph.model).eval())
    return Guided(module, tuple(rewritten), tuple(left), graph.copied(module, placed))


def _named(graph: Graph) -> list[tuple[str, fx.Node]]:
    names = {node: name for name, node in graph.nodes.items()}
    return [(names.get(node, node.name), node) for node in graph.module.graph.nodes]


def _refuse_hidden(graph: Graph) -> None:
    """A ReLU inside one of torch's own compound modules can't be reached by a rewrite of the graph: say so."""
    for name, node in _named(graph):
        if node.op != "call_module":
            continue
        for module in graph.module.get_submodule(str(node.target)).modules():
            activation = getattr(module, "activation", None) or getattr(module, "nonlinearity", None)
            if activation in (functional.relu, "relu") or isinstance(activation, nn.ReLU):
                raise FuncamError(
                    f"guided backpropagation can't reach the ReLU inside {name!r} ({type(module).__name__}) of "
                    f"{graph.model}; use grad-cam, or write that module's activation out in the model"
                )
