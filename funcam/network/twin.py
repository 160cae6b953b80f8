"""The twin of a model: the same parameters and buffers in modules of its own, in evaluation mode.

Everything funcam traces and runs is a twin, so nothing it does (evaluation mode, operations made out-of-place, tracing,
taps, what the model's own code writes into its caches) can be seen on the caller's model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from funcam.network.copies import Copies, usable
from funcam.network.evaluation import evaluate, has_own_mode
from funcam.network.held import ATOMS, settings_of
from funcam.network.state import HOOKS
from funcam.network.state import signature as signature
from funcam.network.walking import tensors_of
from funcam.network.writes import LentTable, ParametersWritten

# Hooks by which torch itself computes a weight before each call (weight_norm, spectral_norm, pruning). They're part of
# what the model computes, always. Whether other hooks are, a check finds out (`funcam.network.checks`).
_WEIGHT_HOOKS = "torch.nn.utils."
_FORWARD_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_FLAGS = (
    *("_forward_hooks_with_kwargs", "_forward_pre_hooks_with_kwargs", "_forward_hooks_always_called"),
    *("_non_persistent_buffers_set",),
)
_TABLES = (*HOOKS, *_FLAGS)
_LENT_TABLE = LentTable()


def twin(
    model: nn.Module,
    *,
    hooks: bool = False,
    frozen: bool = False,
    own_buffers: bool = False,
    own_tables: bool = True,
    own_parameters: bool = False,
    watched: bool = False,
) -> nn.Module:
    """A copy of the module tree that shares every parameter and buffer, in evaluation mode.

    Whatever else the model's code may write into belongs to the twin: dicts, lists, sets, arrays and plain objects that
    modules hold, at any depth, and the variables in the closures of functions that they hold. Methods, functions and
    partials that hold a module of the tree hold its twin. Where a class has a `train` or `eval` of its own, the twin's
    is called.

    Args:
        model: any module; it is only read.
        hooks: whether the caller's hooks come along; torch's own that compute weights always do.
        frozen: whether its parameters ask for no gradient (they share their memory with the model's all the same).
        own_buffers: whether it gets copies of the buffers, for code that may write into them.
        own_tables: whether it gets tables of hooks of its own even where they are empty, for code that may register
            hooks while it runs; else that is stopped before it does.
        own_parameters: whether it gets copies of the parameters, through which the model's own are differentiated. It
            does in any case where its `train(False)` writes into them.
        watched: whether what the forward hooks' functions fill stays the caller's, who reads it.

    Returns:
        A module of the same class with the same `state_dict` entries (the same memory, unless said otherwise).

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.Dropout()).train()
        >>> copy = twin(model)
        >>> copy.training, model.training, copy[0].weight is model[0].weight
        (False, True, True)
    """
    return twin_of(
        model,
        hooks=hooks,
        frozen=frozen,
        own_buffers=own_buffers,
        own_tables=own_tables,
        own_parameters=own_parameters,
        watched=watched,
    ).root


def twin_of(model: nn.Module, *, own_parameters: bool = False, **options: bool) -> Twin:
    """As `twin`, with what was found out while it was made.

    Args:
        model: as in `twin`.
        own_parameters: as in `twin`.
        **options: as in `twin`.
    """
    try:
        return Twin(model, own_parameters=own_parameters, **options)
    except ParametersWritten:
        return Twin(model, own_parameters=True, **options)


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


class Twin(Copies):
    """One copy of a module tree.

    Attributes:
        root: the twin.
        own_parameters: whether it has copies of the parameters.
        lent_parameters: the model's parameters where it has none.
        made_tensors: whether the model's own `train` or `eval` made tensors for a twin with aliases, which are right
            for the weights at that time.
    """

    root: nn.Module
    own_parameters: bool
    lent_parameters: list[torch.Tensor]
    made_tensors: bool

    def __init__(
        self,
        model: nn.Module,
        *,
        hooks: bool = False,
        frozen: bool = False,
        own_buffers: bool = False,
        own_tables: bool = True,
        own_parameters: bool = False,
        watched: bool = False,
        aliases: bool = False,
    ) -> None:
        """Copy a model.

        Args:
            model: as in `twin`.
            hooks: as in `twin`.
            frozen: as in `twin`.
            own_buffers: as in `twin`.
            own_tables: as in `twin`.
            own_parameters: as in `twin`.
            watched: as in `twin`.
            aliases: whether its parameters are other ones in the same memory.

        Raises:
            ParametersWritten: a `train` or `eval` of its own would write into the parameters, which are the model's.
        """
        super().__init__(frozen, own_buffers)
        self.hooks, self.own_tables, self.own_parameters, self.watched = hooks, own_tables, own_parameters, watched
        self.aliases, self.own_mode = aliases, False
        self.lent_parameters = []
        self.root = self.module(model)
        self.made_tensors = False
        if self.own_mode or any(map(has_own_mode, self.kinds)):
            self._evaluate(model)

    def _evaluate(self, model: nn.Module) -> None:
        before = set(map(id, tensors_of(self.root))) if self.aliases else set()
        modes = [(self.done[id(module)], module.training) for module in model.modules()]
        evaluate(self.root, modes, self.own_parameters)
        self.made_tensors = self.aliases and any(id(tensor) not in before for tensor in tensors_of(self.root))

    def module(self, module: nn.Module) -> nn.Module:
        """The twin of a module; its children are made before anything is put into them, for references upwards."""
        new: list[tuple[nn.Module, nn.Module]] = []
        pending = [module]
        for one in pending:  # grows while it runs
            if id(one) not in self.done:
                copy: nn.Module = object.__new__(type(one))
                self.done[id(one)] = copy
                self.kinds.add(type(one))
                new.append((one, copy))
                pending += [child for child in one.__dict__["_modules"].values() if child is not None]
        for one, copy in new:
            self._fill(one, copy)
        return self.done[id(module)]  # type: ignore[no-any-return]

    def _fill(self, module: nn.Module, copy: nn.Module) -> None:
        given = module.__dict__
        fields = given.copy()
        filled = [name for name in _TABLES if given.get(name)]
        for name in filled:
            fields[name] = self.table(given[name])
            fields[name].update(given[name])
        if self.own_tables:
            fields.update({name: type(given[name])() for name in _TABLES if name in given and name not in filled})
        else:
            fields.update({name: _LENT_TABLE for name in HOOKS if name in given and name not in filled})
            fields["_non_persistent_buffers_set"] = set(given["_non_persistent_buffers_set"])
        fields["_parameters"] = {name: self._parameter(value) for name, value in given["_parameters"].items()}
        fields["_buffers"] = {name: self._buffer(value) for name, value in given["_buffers"].items()}
        children = given["_modules"].items()
        fields["_modules"] = {name: None if child is None else self.done[id(child)] for name, child in children}
        fields["training"] = False
        self.own_mode = self.own_mode or "train" in fields or "eval" in fields
        fields.pop("_compiled_call_impl", None)  # what model.compile() made is bound to the original
        for name in settings_of(module):
            if name in fields and type(given[name]) not in ATOMS:
                fields[name] = self.value(given[name])
        if filled:
            self._copy_hooks(fields)
        copy.__dict__.update(fields)

    def _copy_hooks(self, fields: dict[str, Any]) -> None:
        for name in HOOKS:
            if fields.get(name):
                forward = name in _FORWARD_HOOKS
                kept = {key: hook for key, hook in fields[name].items() if self.hooks or _computes_weights(hook)}
                fields[name].clear()  # it is the twin's
                for key, hook in kept.items():
                    fields[name][key] = self.function(hook, closures=not (forward and self.watched))
                if forward and not self.hooks:
                    for flags in _FLAGS[:3]:
                        fields[flags] = type(fields[flags])()

    def _parameter(self, tensor: torch.Tensor | None) -> torch.Tensor | None:
        if tensor is not None and not self.own_parameters:
            self.lent_parameters.append(tensor)
        if tensor is None or not (self.frozen or self.own_parameters or self.aliases or tensor.is_inference()):
            return tensor
        if id(tensor) not in self.done:
            self.done[id(tensor)] = self._own_parameter(tensor)
        return self.done[id(tensor)]  # type: ignore[no-any-return]

    def _own_parameter(self, tensor: torch.Tensor) -> torch.Tensor:
        own = usable(tensor)
        own = own.detach() if self.frozen else own
        if self.aliases and type(tensor) is nn.Parameter:
            return nn.Parameter(own.detach(), tensor.requires_grad)
        return own.clone() if self.own_parameters else own

    def _buffer(self, tensor: torch.Tensor | None) -> torch.Tensor | None:
        own = self.own_tensors
        if tensor is not None and not own:
            self.lent.append(tensor)
        if tensor is None or not (own or tensor.is_inference() or (self.frozen and tensor.requires_grad)):
            return tensor
        if id(tensor) not in self.done:
            alias = usable(tensor)
            alias = alias.detach() if self.frozen else alias
            self.done[id(tensor)] = alias.clone() if own else alias
        return self.done[id(tensor)]  # type: ignore[no-any-return]


def _computes_weights(hook: Any) -> bool:
    return type(hook).__module__.startswith(_WEIGHT_HOOKS)


def count_hooks(model: nn.Module) -> int:
    """How many forward hooks stand on a model's modules, torch's own among them."""
    return sum(len(module.__dict__[name]) for module in model.modules() for name in _FORWARD_HOOKS)


def has_hooks(model: nn.Module) -> bool:
    """Whether the caller put hooks on a model, forward or backward (torch's own that compute weights don't count).

    Example:
        >>> model = nn.Sequential(nn.ReLU())
        >>> _ = model[0].register_forward_hook(print)
        >>> has_hooks(model)
        True
    """
    return next(callers_hooks(model), None) is not None


def callers_hooks(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """The caller's forward and backward hooks on a model, each with the path of its module."""
    for path, module in model.named_modules():
        for name in HOOKS:
            for hook in module.__dict__.get(name, {}).values():
                if not _computes_weights(hook):
                    yield path, hook


@contextmanager
def kept_tables(model: nn.Module, hooks: bool = True) -> Iterator[None]:
    """Whatever hooks remove, or register, while they run: afterwards a model's tables of them are what they were.

    Args:
        model: a module.
        hooks: whether hooks run at all.
    """
    modules = model.modules() if hooks else ()
    tables = [table for module in modules for name in _TABLES if (table := vars(module).get(name))]
    before = [table.copy() for table in tables]
    try:
        yield
    finally:
        for table, kept in zip(tables, before, strict=True):
            if table != kept:
                table.clear()
                table.update(kept)
