"""The twin of a model: the same parameters and buffers in modules of its own, in evaluation mode.

Everything funcam traces and runs is a twin, so nothing it does (evaluation mode, operations made out-of-place, tracing,
taps, what the model's own code writes into its caches) can be seen on the caller's model.
"""

from __future__ import annotations

import functools
import types
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from torch import nn

# Hooks by which torch itself computes a weight before each call (weight_norm, spectral_norm, pruning). They're part of
# what the model computes, always. Whether other hooks are, a check finds out (`funcam.network.checks`).
_WEIGHT_HOOKS = "torch.nn.utils."
_PLAIN = frozenset({bool, int, float, str, type(None)})
_SETTINGS = _PLAIN | {tuple, types.FunctionType, types.BuiltinFunctionType, types.MethodType, functools.partial}
_CALLABLES = (types.FunctionType, types.MethodType, functools.partial)
_CONTAINERS = frozenset({dict, OrderedDict, defaultdict, list, set, deque})
_ATOMS = _PLAIN | {types.BuiltinFunctionType, type, types.ModuleType, torch.dtype, torch.device}
_OWN_FIELDS = len(nn.Module().__dict__)  # nn.Module's own fields come first; what follows are a module's settings
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_HOOK_FLAGS = ("_forward_hooks_with_kwargs", "_forward_pre_hooks_with_kwargs", "_forward_hooks_always_called")
_BACKWARD_HOOKS = ("_backward_hooks", "_backward_pre_hooks")
_TABLES = (*_HOOKS, *_HOOK_FLAGS, *_BACKWARD_HOOKS, "_non_persistent_buffers_set")
_LRU_CACHE = type(functools.lru_cache(len))
_MOST_ENTRIES = 64


def twin(
    model: nn.Module,
    *,
    hooks: bool = False,
    frozen: bool = False,
    own_buffers: bool = False,
    own_tables: bool = True,
) -> nn.Module:
    """A copy of the module tree that shares every parameter and buffer, in evaluation mode.

    Whatever else the model's code may write into belongs to the twin: dicts, lists, sets and plain objects that modules
    hold, at any depth. Methods, functions and partials that hold a module of the tree hold its twin.

    Args:
        model: any module; it is only read.
        hooks: whether the caller's forward hooks come along; torch's own that compute weights always do.
        frozen: whether its parameters ask for no gradient (they share their memory with the model's all the same).
        own_buffers: whether it gets copies of the buffers, for code that may write into them.
        own_tables: whether it gets tables of hooks of its own even where they are empty, for code that may register
            hooks while it runs.

    Returns:
        A module of the same class with the same `state_dict` entries (the same memory, unless said otherwise).

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.Dropout()).train()
        >>> copy = twin(model)
        >>> copy.training, model.training, copy[0].weight is model[0].weight
        (False, True, True)
    """
    return _Copying(hooks, frozen, own_buffers, own_tables).module(model)


def meta_twin(model: nn.Module) -> nn.Module:
    """A twin whose tensors have shapes and no data, for finding out shapes without computing.

    Example:
        >>> meta_twin(nn.Linear(2, 3)).weight.device
        device(type='meta')
    """
    copy = twin(model)
    for module in copy.modules():
        tables: tuple[dict[str, Any], ...] = (module._parameters, module._buffers, module.__dict__)
        for table in tables:
            for name, value in list(table.items()):
                if isinstance(value, torch.Tensor):
                    table[name] = torch.empty_like(value, device="meta")
    return copy


class _Copying:
    """One copy of a module tree: what was copied already, by identity."""

    def __init__(self, hooks: bool, frozen: bool, own_buffers: bool, own_tables: bool) -> None:
        self.hooks, self.frozen, self.own_buffers, self.own_tables = hooks, frozen, own_buffers, own_tables
        self.done: dict[int, Any] = {}

    def module(self, module: nn.Module) -> nn.Module:
        """The twin of a module; its children are made before anything is put into them, for references upwards."""
        new: list[tuple[nn.Module, nn.Module]] = []
        pending = [module]
        for one in pending:  # grows while it runs
            if id(one) not in self.done:
                copy: nn.Module = object.__new__(type(one))
                self.done[id(one)] = copy
                new.append((one, copy))
                pending += [child for child in one.__dict__["_modules"].values() if child is not None]
        for one, copy in new:
            self._fill(one, copy)
        return self.done[id(module)]  # type: ignore[no-any-return]

    def _fill(self, module: nn.Module, copy: nn.Module) -> None:
        fields = module.__dict__.copy()
        if self.own_tables:
            for name in _TABLES:
                fields[name] = type(fields[name])(fields[name])
        fields["_parameters"] = {name: self._parameter(value) for name, value in module._parameters.items()}
        fields["_buffers"] = {name: self._buffer(value) for name, value in module._buffers.items()}
        modules = module._modules.items()
        fields["_modules"] = {name: None if child is None else self.done[id(child)] for name, child in modules}
        fields["training"] = False
        fields.pop("_compiled_call_impl", None)  # what model.compile() made is bound to the original
        for name, value in islice(module.__dict__.items(), _OWN_FIELDS, None):
            if type(value) not in _ATOMS and name in fields:
                fields[name] = self.value(value)
        self._copy_hooks(module, fields)
        copy.__dict__.update(fields)

    def _copy_hooks(self, module: nn.Module, fields: dict[str, Any]) -> None:
        for name in _BACKWARD_HOOKS:  # they watch training; torch.func has no place for them
            if fields.get(name):
                fields[name] = type(fields[name])()
        if any(fields[name] for name in _HOOKS):
            for name in _HOOKS:
                kept = {k: hook for k, hook in fields[name].items() if self.hooks or _computes_weights(hook)}
                fields[name] = type(fields[name])((key, self.value(hook)) for key, hook in kept.items())
            if not self.hooks:
                for name in _HOOK_FLAGS:
                    fields[name] = type(fields[name])()

    def _parameter(self, tensor: torch.Tensor | None) -> torch.Tensor | None:
        if tensor is None or (not self.frozen and not tensor.is_inference()):
            return tensor
        if id(tensor) not in self.done:
            alias = _usable(tensor)
            self.done[id(tensor)] = alias.detach() if self.frozen else alias
        return self.done[id(tensor)]  # type: ignore[no-any-return]

    def _buffer(self, tensor: torch.Tensor | None) -> torch.Tensor | None:
        if tensor is None or not (self.own_buffers or tensor.is_inference() or (self.frozen and tensor.requires_grad)):
            return tensor
        if id(tensor) not in self.done:
            usable = _usable(tensor)
            usable = usable.detach() if self.frozen else usable
            self.done[id(tensor)] = usable.clone() if self.own_buffers else usable
        return self.done[id(tensor)]  # type: ignore[no-any-return]

    def value(self, value: Any) -> Any:
        """What a module holds besides its tensors and children: copied where the model's code could write into it."""
        kind = type(value)
        if kind in _ATOMS:
            return value
        if id(value) in self.done:
            return self.done[id(value)]
        if isinstance(value, nn.Module):  # hidden in a list, or held without being a child
            return self.module(value)
        if isinstance(value, torch.Tensor):
            return self._loose(value)
        if kind in _CONTAINERS:
            return self._container(value)
        if kind is types.FunctionType:
            return self._function(value)
        if kind is _LRU_CACHE:
            own = self.value(value.__wrapped__)
            return value if own is value.__wrapped__ else functools.lru_cache(**value.cache_parameters())(own)
        if kind is types.MethodType:
            owner = self.value(value.__self__)
            return value if owner is value.__self__ else types.MethodType(value.__func__, owner)
        if kind is functools.partial:
            args, keywords = tuple(map(self.value, value.args)), {k: self.value(v) for k, v in value.keywords.items()}
            return functools.partial(self.value(value.func), *args, **keywords)
        if isinstance(value, tuple):
            return self._tuple(value)
        return self._object(value) if _is_plain_object(value) else value

    def _function(self, function: types.FunctionType) -> Any:
        """A function that holds a module, in its closure or its defaults, as one that holds the twin.

        What else it holds stays the caller's: a list that a hook fills is read by whoever made the hook. One that
        `torch.compile` made is what it was made of: taps, and tensors that are differentiated, can't be compiled.
        """
        compiled_from = vars(function).get("_torchdynamo_orig_callable")
        if compiled_from is not None:
            return self.value(compiled_from)
        cells, defaults, named = function.__closure__ or (), function.__defaults__ or (), function.__kwdefaults__ or {}
        held = [cell.cell_contents for cell in cells if _is_filled(cell)]
        if not any(map(_may_hold_module, (*held, *defaults, *named.values()))):
            return function
        made = [types.CellType() for _ in cells]
        copy = types.FunctionType(function.__code__, function.__globals__, function.__name__, None, tuple(made))
        self.done[id(function)] = copy  # it may hold itself
        copy.__defaults__ = tuple(map(self._held, defaults)) or None
        copy.__kwdefaults__ = {name: self._held(value) for name, value in named.items()}
        for cell, own in zip(cells, made, strict=True):
            if _is_filled(cell):
                own.cell_contents = self._held(cell.cell_contents)
        vars(copy).update(vars(function))
        return copy

    def _held(self, value: Any) -> Any:
        return self.value(value) if _may_hold_module(value) else value

    def _loose(self, tensor: torch.Tensor) -> torch.Tensor:
        """A tensor that is no parameter and no buffer: a cache, a list of flat weights."""
        if tensor.is_inference() or (self.frozen and tensor.requires_grad):
            tensor = _usable(tensor)
            return tensor.detach() if self.frozen else tensor
        return tensor.clone() if self.own_buffers and not tensor.requires_grad else tensor

    def _container(self, value: Any) -> Any:
        copy: Any = defaultdict(value.default_factory) if isinstance(value, defaultdict) else type(value)()
        self.done[id(value)] = copy
        if isinstance(value, dict):
            copy.update((key, self.value(part)) for key, part in value.items())
        elif isinstance(value, set):
            copy.update(value)
        else:
            copy.extend(map(self.value, value))
        return copy

    def _tuple(self, value: Any) -> Any:
        if all(type(part) in _ATOMS for part in value):
            return value
        parts = [self.value(part) for part in value]
        if all(new is old for new, old in zip(parts, value, strict=True)):
            return value
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)

    def _object(self, value: Any) -> Any:
        """A plain object of the model's: its own where it holds what could be written into."""
        copy = object.__new__(type(value))
        self.done[id(value)] = copy
        fields = {name: self.value(part) for name, part in vars(value).items()}
        if all(fields[name] is part for name, part in vars(value).items()):
            self.done[id(value)] = value
            return value
        vars(copy).update(fields)
        return copy


def _is_filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _may_hold_module(value: Any) -> bool:
    """Whether something that a function holds is a module, a function, or a container of these."""
    parts = value.values() if isinstance(value, dict) else value if type(value) in (list, tuple) else (value,)
    return any(isinstance(part, nn.Module) or type(part) in (*_CALLABLES, _LRU_CACHE) for part in parts)


def _is_plain_object(value: Any) -> bool:
    """Whether an object is one of a class written in Python that keeps all it has in its `__dict__`."""
    kind = type(value)
    return (
        getattr(kind, "__new__", None) is object.__new__
        and isinstance(getattr(value, "__dict__", None), dict)
        and kind.__module__.split(".")[0] not in ("torch", "numpy", "builtins", "threading", "weakref", "logging")
        and not any(getattr(base, "__slots__", ()) for base in kind.__mro__)
    )


def _computes_weights(hook: Any) -> bool:
    return type(hook).__module__.startswith(_WEIGHT_HOOKS)


def _usable(tensor: torch.Tensor) -> torch.Tensor:
    """Autograd can't save a tensor that was made inside `inference_mode`: take a copy of such a weight."""
    if not tensor.is_inference():
        return tensor
    with torch.inference_mode(False):
        return tensor.detach().clone()


def count_hooks(model: nn.Module) -> int:
    """How many forward hooks stand on a model's modules, torch's own among them."""
    return sum(len(module.__dict__[name]) for module in model.modules() for name in _HOOKS)


def has_hooks(model: nn.Module) -> bool:
    """Whether the caller put forward hooks on a model (torch's own that compute weights don't count).

    Example:
        >>> model = nn.Sequential(nn.ReLU())
        >>> _ = model[0].register_forward_hook(print)
        >>> has_hooks(model)
        True
    """
    return next(callers_hooks(model), None) is not None


def callers_hooks(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """The caller's forward hooks on a model, each with the path of its module."""
    for path, module in model.named_modules():
        for name in _HOOKS:
            for hook in module.__dict__[name].values():
                if not _computes_weights(hook):
                    yield path, hook


def signature(model: nn.Module) -> list[Any]:
    """What a cut depends on: the modules, their settings and hooks, which tensors they hold (not the tensors' values).

    Two signatures of one model are equal unless a module, a parameter, a buffer, a hook or a setting (a stride, an
    epsilon, a list of them) was replaced in between; weights changed in place leave it as it is, since a twin shares
    them.

    Example:
        >>> model = nn.Sequential(nn.ReLU())
        >>> before = signature(model)
        >>> model[0] = nn.GELU()
        >>> signature(model) == before
        False
    """
    parts: list[Any] = []
    pending = [model]
    for module in pending:  # grows while it runs; plain and flat, because this is done at every call
        fields = module.__dict__
        parts += (id(module), type(module))
        if isinstance(module, torch.jit.ScriptModule):  # keeps all it has elsewhere, and is refused
            continue
        if fields["_modules"]:
            parts += fields["_modules"]
            pending += [child for child in fields["_modules"].values() if child is not None]
        parts += map(id, fields["_parameters"].values())
        parts += map(id, fields["_buffers"].values())
        if fields["_forward_hooks"] or fields["_forward_pre_hooks"]:
            for name in _HOOKS:  # (the number of a hook is never used twice, the place of a freed one is)
                parts += fields[name]
                parts += map(id, fields[name].values())
        if len(fields) > _OWN_FIELDS:
            for value in islice(fields.values(), _OWN_FIELDS, None):
                kind = type(value)
                if kind in _PLAIN:
                    parts.append(value)
                elif kind in _SETTINGS:
                    parts.append(id(value) if kind is not tuple else _entries(value))
                elif kind in _CONTAINERS:
                    parts.append(_entries(value))
    return parts


def _entries(container: Any) -> list[Any]:
    """The plain entries of a small container; of others, that they are there."""
    values = container.items() if isinstance(container, dict) else container
    listed: list[Any] = [len(container)]
    for value in islice(values, _MOST_ENTRIES):
        inner = value if isinstance(container, dict) else (value,)
        listed += [part if type(part) in _PLAIN else id(part) for part in inner]
    return listed
