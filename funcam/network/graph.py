"""Tracing a model down to its leaf operations, as a flat graph without operations in place."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torchvision
from torch import fx, nn
from torchvision.models import feature_extraction

from funcam.errors import FuncamError
from funcam.network.confined import confined
from funcam.network.dropped import drops, is_underived
from funcam.network.failures import trouble_of
from funcam.network.fixed import Looks
from funcam.network.inplace import InplaceProxy, free_of_inplace
from funcam.network.outside import Outside
from funcam.network.twin import Twin, twin
from funcam.network.wrappers import forward_of, parameters_of
from funcam.network.writes import ParametersWritten, Unwritten

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
        fixed: paths of the model's tensors whose values stand in it as numbers.
    """

    module: fx.GraphModule
    nodes: dict[str, fx.Node]
    outputs: dict[str, fx.Node]
    inputs: dict[str, fx.Node]
    model: str
    image: tuple[int, ...] | None = None
    shapes: dict[fx.Node, tuple[int, ...]] | None = None
    fixed: frozenset[str] = frozenset()

    @property
    def named(self) -> dict[str, fx.Node]:
        """Each name of a layer -> its node: modules by what they returned, and nodes by their own names, which win."""
        return {**self.outputs, **self.nodes}

    @property
    def layers(self) -> dict[str, fx.Node]:
        """What `named` has but the model's inputs, where there is nothing to cut."""
        return {name: node for name, node in self.named.items() if node.op != "placeholder"}

    def copied(self, module: fx.GraphModule, placed: Mapping[fx.Node, fx.Node]) -> Graph:
        """The graph with another module, whose nodes have the names of those that they were copied from.

        Args:
            module: what the copy became.
            placed: each node that was copied -> its copy.
        """
        nodes, outputs, inputs = (
            {name: placed[node] for name, node in of.items() if node in placed}
            for of in (self.nodes, self.outputs, self.inputs)
        )
        return Graph(module, nodes, outputs, inputs, self.model, self.image)


class ConfinedTracer(feature_extraction.NodePathTracer):  # type: ignore[misc]
    """torchvision's tracer, without a trace of it outside, that remembers what each module was given and returned.

    While `torch.fx`'s own `trace` runs, `nn.Module.__call__`, `nn.Module.__getattr__`, `math` and other globals are
    patched for the whole process, so that models in other threads, and the user's own tracing, go wrong. Here the
    twin's modules are given classes of their own instead, which do the same for the twin alone.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.name_counts: dict[tuple[bool, str], int] = {}
        self.taken: set[str] = set()
        self.module_outputs: dict[str, fx.Node] = {}
        self.module_inputs: dict[str, fx.Node] = {}
        self.underived: set[fx.Node] = set()

    def trace(self, root: nn.Module, concrete_args: dict[str, Any] | None = None) -> fx.Graph:
        """The graph of a twin; as `fx.Tracer.trace` without its patches."""
        self.root = root
        self.root_module_name = type(root).__name__
        self.submodule_paths = {module: name for name, module in root.named_modules()}
        self.paths = {name for name, _ in root.named_modules(remove_duplicate=False)}
        self.parameter_names = {id(parameter): name for name, parameter in root.named_parameters()}
        self.tensor_names = {id(buffer): name for name, buffer in root.named_buffers()} | self.parameter_names
        self.parameter_proxies: dict[str, fx.Proxy] = {}
        self.tensor_attrs = {value: path for path, value in _tensor_attributes(root)}
        self.graph = fx.Graph(tracer_cls=type(self))
        with confined(root, self.called, self.attribute, self._autowrap_function_ids):
            function, arguments = self.create_args_for_root(type(root).forward, True, concrete_args)
            try:
                self.create_node("output", "output", (self.create_arg(function(*arguments)),), {})
            finally:
                self.parameter_proxies.clear()  # they know the tracer, which holds the model
        return self.graph

    def create_node(self, kind: str, *what: Any, **options: Any) -> fx.Node:
        """As `fx.Tracer.create_node`; what a graph would differentiate in another way than the code is noted."""
        node: fx.Node = super().create_node(kind, *what, **options)
        if is_underived():
            self.underived.add(node)
        return node

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return InplaceProxy(node, self)

    def called(self, module: nn.Module, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """What a call of a module of the twin's returns."""
        out = self.call_module(module, call, args, kwargs)
        path = self.path_of_module(module)
        if isinstance(out, fx.Proxy):
            self.module_outputs.setdefault(path, out.node)
        if args and isinstance(args[0], fx.Proxy):
            self.module_inputs.setdefault(path, args[0].node)
        return out

    def attribute(self, value: Any) -> Any:
        """What a module's parameter looks like to its code: a proxy, so that methods called on it are recorded."""
        name = self.parameter_names.get(id(value)) if isinstance(value, nn.Parameter) else None
        if name is None:
            return value
        if name not in self.parameter_proxies:
            self.parameter_proxies[name] = self.create_proxy("get_attr", name, (), {})
        return self.parameter_proxies[name]

    def create_arg(self, a: Any) -> Any:
        """As `fx.Tracer.create_arg`, without its search through all parameters and buffers for each that is used."""
        if isinstance(a, torch.Tensor):
            name = self.tensor_names.get(id(a))
            if name is not None and self._held(name) is a:
                return self.create_node("get_attr", name, (), {})
        return super().create_arg(a)

    def _held(self, name: str) -> torch.Tensor | None:
        """The parameter or buffer that is there now."""
        path, _, last = name.rpartition(".")
        module = self.root.get_submodule(path)
        held = module._parameters.get(last)
        return module._buffers.get(last) if held is None else held

    def _get_node_qualname(self, module_qualname: str, node: fx.Node) -> str:
        """torchvision's names, without its search through all earlier ones for every node.

        An operation leaves the names of modules to these, called or not: `self.relu` beside `torch.relu`.
        """
        name, is_module = module_qualname, node.op == "call_module"
        if not is_module:
            name = f"{module_qualname}.{node}" if module_qualname else str(node)
        name = _COUNTER.sub("", name)
        numbered = self._next(is_module, name)
        while numbered in self.taken or (not is_module and numbered in self.paths):
            numbered = self._next(is_module, name)
        self.taken.add(numbered)
        return numbered

    def _next(self, is_module: bool, name: str) -> str:
        count = self.name_counts[is_module, name] = self.name_counts.get((is_module, name), -1) + 1
        return f"{name}_{count}" if count else name


def _tensor_attributes(root: nn.Module) -> Iterator[tuple[str, Any]]:
    """Tensors that modules hold as plain attributes, with their paths."""
    for path, module in root.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, torch.Tensor):
                yield f"{path}.{name}".removeprefix("."), value


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
    fixed: set[str] = set()
    try:
        with torch.inference_mode(False), torch.enable_grad():  # in inference mode tensors have no versions
            made = Twin(model, own_buffers=True, aliases=True)
            own = one_argument(made.root)
            if made.made_tensors:
                raise FuncamError(f"{name} can't be traced: its train() makes tensors of its weights")
            traced = _traced(tracer, own, Outside(made), name, fixed)
    except ParametersWritten:
        raise FuncamError(f"{name} can't be traced: its code writes into its parameters") from None
    try:
        return replace(_graph(model, own, tracer, traced), fixed=frozenset(fixed))
    finally:
        tracer.__dict__.clear()  # a proxy that the code kept knows the tracer, which holds the twin


def _graph(model: nn.Module, own: nn.Module, tracer: ConfinedTracer, traced: fx.Graph) -> Graph:
    name = type(model).__name__
    _share_tensors(own, twin(model))
    nodes = {path: node for node, path in tracer.node_to_qualname.items()}
    free_of_inplace(traced, tracer.root, name)
    module = acyclic(fx.GraphModule(tracer.root, traced, name).eval())
    return Graph(module, nodes, tracer.module_outputs, tracer.module_inputs, name)


def _traced(tracer: ConfinedTracer, own: nn.Module, outside: Outside, name: str, fixed: set[str]) -> fx.Graph:
    buffers = list(own.buffers())
    versions = {id(buffer): buffer._version for buffer in buffers}
    escaped = False
    try:
        with Unwritten(own.parameters()), Looks(own, fixed):
            traced = tracer.trace(own)
    except Exception as error:
        raise FuncamError(f"{name} can't be traced: {trouble_of(error)}") from error
    finally:
        escaped = outside.restore()
    if escaped:
        raise FuncamError(f"{name} can't be traced: its code keeps what it computes in a global or a class")
    _refuse_written_buffers(own, versions, name)
    if drops(own, traced, tracer.underived):
        raise FuncamError(
            f"{name} can't be traced: its code computes a part without gradients, or with a derivative of its own"
        )
    return traced


def _refuse_written_buffers(own: nn.Module, versions: dict[int, int], name: str) -> None:
    """Code that writes into a buffer did so once, while it was traced: in a graph that stands for ever."""
    for path, buffer in own.named_buffers():
        if id(buffer) not in versions or versions[id(buffer)] != buffer._version:
            raise FuncamError(f"{name} can't be traced: its code writes into its buffer {path!r}")


def _share_tensors(own: nn.Module, shared: nn.Module) -> None:
    """Put the model's own parameters and buffers in the place of the copies that were traced with; new modules stay."""
    others = dict(shared.named_modules())
    for path, module in own.named_modules():
        if path in others:
            module._parameters = dict(others[path]._parameters)
            module._buffers = dict(others[path]._buffers)


def acyclic(module: fx.GraphModule) -> fx.GraphModule:
    """The module, known no longer by its own graph: what holds parameters is freed at once when nobody needs it."""
    module.graph._owning_module = None
    return module


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
    if len(parameters) > 1 or isinstance(function, staticmethod):  # (fx gives what it finds the module)
        with_forward(model, lambda self, images: function.__get__(self)(images))
    return model


def with_forward(model: nn.Module, function: Any) -> None:
    """Give a twin another `forward`, by a class of its own."""
    model.__class__ = type(type(model).__name__, (type(model),), {"forward": function})
