"""The state of a model as far as a cut depends on it: modules, settings, hooks, and what its code names outside of it.

Weights don't belong to it: a twin shares them. Compared are numbers and words by value, tensors by identity and
version and those of a few numbers by a checksum, arrays by one, code by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from funcam.network.held import PLAIN, settings_of
from funcam.network.values import Tell, Values, numbers_in, token_of

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_CHECKED = 1 << 12
_CHECKED_UNCOUNTED = 1 << 24
"""Bytes of a tensor of which all numbers are looked at: few, or more where no counter tells what was written."""


def signature(model: nn.Module) -> list[Any]:
    """What a cut depends on: the modules, their settings and hooks, which tensors they hold (not the weights' values).

    Two signatures of one model are equal unless a module, a parameter, a buffer, a hook or a setting (a stride, an
    epsilon, a list of them, a field of a configuration, a tensor that is no weight) was changed in between, or code, an
    attribute of a class or a global that its code names; weights changed in place leave it as it is, since a twin
    shares them.

    Example:
        >>> model = nn.Sequential(nn.ReLU())
        >>> before = signature(model)
        >>> model[0] = nn.GELU()
        >>> signature(model) == before
        False
    """
    return states(model)[0]


def hooks_state(model: nn.Module) -> list[Any]:
    """What the hooks on a model hold, which may change what they do.

    Example:
        >>> model, switch = nn.Sequential(nn.ReLU()), {"on": False}
        >>> _ = model.register_forward_hook(lambda module, given, output: 2 * output if switch["on"] else None)
        >>> before = hooks_state(model)
        >>> switch["on"] = True
        >>> hooks_state(model) == before
        False
    """
    return states(model)[1]


def states(model: nn.Module) -> tuple[list[Any], list[Any]]:
    """A model's `signature` and `hooks_state`, found in one walk: this is done at every call."""
    state, hooked = _walked(model)
    return state.taken(), hooked.taken()


def reached(model: nn.Module) -> frozenset[int]:
    """The identities of the objects that a model holds and its code names, but for what its hooks alone know."""
    state, hooked = _walked(model)
    met = state.met
    state.taken()  # (they lead to the model, which would be kept)
    hooked.taken()
    return met


def _walked(model: nn.Module) -> tuple[Values, Values]:
    state, hooked = Values(_tensor), Values(_tensor)
    state.add_modules({"": model})
    _add_modules(state, hooked)
    hooked.finish()
    own = set(map(id, state.modules))
    for module in hooked.modules:  # grows while it runs
        if id(module) not in own:
            _add_module(hooked, hooked, module)
            for tensor in (*module._parameters.values(), *module._buffers.values()):
                hooked.add(tensor)  # what is written there changes what the hook does
            hooked.finish()
    return state, hooked


def told(*things: Any, tensor: Tell) -> tuple[Any, ...]:
    """Whatever some things hold, as what can be the key of a dict.

    Args:
        *things: containers, numbers, objects, modules.
        tensor: what is told of a tensor.

    Example:
        >>> told({"flag": True}, tensor=torch.numel) == told({"flag": 1}, tensor=torch.numel)
        False
    """
    values = Values(tensor)
    values.add(things)
    values.finish()
    _add_modules(values, values)
    return tuple(values.taken())


def told_besides(places: Mapping[int, int], kinds: Iterable[type], modules: Iterable[nn.Module]) -> list[Any]:
    """The part of a signature that is of some classes and of some modules.

    Args:
        places: the model's modules, which aren't told themselves: a number for the identity of each.
        kinds: classes.
        modules: modules without hooks.
    """
    values = Values(_tensor, places)
    for kind in kinds:
        values.codes.add_class(kind)
    for module in modules:
        _add_module(values, values, module)
    values.finish()
    _add_modules(values, values)
    return values.taken()


def _add_modules(values: Values, hooked: Values) -> None:
    for module in values.modules:  # grows while it runs
        _add_module(values, hooked, module)
        if values.pending:
            values.finish()


def _add_module(values: Values, hooked: Values, module: nn.Module) -> None:
    """What a module is and holds; what its hooks hold is told apart."""
    parts, fields = values.parts, vars(module)
    parts.append(type(module))
    if isinstance(module, torch.jit.ScriptModule):  # keeps all it has elsewhere, and is refused
        return
    values.codes.add_class(type(module))
    if fields["_modules"]:
        values.add_modules(fields["_modules"])
    for table in (fields["_parameters"], fields["_buffers"]):
        if table:
            parts += table
            parts += map(id, table.values())
    for name in HOOKS:
        if fields.get(name):  # (the number of a hook is never used twice, the place of a freed one is)
            parts += fields[name]
            parts += map(id, fields[name].values())
            for hook in fields[name].values():
                hooked.add(hook)
    names = settings_of(module)
    parts += names
    for name in names:
        value = fields[name]
        if type(value) in PLAIN:
            parts.append(value)
        else:
            values.add(value)


def _tensor(tensor: torch.Tensor) -> tuple[Any, ...]:
    """Which one it is, and what was written into it; what is written through `data` moves no counter."""
    counts = not tensor.is_inference()
    return (
        token_of(tensor),
        tensor._version if counts else None,
        numbers_in(tensor, _CHECKED if counts else _CHECKED_UNCOUNTED) if type(tensor) is torch.Tensor else None,
    )
