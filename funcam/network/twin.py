"""The twin of a model: the same parameters and buffers in modules of its own, in evaluation mode and without hooks.

Everything funcam traces and runs is a twin, so nothing it does (evaluation mode, operations made out-of-place, tracing)
can be seen on the caller's model.
"""

from __future__ import annotations

import types
from itertools import islice
from typing import Any

import torch
from torch import nn

# Hooks by which torch itself computes a weight before each call (weight_norm, spectral_norm, pruning). They're part of
# what the model computes. Every other hook watches the model; a peer's hook would run on the tracer's proxies.
_WEIGHT_HOOKS = "torch.nn.utils."
_PLAIN = frozenset({bool, int, float, str, tuple, type(None)})
_SETTINGS = _PLAIN | {types.FunctionType, types.BuiltinFunctionType, types.MethodType}
_OWN_FIELDS = len(nn.Module().__dict__)  # nn.Module's own fields come first; what follows are a module's settings


def twin(model: nn.Module) -> nn.Module:
    """A copy of the module tree that shares every parameter and buffer, in evaluation mode, free of foreign hooks.

    Args:
        model: any module; it is only read.

    Returns:
        A module of the same class with the same `state_dict` entries (the same tensors, not copies).

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.Dropout()).train()
        >>> copy = twin(model)
        >>> copy.training, model.training, copy[0].weight is model[0].weight
        (False, True, True)
    """
    return _twin(model, {})


def meta_twin(model: nn.Module) -> nn.Module:
    """A twin whose tensors have shapes and no data, for finding out shapes without computing.

    Example:
        >>> meta_twin(nn.Linear(2, 3)).weight.device
        device(type='meta')
    """
    copy = _twin(model, {})
    for module in copy.modules():
        tables: tuple[dict[str, Any], ...] = (module._parameters, module._buffers, module.__dict__)
        for table in tables:
            for name, value in list(table.items()):
                if isinstance(value, torch.Tensor):
                    table[name] = torch.empty_like(value, device="meta")
    return copy


def _twin(module: nn.Module, done: dict[int, nn.Module]) -> nn.Module:
    if id(module) in done:
        return done[id(module)]
    copy: nn.Module = object.__new__(type(module))
    done[id(module)] = copy
    fields = {name: _rebound(value, module, copy) for name, value in module.__dict__.items()}
    for name in fields:
        if name.endswith("_hooks") and name != "_forward_pre_hooks":
            fields[name] = type(fields[name])()
    hooks = fields["_forward_pre_hooks"].items()
    weight_hooks = [(key, hook) for key, hook in hooks if type(hook).__module__.startswith(_WEIGHT_HOOKS)]
    fields["_forward_pre_hooks"] = type(fields["_forward_pre_hooks"])(weight_hooks)
    fields["_forward_pre_hooks_with_kwargs"] = type(fields["_forward_pre_hooks"])()
    fields["_forward_hooks_with_kwargs"] = type(fields["_forward_pre_hooks"])()
    fields["_parameters"] = {name: _usable(value) for name, value in module._parameters.items()}
    fields["_buffers"] = {name: _usable(value) for name, value in module._buffers.items()}
    fields["_modules"] = {name: child and _twin(child, done) for name, child in module._modules.items()}
    fields["training"] = False
    fields.pop("_compiled_call_impl", None)  # what model.compile() made is bound to the original
    copy.__dict__.update(fields)
    return copy


def _rebound(value: Any, module: nn.Module, copy: nn.Module) -> Any:
    """A method that was assigned to the instance (`model.forward = ...`) belongs to the twin, not to the original."""
    if isinstance(value, types.MethodType) and value.__self__ is module:
        return types.MethodType(value.__func__, copy)
    return value


def _usable(tensor: torch.Tensor | None) -> torch.Tensor | None:
    """Autograd can't save a tensor that was made inside `inference_mode`: take a copy of such a weight."""
    if tensor is None or not tensor.is_inference():
        return tensor
    with torch.inference_mode(False):
        return tensor.detach().clone()


def signature(model: nn.Module) -> list[Any]:
    """What a cut depends on: the modules, their settings and which tensors they hold (not the tensors' values).

    Two signatures of one model are equal unless a module, a parameter, a buffer or a plain setting (a stride, an
    epsilon) was replaced in between; weights changed in place leave it as it is, since a twin shares them.

    Example:
        >>> model = nn.Sequential(nn.ReLU())
        >>> before = signature(model)
        >>> model[0] = nn.GELU()
        >>> signature(model) == before
        False
    """
    marks: list[Any] = []
    pending = [model]
    for module in pending:  # grows while it runs; plain and flat, because this is done at every call
        fields = module.__dict__
        marks += (id(module), type(module))
        if fields["_modules"]:
            marks += fields["_modules"]
            pending += filter(None, fields["_modules"].values())
        marks += map(id, fields["_parameters"].values())
        marks += map(id, fields["_buffers"].values())
        if len(fields) > _OWN_FIELDS:
            marks += [
                value if type(value) in _PLAIN else id(value)
                for value in islice(fields.values(), _OWN_FIELDS, None)
                if type(value) in _SETTINGS
            ]
    return marks
