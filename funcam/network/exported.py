"""Models that `torch.fx` can't follow, by `torch.export`: a flat graph of ATen operations for one image size.

`torch.export` itself changes torch for the whole process while it runs: `nn.Module.__call__` is patched, and
`torch.compiler.is_compiling()` is true in every thread. So it is used only where it is asked for (`via="export"`),
where a method needs a graph that `torch.fx` can't give, and where code has no derivative as it is; one export at a
time. A program whose other threads trace or compile models meanwhile had better cut by a tap (`via="tap"`).
"""

from __future__ import annotations

import functools
import logging
import operator
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind
from torch.utils import _pytree as pytree

from funcam.errors import FuncamError, unwarned
from funcam.network.alone import alone
from funcam.network.checks import tolerance
from funcam.network.failures import PAIR, trouble_of
from funcam.network.graph import Graph, acyclic, one_argument, with_forward
from funcam.network.tap import SlowPath
from funcam.network.twin import twin

_ATEN = torch.ops.aten
_NORM = _ATEN._native_batch_norm_legit_no_training.default
_VIEWS = {_ATEN.view.default, _ATEN._unsafe_view.default, _ATEN.reshape.default}
_STATED = {InputKind.PARAMETER, InputKind.BUFFER}


def export(model: nn.Module, images: torch.Tensor) -> Graph:
    """Follow a model with `torch.export` for images of one size, in batches of any length.

    Args:
        model: a module; it is only read.
        images: `[B, channels, *size]`; only their shape, type and device matter.

    Returns:
        The graph, in evaluation mode and free of operations in place; its parameters are the model's own.

    Raises:
        FuncamError: the model's code depends on the values of tensors; the message says where.

    Example:
        >>> graph = export(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), torch.zeros(1, 3, 8, 8))
        >>> list(graph.outputs), graph.nodes["1"].target
        (['0', '1', ''], <OpOverload(op='aten.relu', overload='default')>)
    """
    name = type(model).__name__
    paths: list[tuple[str, str]] = []  # (module, "in" or "out") of each value that is returned beside the outputs
    watched = _watched(one_argument(_frozen_twin(model)), paths)
    try:
        with alone(), _export_modes(images.device.type):
            blank = torch.zeros((2, *images.shape[1:]), dtype=images.dtype, device=images.device)
            batches = ({0: torch.export.Dim.DYNAMIC},)
            program = torch.export.export(watched, (blank,), dynamic_shapes=batches, strict=False)
            _detach_what_is_without_gradient(program.graph)
            program = program.run_decompositions({})
    except Exception as error:
        raise FuncamError(f"torch.export can't follow {name}: {trouble_of(error)}") from error
    graph = _Builder(program, twin(model), paths).graph(name, (1, *images.shape[1:]))
    _refuse_another_function(graph, model, blank)
    return graph


def _refuse_another_function(graph: Graph, model: nn.Module, blank: torch.Tensor) -> None:
    """What was exported computes what the model computes; torch's older exporters get some writing in place wrong."""
    numbers = torch.arange(blank.numel(), dtype=torch.float64, device=blank.device)
    waves = numbers.sin().view(blank.shape).to(blank.dtype)
    own = twin(model, own_buffers=True, own_parameters=True)  # its code may write into them
    with torch.no_grad():
        exported, expected = (pytree.tree_leaves(run(waves.clone())) for run in (graph.module, one_argument(own)))
    for ours, theirs in zip(exported, expected, strict=False):
        if isinstance(theirs, torch.Tensor) and theirs.is_floating_point():
            largest = float(theirs.nan_to_num().abs().max()) if theirs.numel() else 0.0
            if not torch.allclose(ours, theirs, rtol=0, atol=10 * tolerance(theirs) * largest, equal_nan=True):
                raise FuncamError(
                    f"torch.export {torch.__version__} makes another function of {graph.model}, probably because its "
                    f"code writes in place into memory that it uses again; use a newer torch, or {PAIR}"
                )


def _frozen_twin(model: nn.Module) -> nn.Module:
    """A twin whose parameters ask for no gradient: what writes in place (`out=`) then can be followed."""
    copy = twin(model)
    frozen: dict[nn.Parameter, nn.Parameter] = {}
    for module in copy.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                frozen.setdefault(weight, nn.Parameter(weight.detach(), requires_grad=False))
                module._parameters[name] = frozen[weight]
    return copy


def _watched(model: nn.Module, paths: list[tuple[str, str]]) -> nn.Module:
    """Let a twin return, beside its outputs, what each of its modules was given and returned at each call.

    They are copied at once: the copies show which value it was, whatever is written into it later.
    """
    marks: list[torch.Tensor] = []

    def mark(path: str, side: str, value: Any) -> None:
        if isinstance(value, torch.Tensor):
            paths.append((path, side))
            marks.append(value.clone())

    for path, module in model.named_modules():
        if path:
            with_forward(module, _marking(type(module).forward, path, mark))
    forward = model.forward  # what was assigned to the instance, too

    def whole(self: nn.Module, images: torch.Tensor) -> Any:
        marks.clear()
        paths.clear()
        try:
            outputs = forward(images)
        except Exception as error:
            raise _OfTheModel(str(error)).with_traceback(error.__traceback__) from error
        mark("", "out", outputs)
        return outputs, list(marks)

    with_forward(model, whole)
    return model


def _marking(forward: Callable[..., Any], path: str, mark: Callable[[str, str, Any], None]) -> Callable[..., Any]:
    @functools.wraps(forward)
    def marking(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        mark(path, "in", args[0] if args else None)
        outputs = forward(self, *args, **kwargs)
        mark(path, "out", outputs)
        return outputs

    return marking


@contextmanager
def _export_modes(device: str) -> Iterator[None]:
    """As the model runs on its own, whatever the caller's modes; without fused layers that have no derivative."""
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(device, enabled=False),
        SlowPath(),
        _unlogged(),
        unwarned(),  # what it says of the model's code (attributes that it sets) is of no concern here
    ):
        yield


@contextmanager
def _unlogged() -> Iterator[None]:
    """`torch.export` logs why it failed, which our error says. What other threads log is logged."""
    thread = threading.get_ident()

    def elsewhere(record: logging.LogRecord) -> bool:
        return record.thread != thread

    logger = logging.getLogger("torch.fx.experimental.symbolic_shapes")
    logger.addFilter(elsewhere)
    try:
        yield
    finally:
        logger.removeFilter(elsewhere)


class _OfTheModel(Exception):
    """What the model's code raised while it was exported. Of a `RuntimeError` torch prints the graph to stderr."""


def _detach_what_is_without_gradient(graph: fx.Graph) -> None:
    """Parts of the code under `torch.no_grad` are dissolved when the graph is freed of operations in place."""
    parts = graph.find_nodes(op="call_function", target=torch.ops.higher_order.wrap_with_set_grad_enabled)
    for value in [value for part in parts if part.args[0] is False for value in part.users]:
        with graph.inserting_after(value):
            detached = graph.call_function(_ATEN.detach.default, (value,))
        detached.meta = dict(value.meta)
        value.replace_all_uses_with(detached, delete_user_cb=lambda user, kept=detached: user is not kept)


def _copied(into: torch.Tensor, values: torch.Tensor, *_: Any) -> torch.Tensor:
    """`into.copy_(values)`, out of place; ATen's own operation for that has no derivative."""
    return values.to(into).expand_as(into).clone()


class _Returned(nn.Module):
    """The flat values of a graph -> what the model returns."""

    def __init__(self, spec: pytree.TreeSpec) -> None:
        super().__init__()
        self.spec = spec

    def forward(self, *values: Any) -> Any:
        return pytree.tree_unflatten(list(values), self.spec)


class _Builder:
    """Makes an exported program our flat graph: parameters by name, no marks, sizes read off the nearest tensor."""

    def __init__(self, program: ExportedProgram, root: nn.Module, paths: list[tuple[str, str]]) -> None:
        self.program = program
        self.root = root
        self.paths = paths
        self.copy = fx.Graph()
        self.placed: dict[fx.Node, fx.Node] = {}
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}
        self.returned: set[tuple[str, fx.Node]] = set()

    def graph(self, name: str, image: tuple[int, ...]) -> Graph:
        inputs = iter(self.program.graph_signature.input_specs)
        for node in self.program.graph.nodes:
            if node.op == "placeholder":
                self.placed[node] = self._input(node, next(inputs))
            elif node.op != "output":
                self.placed[node] = self._operation(node)
            shape = _shape(node.meta.get("val"))
            if shape is not None:
                self.shapes[self.placed[node]] = shape
        tables = self._returned()
        self.copy.eliminate_dead_code(lambda node: node.op in ("placeholder", "output"))
        alive = set(self.copy.nodes)
        outputs, inputs_of = ({path: node for path, node in table.items() if node in alive} for table in tables)
        module = acyclic(fx.GraphModule(self.root, self.copy, name).eval())
        shapes = {node: shape for node, shape in self.shapes.items() if node in alive}
        return Graph(module, self._names(alive), outputs, inputs_of, name, image, shapes)

    def _input(self, node: fx.Node, spec: Any) -> fx.Node:
        if spec.kind == InputKind.USER_INPUT:
            return self.copy.placeholder("images")
        target = spec.target
        if spec.kind not in _STATED:
            target = f"constant_{spec.target.replace('.', '_')}"
            while hasattr(self.root, target):
                target += "_"
            constant = self.program.constants[spec.target]
            self.root._buffers[target] = constant
        return self.copy.get_attr(target)

    def _operation(self, node: fx.Node) -> fx.Node:
        if node.op == "get_attr":  # a piece of code under torch.no_grad and its like
            setattr(self.root, str(node.target), getattr(self.program.graph_module, str(node.target)))
        given: Any = next(iter(node.args), None)
        if node.target is operator.getitem and given.target is _NORM:
            return self.placed[given]
        if node.target is _NORM:
            x, weight, bias, mean, variance, momentum, eps = fx.map_arg(node.args, self.placed.__getitem__)
            args = (x, weight, bias, mean, variance, False, momentum, eps, torch.backends.cudnn.enabled)
            return self.copy.call_function(_ATEN.batch_norm.default, args)
        copied = self.copy.node_copy(node, self.placed.__getitem__)
        copied.meta = {}
        if node.target is _ATEN.copy.default:
            copied.target = _copied
        _free_of_batch(copied, node)
        return copied

    def _returned(self) -> tuple[dict[str, fx.Node], dict[str, fx.Node]]:
        """Give the copy its outputs; what the marks stand for: module path -> what it returned, what it was given."""
        specs = self.program.graph_signature.output_specs
        values = [
            value
            for value, spec in zip(self.program.graph.output_node().args[0], specs, strict=True)
            if spec.kind == OutputKind.USER_OUTPUT
        ]
        flat = len(values) - len(self.paths)
        tables: dict[str, dict[str, fx.Node]] = {"out": {}, "in": {}}
        for (path, side), clone in zip(self.paths, values[flat:], strict=True):
            node = self.placed[clone.args[0]]
            tables[side].setdefault(path, node)
            if side == "out":
                self.returned.add((path, node))
        (spec, _) = self.program.call_spec.out_spec.children()
        leaves = fx.map_arg(values[:flat], self.placed.__getitem__)
        if spec.is_leaf():
            self.copy.output(leaves[0])
        else:
            self.root._modules["_returned"] = _Returned(spec)
            self.copy.output(self.copy.call_module("_returned", tuple(leaves)))
        return tables["out"], tables["in"]

    def _names(self, alive: set[fx.Node]) -> dict[str, fx.Node]:
        """Names as torchvision gives them: a leaf module's path, elsewhere the module's path and the operation."""
        names: dict[str, fx.Node] = {}
        counts: dict[str, int] = {}
        for node, copied in self.placed.items():
            if copied not in alive or copied.op == "get_attr":
                continue
            alive.remove(copied)  # a norm stands for two nodes
            path = _path(node)
            leaf = (path, copied) in self.returned and not self.root.get_submodule(path)._modules
            name = path if leaf else f"{path}.{_operation(copied)}".removeprefix(".")
            count = counts[name] = counts.get(name, -1) + 1
            names[f"{name}_{count}" if count else name] = copied
        return names


def _free_of_batch(copied: fx.Node, node: fx.Node) -> None:
    """Let a change of shape take the length of the batch from the tensor that it is given.

    The length that the images have would cross a cut, and tie what is behind it to batches of that length. A view that
    asks for memory in order becomes a reshape, because under `vmap` the memory may be in another.
    """
    given: Any = node.args[0]
    if node.target in _VIEWS:
        copied.target = _ATEN.reshape.default
        sizes = [size if isinstance(size, int) else -1 for size in node.meta["val"].shape]
    elif node.target is _ATEN.expand.default:
        result, kept = node.meta["val"].shape, given.meta["val"].shape
        kept = (*[None] * (len(result) - len(kept)), *kept)
        sizes = [-1 if str(old) == str(new) else new for old, new in zip(kept, result, strict=True)]
    else:
        return
    if all(isinstance(size, int) for size in sizes) and (
        copied.target is not _ATEN.reshape.default or sizes.count(-1) < 2
    ):
        copied.args = (copied.args[0], sizes)


def _shape(value: Any) -> tuple[int, ...] | None:
    """A fake tensor's shape for a batch of one image."""
    if not isinstance(value, torch.Tensor):
        return None
    return tuple(size if isinstance(size, int) else _for_one(size) for size in value.shape)


def _for_one(size: torch.SymInt) -> int:
    expression = size.node.expr
    return int(expression.subs(dict.fromkeys(expression.free_symbols, 1)))


def _path(node: fx.Node) -> str:
    stack = [entry for key, entry in (node.meta.get("nn_module_stack") or {}).items() if not key.startswith("_empty")]
    return str(stack[-1][0]) if stack else ""


def _operation(node: fx.Node) -> str:
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
    return name.split(".")[0]
