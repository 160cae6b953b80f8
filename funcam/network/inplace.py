"""Freeing a traced graph of operations that work in place.

Such an operation overwrites a tensor that somebody else still needs: the features at a cut, or a value that the
derivative is computed from. Each one is replaced by its out-of-place counterpart, and everything that read the
overwritten tensor afterwards reads the counterpart's result: the graph computes what the model computes.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from funcam.errors import FuncamError
from funcam.network.traits import is_fresh, is_view, module_of, reads_shape

# x += y and its like: fx would take it for x = x + y, which another name of the same tensor does not see.
_OPERATORS = {
    *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift", "rshift"),
}
_RELU_MODULES: dict[type, Callable[..., Any]] = {nn.ReLU: functional.relu, nn.ReLU6: functional.relu6}


class InplaceProxy(fx.Proxy):
    """A traced value on which `x += y` is written down as what it is: an operation in place, named `add`."""


def _inplace(name: str) -> Callable[[fx.Proxy, Any], fx.Proxy]:
    function = getattr(operator, f"i{name}")
    return lambda x, y: x.tracer.create_proxy("call_function", function, (x, y), {}, name)


for _name in _OPERATORS:
    setattr(InplaceProxy, f"__i{_name}__", _inplace(_name))


def free_of_inplace(graph: fx.Graph, root: nn.Module, name: str) -> None:
    """Replace each in-place operation of the graph, and of the modules of `root`, by its counterpart."""
    later = set(graph.nodes)
    inplace_modules = {path for path, module in root.named_modules() if getattr(module, "inplace", False) is True}
    for node in list(graph.nodes):
        later.discard(node)
        overwritten = _overwritten(node)
        if overwritten is None or not _make_out_of_place(node, inplace_modules):
            continue
        _refuse_shared_memory(overwritten, node, later, root, name)
        overwritten.replace_all_uses_with(node, delete_user_cb=later.__contains__)
    for path in inplace_modules:
        setattr(root.get_submodule(path), "inplace", False)  # noqa: B010 - the type of a submodule has no such field


def _overwritten(node: fx.Node) -> fx.Node | None:
    """What the node overwrites, if it works in place: `out`, or the first tensor it is given."""
    out = node.kwargs.get("out")
    return out if isinstance(out, fx.Node) else next(iter(node.all_input_nodes), None)


def _make_out_of_place(node: fx.Node, inplace_modules: set[str]) -> bool:
    """Rewrite the node if it works in place; says whether it did."""
    if node.op == "call_module":
        return node.target in inplace_modules
    if node.op == "call_method":
        return _method_out_of_place(node)
    if node.op == "call_function":
        return _function_out_of_place(node)
    return False


def _method_out_of_place(node: fx.Node) -> bool:
    name = str(node.target)
    if not name.endswith("_") or name.endswith("__"):
        return False
    if callable(getattr(torch.Tensor, name[:-1], None)):
        node.target = name[:-1]
    else:  # copy_, zero_, normal_ ...: no counterpart, so work on a copy
        with node.graph.inserting_before(node):
            node.replace_input_with(node.args[0], node.graph.call_method("clone", (node.args[0],)))  # type: ignore[arg-type]
    return True


def _function_out_of_place(node: fx.Node) -> bool:
    function: Any = node.target
    name = getattr(function, "__name__", "")
    if isinstance(node.kwargs.get("out"), fx.Node):
        node.kwargs = {key: value for key, value in node.kwargs.items() if key != "out"}
        return True
    if getattr(operator, name, None) is function and name.startswith("i") and hasattr(operator, name[1:]):
        node.target = getattr(operator, name[1:])
        return True
    if name.endswith("_") and not name.endswith("__"):
        home = next((home for home in (functional, torch) if hasattr(home, name[:-1])), None)
        if home is not None:
            node.target = getattr(home, name[:-1])
            return True
    return _clear_inplace_argument(node, function)


def _clear_inplace_argument(node: fx.Node, function: Callable[..., Any]) -> bool:
    if node.kwargs.get("inplace") is True:
        node.kwargs = {**node.kwargs, "inplace": False}
        return True
    try:
        position = list(inspect.signature(function).parameters).index("inplace")
    except (TypeError, ValueError):
        return False
    if len(node.args) > position and node.args[position] is True:
        node.update_arg(position, False)
        return True
    return False


def _refuse_shared_memory(overwritten: fx.Node, node: fx.Node, later: set[fx.Node], root: nn.Module, name: str) -> None:
    """A write into a tensor is seen through its views too; the graph can't say so, so such a model is refused."""
    base = overwritten
    while is_view(root, base):
        base = base.all_input_nodes[0]
    relatives = [base]
    for relative in relatives:  # grows while it runs
        relatives += [user for user in relative.users if user not in later and is_view(root, user)]
    for relative in relatives:
        if relative not in (overwritten, node) and any(
            user in later and not reads_shape(root, user) for user in relative.users
        ):
            raise FuncamError(
                f"{name} writes in place ({node.name}) into memory that {relative.name} shares, which is used again "
                "afterwards; make that operation out-of-place in the model's code"
            )


def reuse_memory(graph: fx.Graph, root: nn.Module) -> None:
    """Let a ReLU overwrite what it is given where nobody else reads that, as networks do to save memory and time.

    Only behind operations that always return memory of their own and whose derivative does not need it again.

    Args:
        graph: a graph without operations in place; it is changed.
        root: where its modules are.
    """
    for node in graph.nodes:
        function = _relu(node, root)
        given = next(iter(node.all_input_nodes), None)
        if function and given and len(given.users) == 1 and is_fresh(root, given):
            node.op, node.target = "call_function", function
            node.args, node.kwargs = (given,), {"inplace": True}


def _relu(node: fx.Node, root: nn.Module) -> Callable[..., Any] | None:
    if node.op == "call_module":
        return _RELU_MODULES.get(type(module_of(root, node)))
    return functional.relu if node.target in (functional.relu, torch.relu, torch.ops.aten.relu.default) else None
