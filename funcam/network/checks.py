"""What a model does, run as it is: the reference that a graph of it is believed against."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from funcam.errors import FuncamError
from funcam.network.blame import called
from funcam.network.derivative import along
from funcam.network.failures import ModelFailed, reason_of
from funcam.network.outputs import differentiable, leaves, mapped
from funcam.network.random_numbers import own_random_numbers, states_beside_torch
from funcam.network.samples import scattered
from funcam.network.tap import Inputs, Manner, Place, Visit, run
from funcam.network.tracing import uncompiled
from funcam.network.twin import count_hooks, kept_tables, twin_of
from funcam.network.visits import visit_module
from funcam.network.walking import tensors_of
from funcam.network.writes import BuffersWritten, InputsWritten, Lent, ParametersWritten

_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}
_TIMES = 3
_TF32 = 1e-2
"""On a GPU torch multiplies float32 as TF32 where it may, as convolutions do: the mantissa is float16's."""


def tolerance(tensor: Tensor) -> float:
    """How far rounding alone may move a tensor, as a share of its largest value.

    Example:
        >>> tolerance(torch.zeros(1)), tolerance(torch.zeros(1, dtype=torch.float16))
        (0.0001, 0.01)
    """
    return _TF32 if tensor.dtype is torch.float32 and tensor.is_cuda else _TOLERANCE[tensor.dtype]


@dataclass(frozen=True, eq=False)
class Reference:
    """What a model made of some images.

    Attributes:
        outputs: the tensors in what it returned.
        features: what the layer returned, as it is laid out there; None where the derivative is one of the images.
        gradient: the derivative of a random function of the outputs with respect to it (or to the images); None where
            torch has no derivative there.
        plain: whether `torch.func` refused and plain autograd had to differentiate.
        trouble: why torch has no derivative there.
    """

    outputs: list[Tensor]
    features: Tensor | None
    gradient: Tensor | None
    plain: bool = False
    trouble: str = ""


def first_run(model: nn.Module, inputs: Inputs, hooks: bool) -> tuple[Manner, Any]:
    """How a model has to be run, found out by running it: what its code writes into, and whether it runs at all.

    Returned with it is what the model returned.

    Args:
        model: a module; it is only read.
        inputs: an image, and whatever else it takes.
        hooks: whether the caller's hooks run.

    Raises:
        FuncamError: the model can't take the images.
    """
    with own_random_numbers(inputs.images), torch.inference_mode(False), kept_tables(model, hooks), uncompiled():
        try:
            with torch.no_grad():
                return _tried(model, inputs, hooks, recorded=False)
        except ModelFailed:
            with suppress(ModelFailed), torch.enable_grad():  # `register_hook` and `retain_grad` need autograd
                return _tried(model, inputs, hooks, recorded=True)
            raise


def _tried(model: nn.Module, inputs: Inputs, hooks: bool, recorded: bool) -> tuple[Manner, Any]:
    """Run it, again where random numbers were drawn: by other threads, if not each time."""
    for _ in range(_TIMES):
        try:
            manner, outputs = _run_once(model, inputs, hooks, recorded, own_parameters=False)
        except ParametersWritten:
            manner, outputs = _run_once(model, inputs, hooks, recorded, own_parameters=True)
        if not manner.draws:
            break
    return manner, outputs


def _run_once(
    model: nn.Module, inputs: Inputs, hooks: bool, recorded: bool, own_parameters: bool
) -> tuple[Manner, Any]:
    made = twin_of(model, hooks=hooks, frozen=True, own_buffers=True, own_parameters=own_parameters)
    own, own_parameters = made.root, made.own_parameters
    threads: set[int] = set()
    for module in own.modules():
        visit_module(module, lambda _: threads.add(threading.get_ident()))
    parameters, buffers, weights = list(own.parameters()), list(own.buffers()), dict(own.named_parameters())
    shared = set(map(id, parameters))
    held = [tensor for tensor in tensors_of(own) if id(tensor) not in shared]
    images, given = inputs.images.detach().clone(), inputs.own(own_tensors=True)
    if recorded:
        images.requires_grad = True  # ours
        images = images.clone()
    taken = [images, *(tensor for _, tensor in leaves([list(given.args), dict(given.kwargs)]))]
    watched: tuple[Sequence[Tensor], ...] = (parameters, held, taken)
    before, hooked, undrawn = [_versions(tensors) for tensors in watched], count_hooks(own), states_beside_torch()
    noted = Lent({BuffersWritten: held, InputsWritten: taken}, stopping=False)
    with noted, Lent({} if own_parameters else {ParametersWritten: parameters}):
        outputs = called(own, lambda: given.call(own, images), inputs.taken, inputs.has_others)
    _refuse_new_weights(own, weights)
    wrote, filled, images_too = [_versions(tensors) != known for tensors, known in zip(watched, before, strict=True)]
    replaced = any(a is not b for a, b in zip(own.buffers(), buffers, strict=False))
    manner = Manner(
        hooks=hooks,
        own_buffers=filled or replaced or BuffersWritten in noted.seen,
        own_images=images_too or InputsWritten in noted.seen,
        own_tables=count_hooks(own) != hooked,
        own_parameters=own_parameters or wrote,
        autograd=recorded,
        threads=bool(threads - {threading.get_ident()}),
        draws=states_beside_torch() != undrawn,
    )
    return manner, mapped(outputs, Tensor.detach)


def _versions(tensors: Sequence[Tensor]) -> list[int]:
    """How often tensors were written into."""
    return [tensor._version for tensor in tensors if not tensor.is_inference()]


def _refuse_new_weights(own: nn.Module, before: Mapping[str, Tensor]) -> None:
    """A model that makes weights of its own while it first runs would make others in every run of a twin."""
    made = [path for path, _ in own.named_parameters() if path not in before]
    if made:
        raise FuncamError(
            f"{type(own).__name__} makes its weights {made[0]!r} while it runs for the first time; run it once before: "
            "model(images)"
        )


def reference(
    model: nn.Module, inputs: Inputs, place: Place | None, manner: Manner, like: Tensor | None = None
) -> Reference:
    """Run a model as it is and differentiate it at a layer; without one, with respect to the images.

    Args:
        model: a module; it is only read.
        inputs: a sample.
        place: the layer.
        manner: how the model has to be run.
        like: what the layer holds, as far as is known: only shape and type are looked at, and the model is asked where
            they are others.

    Raises:
        FuncamError: as `funcam.network.tap.run`.
    """
    if place is None:
        like = inputs.images
    elif like is None:
        like = features_at(model, inputs, place, manner)
    kind = (like.shape, like.dtype)

    def function(delta: Tensor) -> tuple[list[Tensor], Any]:
        seen: list[Tensor] = []

        def visit(tensor: Tensor) -> Tensor:
            seen.append(tensor.clone())
            return tensor + delta if (tensor.shape, tensor.dtype) == kind else tensor

        if place is None:
            changed = replace(inputs, images=inputs.images + delta)
            outputs = run(model, changed, {}, manner)
        else:
            outputs = run(model, inputs, {place: visit}, manner)
        return differentiable(outputs, type(model).__name__), ([tensor for _, tensor in leaves(outputs)], seen)

    zeros, asked = torch.zeros_like(like), manner.plain or None
    with own_random_numbers(inputs.images):
        try:
            _, (gradient,), (tensors, seen), plain = along(function, (zeros,), cotangents, asked)
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            with torch.no_grad():
                tensors = [t for _, t in leaves(run(model, inputs, {}, manner))]
            features = None if place is None else features_at(model, inputs, place, manner)
            return Reference(tensors, features, None, trouble=reason_of(error))
    features = seen[0].detach() if seen else None
    if features is not None and (features.shape, features.dtype) != kind:
        return reference(model, inputs, place, manner, features)
    return Reference([t.detach() for t in tensors], features, gradient, plain)


def by_autograd(model: nn.Module, inputs: Inputs, place: Place, manner: Manner, known: Reference) -> Reference:
    """The same by plain autograd where that has another derivative: `torch.func` sees nothing of other threads."""
    if known.plain or known.gradient is None:
        return known
    plain = reference(model, inputs, place, replace(manner, autograd=True), known.features)
    agree = plain.gradient is None or not difference([known.gradient], [plain.gradient])
    return known if agree else plain


def features_at(model: nn.Module, inputs: Inputs, place: Place, manner: Manner) -> Tensor:
    """What a layer returns, as it is laid out there."""
    return features_of(model, inputs, [place], manner)[0]


def features_of(model: nn.Module, inputs: Inputs, places: Sequence[Place], manner: Manner) -> list[Tensor]:
    """What several layers return in one run, each as it is laid out there."""
    return outputs_and_features(model, inputs, places, manner)[1]


def outputs_and_features(
    model: nn.Module, inputs: Inputs, places: Sequence[Place], manner: Manner
) -> tuple[Any, list[Tensor]]:
    """What a model, and several of its layers, return in one run."""
    seen: dict[Place, Tensor] = {}

    def visit(place: Place) -> Visit:
        def read(tensor: Tensor) -> Tensor:
            seen[place] = tensor.detach().clone()
            return tensor

        return read

    with own_random_numbers(inputs.images), torch.no_grad():
        outputs = run(model, inputs, {place: visit(place) for place in places}, manner)
    return outputs, [seen[place] for place in places]


def cotangents(values: Sequence[Tensor]) -> list[Tensor]:
    """Cotangents without a pattern, the same ones at every call, made without the random state."""
    return [scattered(value.shape, value.dtype, value.device, number) for number, value in enumerate(values)]


def difference(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> str:
    """In which way tensors differ, in words; "" where they don't but for rounding."""
    if len(ours) != len(theirs):
        return f"{len(ours)} tensors for {len(theirs)}"
    for one, other in zip(map(_dense, ours), map(_dense, theirs), strict=True):
        if one.shape != other.shape or one.dtype != other.dtype:
            return f"{list(one.shape)} of {one.dtype} for {list(other.shape)} of {other.dtype}"
        if one.is_floating_point():
            scale = float(other.detach().nan_to_num().abs().max()) if other.numel() else 0.0
            if not torch.allclose(one, other, rtol=0, atol=tolerance(other) * scale + 1e-30, equal_nan=True):
                return f"off by {float((one - other).detach().nan_to_num().abs().max()):.2g}"
        elif not torch.equal(one, other):
            return "other whole numbers"
    return ""


def _dense(tensor: Tensor) -> Tensor:
    return tensor if tensor.layout is torch.strided else tensor.to_dense()


Compared = Callable[[], tuple[list[Tensor], Tensor | None]]
Made = TypeVar("Made")


def why_not_run(function: Callable[[], Made]) -> tuple[Made | None, str]:
    """What a graph makes, or why it can't run, in words."""
    try:
        return function(), ""
    except (RuntimeError, TypeError, ValueError, AssertionError, AttributeError, LookupError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        return None, f"it can't run ({reason_of(error)})"


def why_not_believed(compared: Compared, known: Reference) -> str:
    """Why a graph is not what the model is, in words; "" where it is.

    Args:
        compared: runs the graph: the tensors in its outputs, and the same derivative.
        known: what the model does.
    """
    made, why = why_not_run(compared)
    if made is None:
        return why
    outputs, gradient = made
    said = difference(outputs, known.outputs)
    if said:
        return f"its outputs are other ones ({said})"
    if known.gradient is None:  # code that can't be differentiated as it is: a graph may still be
        return ""
    if gradient is None:
        return "it has no derivative where the model has one"
    said = difference([gradient], [known.gradient])
    return f"its derivative is another one ({said})" if said else ""
