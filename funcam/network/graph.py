"""Tracing a model down to its leaf operations, as a flat graph without operations in place."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torchvision
from torch import fx, nn
from torchvision.models import feature_extraction

from funcam.errors import FuncamError
from funcam.network.failures import trouble_of
from funcam.network.inplace import InplaceProxy, free_of_inplace
from funcam.network.twin import twin
from funcam.network.wrappers import forward_of, parameters_of

_COUNTER = re.compile(r"(?<=.)_[0-9]+$")  # what fx and torchvision append to the names of repeated nodes
# torchvision's own tracer stops at every module of torchvision.ops (Conv2dNormActivation, ...); this one looks inside.
_TRACER_OPTIONS: dict[str, Any] = {"autowrap_modules": (math, torchvision.ops), "leaf_modules": []}


@dataclass(frozen=True, eq=False)
class Graph:
    """A model as a flat graph without operations in place.

    Attributes:
        module: the graph module; its leaf modules belong to a twin of the model and share its parameters.
        nodes: name -> node, in order of execution, with torchvision's node names (`layer4.2.relu_2`).
        outputs: module path -> the node that holds what the module returned (its first call).
        inputs: module path -> the node that the module was given (its first call).
        model: the class name of the model, for messages.
        image: the shape of the images that the graph is for, where it is for one (`torch.export`'s are).
        shapes: the shape of each node for one such image, where they are known.
    """

    module: fx.GraphModule
    nodes: dict[str, fx.Node]
    outputs: dict[str, fx.Node]
    inputs: dict[str, fx.Node]
    model: str
    image: tuple[int, ...] | None = None
    shapes: dict[fx.Node, tuple[int, ...]] | None = None


class ConfinedTracer(feature_extraction.NodePathTracer):  # type: ignore[misc]
    """torchvision's tracer, seen by its own thread only, that remembers what each module was given and returned.

    While any `fx` tracer runs, `nn.Module.__call__` is patched for the whole process; without the check below a
    model that runs in another thread in the meantime would be traced, and fail.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.thread = threading.get_ident()
        self.name_counts: dict[str, int] = {}
        self.module_outputs: dict[str, fx.Node] = {}
        self.module_inputs: dict[str, fx.Node] = {}

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return InplaceProxy(node, self)

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if threading.get_ident() != self.thread:
            return forward(*args, **kwargs)
        out = super().call_module(m, forward, args, kwargs)
        path = self.path_of_module(m)
        if isinstance(out, fx.Proxy):
            self.module_outputs.setdefault(path, out.node)
        if args and isinstance(args[0], fx.Proxy):
            self.module_inputs.setdefault(path, args[0].node)
        return out

    def _get_node_qualname(self, module_qualname: str, node: fx.Node) -> str:
        """torchvision's names, without its search through all earlier ones for every node."""
        name = module_qualname
        if node.op != "call_module":
            name = f"{module_qualname}.{node}" if module_qualname else str(node)
        name = _COUNTER.sub("", name)
        count = self.name_counts[name] = self.name_counts.get(name, -1) + 1
        return f"{name}_{count}" if count else name

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if threading.get_ident() != self.thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)


@contextmanager
def confined_tracing() -> Iterator[None]:
    """`create_feature_extractor` makes its tracer itself: inside this context it makes a confined one."""
    with mock.patch.object(feature_extraction, "NodePathTracer", ConfinedTracer):
        yield


def trace(model: nn.Module) -> Graph:
    """Trace a twin of the model to its leaf operations and free the graph of in-place operations.

    Args:
        model: a module that `torch.fx` can follow; it is only read.

    Returns:
        The graph, in evaluation mode.

    Raises:
        FuncamError: the model's code depends on values, so that it has no fixed graph; or it writes into a view of a
            tensor that is used again.

    Example:
        >>> graph = trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True)))
        >>> list(graph.nodes), graph.module.get_submodule("1").inplace
        (['input', '0', '1'], False)
    """
    name = type(model).__name__
    tracer = ConfinedTracer(**_TRACER_OPTIONS)
    try:
        traced = tracer.trace(one_argument(twin(model)))
    except Exception as error:
        raise FuncamError(f"{name} can't be traced: {trouble_of(error)}") from error
    nodes = {path: node for node, path in tracer.node_to_qualname.items()}
    free_of_inplace(traced, tracer.root, name)
    module = fx.GraphModule(tracer.root, traced, name).eval()
    return Graph(module, nodes, tracer.module_outputs, tracer.module_inputs, name)


def one_argument(model: nn.Module) -> nn.Module:
    """Let a twin take the images alone: its other arguments, which are optional, keep their defaults.

    fx looks for `forward` in the class; one that was assigned to the instance is put there.
    """
    own = vars(model).get("forward")
    parameters = parameters_of(forward_of(model))
    if own is None and len(parameters) < 2 and all(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters):
        return model
    function = type(model).forward if own is None else getattr(own, "__func__", None) or staticmethod(own)
    vars(model).pop("forward", None)
    with_forward(model, function)
    if len(parameters) > 1:
        with_forward(model, lambda self, images: function.__get__(self)(images))
    return model


def with_forward(model: nn.Module, function: Any) -> None:
    """Give a twin another `forward`, by a class of its own."""
    model.__class__ = type(type(model).__name__, (type(model),), {"forward": function})
