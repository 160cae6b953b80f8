"""Whether the caller's hooks are part of what a model computes: by letting them run once, and by their code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import CodeType, TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from funcam.errors import FuncamError
from funcam.network.checks import cotangents, difference
from funcam.network.failures import place_of as place_in_code
from funcam.network.failures import reason_of
from funcam.network.known import known_of
from funcam.network.outputs import leaves
from funcam.network.random_numbers import own_random_numbers
from funcam.network.state import reached
from funcam.network.tap import Inputs
from funcam.network.twin import callers_hooks, has_hooks, kept_tables, twin
from funcam.network.watching import only_watches
from funcam.network.writes import ParametersWritten, Unwritten

Gradients = list[Tensor | None]


@dataclass(frozen=True, eq=False)
class _Computed:
    """What a model made of an image.

    Attributes:
        outputs: the tensors in what it returned.
        gradients: the derivative of a random function of them by the image and each parameter, None for one that has
            none; None for all where torch has no derivative there.
    """

    outputs: list[Tensor]
    gradients: Gradients | None


def without_hooks(model: nn.Module) -> nn.Module:
    """A model without the caller's hooks: itself where it has none, else a twin that is kept."""
    return known_of(model).fact("without hooks", lambda: twin(model), lasting=True) if has_hooks(model) else model


def hooks_count(model: nn.Module, inputs: Inputs) -> bool:
    """Whether outputs or derivatives are others without the caller's hooks, which run here once.

    They run on a twin, and see tensors of plain autograd, as they would while the model is trained. The derivative is
    that by the image and every parameter, so that the answer holds for each layer.

    Args:
        model: a module with hooks; it is only read.
        inputs: an image, and whatever else it takes.

    Raises:
        FuncamError: the model can't take the image, or a hook can't run: which one is told.
    """
    bare = None
    with suppress(Exception):  # whatever the model's code raises where its own hooks are missing
        bare = _computed(model, inputs, hooks=False)
    try:
        hooked = _computed(model, inputs, hooks=True)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        if bare is not None:
            raise FuncamError(_cannot_run(model, error)) from error
        return False  # the model itself can't run: that is told where it is run without them
    return bare is None or _differ(hooked, bare)


def hooks_may_count(model: nn.Module) -> bool:
    """Whether a hook might act on other images than the one it has seen: all but those whose code only watches."""
    known = reached(model)
    return not all(only_watches(hook, known) for _, hook in callers_hooks(model))


def _computed(model: nn.Module, inputs: Inputs, hooks: bool) -> _Computed:
    try:
        return _computed_with(model, inputs, hooks, own_parameters=False)
    except ParametersWritten:
        return _computed_with(model, inputs, hooks, own_parameters=True)


def _computed_with(model: nn.Module, inputs: Inputs, hooks: bool, own_parameters: bool) -> _Computed:
    with (
        own_random_numbers(inputs.images),
        torch.inference_mode(False),
        torch.enable_grad(),
        kept_tables(model, hooks),
    ):
        options = {"frozen": True, "own_buffers": True, "own_parameters": own_parameters, "watched": True}
        own = twin(model, hooks=hooks, **options)
        by = [inputs.images.detach().clone(), *own.parameters()]
        by = [tensor for tensor in by if tensor.is_floating_point() or tensor.is_complex()]
        for tensor in by:  # all of them the twin's, or ours
            tensor.requires_grad = True
        with Unwritten([] if own_parameters else own.parameters()):
            outputs = [t for _, t in leaves(inputs.own(own_tensors=True).call(own, by[0].clone()))]
        return _Computed([t.detach() for t in outputs], _gradients(outputs, by))


def _gradients(outputs: list[Tensor], by: list[Tensor]) -> Gradients | None:
    values = [t for t in outputs if t.is_floating_point()]
    asked = [(t, cotangent) for t, cotangent in zip(values, cotangents(values), strict=True) if t.requires_grad]
    if not asked:
        return [None] * len(by)
    try:
        return list(torch.autograd.grad([t for t, _ in asked], by, [c for _, c in asked], allow_unused=True))
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:  # it writes in place what a derivative needs
        return None


def _differ(one: _Computed, other: _Computed) -> bool:
    if difference(one.outputs, other.outputs):
        return True
    if one.gradients is None or other.gradients is None:
        return one.gradients is not other.gradients
    return any(
        (a is None) != (b is None) or (a is not None and b is not None and bool(difference([a], [b])))
        for a, b in zip(one.gradients, other.gradients, strict=True)
    )


def _cannot_run(model: nn.Module, error: Exception) -> str:
    return (
        f"{_blamed(model, error)} on {type(model).__name__} can't run beside funcam ({reason_of(error)}"
        f"{place_in_code(error)}); remove it, or leave the hooks out: hooks=False"
    )


def _blamed(model: nn.Module, error: Exception) -> str:
    """The hook in whose code an error arose; all of them where none shows in it."""
    codes = set(_codes(error.__traceback__))
    hooks = [(_name(hook), _code(hook), path or "the model itself") for path, hook in callers_hooks(model)]
    blamed = [row for row in hooks if row[1] in codes] or hooks
    named = ", ".join(f"{name!r} at {path!r}" for name, _, path in blamed[:4])
    return f"the hook {named}" if len(blamed) == 1 else f"one of the hooks {named}"


def _codes(traceback: TracebackType | None) -> Iterator[CodeType]:
    while traceback is not None:
        yield traceback.tb_frame.f_code
        traceback = traceback.tb_next


def _function(hook: Callable[..., Any]) -> Any:
    while hasattr(hook, "func"):  # a partial
        hook = hook.func
    hook = getattr(hook, "__func__", hook)
    return hook if hasattr(hook, "__code__") else type(hook).__call__


def _code(hook: Callable[..., Any]) -> CodeType | None:
    return getattr(_function(hook), "__code__", None)


def _name(hook: Callable[..., Any]) -> str:
    return str(getattr(_function(hook), "__qualname__", type(hook).__qualname__))
