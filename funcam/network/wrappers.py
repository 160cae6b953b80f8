"""What is around a model: wrappers that are looked through, and models that are refused with the reason."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Container, Sequence
from types import FunctionType
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from funcam.errors import FuncamError
from funcam.network.failures import PAIR
from funcam.network.refusals import refuse

_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)
_PREFIXES = ("module", "_orig_mod")
_LIST = re.compile(r"(typing\.)?list\b|<class 'list'>", re.IGNORECASE)
_EMPTY = inspect.Parameter.empty
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def unwrapped(model: Any) -> nn.Module:
    """The module itself, inside what `torch.compile`, `DataParallel` or `DistributedDataParallel` wrap around it.

    Raises:
        FuncamError: it is no module, or one of TorchScript's.

    Example:
        >>> model = nn.Linear(2, 3)
        >>> unwrapped(nn.DataParallel(model)) is model
        True
    """
    if not isinstance(model, nn.Module):
        raise _no_module(model)
    if isinstance(model, torch.jit.ScriptModule):
        refuse(model)
    if isinstance(model, _WRAPPERS):
        return unwrapped(model.module)
    inner = model._modules.get("_orig_mod")
    return model if inner is None else unwrapped(inner)


def plain_name(known: Container[str], layer: str) -> str:
    """A layer's name without the prefix of a wrapper, unless a layer is called so: `module.layer4` is `layer4`.

    Example:
        >>> plain_name({"layer4": ...}, "module.layer4"), plain_name({"module.conv": ...}, "module.conv")
        ('layer4', 'module.conv')
    """
    first, _, rest = layer.partition(".")
    return layer if layer in known or first not in _PREFIXES or not rest else plain_name(known, rest)


def _no_module(model: Any) -> FuncamError:
    if isinstance(model, str):
        return FuncamError(
            f"{model!r} is a name, not a model; give a module: funcam.zoo.load_net({model!r}).model, or "
            f"torchvision.models.get_model({model!r}, weights='DEFAULT')"
        )
    if isinstance(model, tuple):
        return FuncamError(
            "a pair (features, head) is cut already and has no module behind it; this needs the whole module"
        )
    if isinstance(model, type) and issubclass(model, nn.Module):
        return FuncamError(f"{model.__name__} is a class, not a model; give an instance: {model.__name__}(...)")
    inner = getattr(model, "model", None)  # a split, a network of the zoo
    if isinstance(inner, nn.Module) or callable(inner):
        call = "()" if not isinstance(inner, nn.Module) else ""
        return FuncamError(f"a {type(model).__name__} was given where the model is needed; give its .model{call}")
    return FuncamError(
        f"a {type(model).__name__} is no model; give a torch.nn.Module, or a pair of functions (features, head)"
    )


def forward_of(model: nn.Module) -> Callable[..., Any]:
    """The model's `forward`, bound: the instance's own where it has one."""
    function: Callable[..., Any] = vars(model).get("forward") or type(model).forward.__get__(model)
    return function


def parameters_of(forward: Callable[..., Any]) -> Sequence[inspect.Parameter]:
    """What a bound `forward` takes; nothing is known of one that can't be inspected."""
    function = getattr(forward, "__func__", None)
    if not isinstance(function, FunctionType):
        return _inspected(forward)
    if function not in _TAKEN:  # inspecting takes a tenth of a millisecond
        _TAKEN[function] = _inspected(forward)
    return _TAKEN[function]


def _inspected(forward: Callable[..., Any]) -> Sequence[inspect.Parameter]:
    try:
        return tuple(inspect.signature(forward).parameters.values())
    except (TypeError, ValueError):
        return ()


_TAKEN: WeakKeyDictionary[FunctionType, Sequence[inspect.Parameter]] = WeakKeyDictionary()


def required_of(model: nn.Module) -> list[str]:
    """The names of what a model has to be given."""
    parameters = parameters_of(forward_of(model))
    return [p.name for p in parameters if p.default is _EMPTY and p.kind not in _VARIADIC]


def refuse_list(model: nn.Module) -> None:
    """Refuse a model that takes its images in a list.

    Raises:
        FuncamError: it does.
    """
    name, parameters = type(model).__name__, parameters_of(forward_of(model))
    first = str(getattr(parameters[0], "annotation", "")) if parameters else ""
    if _LIST.match(first) or [p.name for p in parameters[:2]] == ["images", "targets"]:  # (some are not annotated)
        said = f"{parameters[0].name}: {first}" if _LIST.match(first) else "images, targets"
        raise FuncamError(
            f"{name} takes a list of images ({said}), as detectors do; for torchvision's give "
            "the pair that funcam.detector(model) makes: explain(funcam.detector(model), images); for others " + PAIR
        )
