"""A model's graph, where a check finds that it computes what the model computes: what rewrites are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from funcam.errors import FuncamError
from funcam.network.checks import Reference, cotangents, difference, first_run, reference, why_not_believed
from funcam.network.cuts import Cut
from funcam.network.derivative import along, recordable
from funcam.network.graph import Graph
from funcam.network.hooks import hooks_count, hooks_may_count
from funcam.network.known import Known, TracedModel, known_of
from funcam.network.outputs import leaves
from funcam.network.samples import kind_of, numbers, sample_of
from funcam.network.state import hooks_state
from funcam.network.tap import Inputs, Manner
from funcam.network.tracing import is_compiled
from funcam.network.twin import has_hooks
from funcam.network.wrappers import unwrapped

Shape = tuple[int, ...]


def graph_of(model: nn.Module, images: Tensor | Shape | None = None) -> Graph:
    """The model's graph, where it computes what the model computes: what rewrites are made of.

    Args:
        model: a module; it is only read.
        images: images that the graph is for, or their shape; None for a usual size.

    Raises:
        FuncamError: neither `torch.fx` nor `torch.export` can follow it, or hooks are part of the function.
    """
    model = unwrapped(model)
    known = known_of(model)
    traced = known.traced(model)
    sample = _to_run(model, traced, images)
    if sample is None or sample.is_meta or is_compiled():  # nothing to run it on
        return (traced or known.exported(model, images, known.failure)).graph
    if has_hooks(model) and manner_for(model, sample_of(Inputs(sample))).hooks:
        raise FuncamError(
            f"{type(model).__name__} has hooks that are part of what it computes, or may be for other images, and a "
            "graph has none; remove them, or leave them out: hooks=False"
        )
    why = known.failure
    if traced is not None:
        why = _why_not_graph(known, model, traced, Inputs(sample))
        if not why:
            return traced.graph
    exported = known.exported(model, images, why).graph
    _refuse_another_derivative(known, model, exported, Inputs(sample))
    return exported


def structure_of(model: nn.Module, images: Tensor | Shape | None = None) -> TracedModel:
    """The model's graph, whether it computes just what the model does or not: what follows what is the same."""
    model = unwrapped(model)
    known = known_of(model)
    return known.traced(model) or known.exported(model, images, known.failure)


def _to_run(model: nn.Module, traced: TracedModel | None, images: Tensor | Shape | None) -> Tensor | None:
    """What a model's graph can be checked with; None where there is nothing."""
    if isinstance(images, Tensor):
        return images
    return None if traced is None else _usual_images(model, traced, images)


def _usual_images(model: nn.Module, traced: TracedModel, image: Shape | None) -> Tensor | None:
    """An image of a shape, or of a usual one, to run a model on; None where it takes none of these."""
    try:
        shape = traced.shapes(image).image
    except FuncamError:
        if image is not None:
            raise
        return None
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(()))
    return numbers((1, *shape[1:]), like.dtype, like.device)


def manner_for(model: nn.Module, inputs: Inputs, known: Known | None = None) -> Manner:
    """How a model has to be run, found out once for inputs of a kind; the caller's hooks see no more than that.

    Args:
        model: a module; it is only read.
        inputs: what goes into it; it is run on a sample of them.
        known: what is known of it as it is now, for who has asked already.
    """
    known, kind = known or known_of(model), kind_of(inputs)
    hooked = known.fact("hooked", lambda: has_hooks(model), lasting=True)
    with_hooks = hooked and known.fact(("hooks", kind), lambda: _judged(known, model, sample_of(inputs)))

    def find() -> Manner:
        manner, outputs = first_run(model, sample_of(inputs), with_hooks)
        known.outputs.get(kind, lambda: outputs)
        return manner

    return known.fact(("manner", kind), find)


def _judged(known: Known, model: nn.Module, inputs: Inputs) -> bool:
    count = hooks_count(model, inputs)
    known.hooks = hooks_state(model)  # hooks that only watch may have noted what they saw
    return count or hooks_may_count(model)


def _why_not_graph(known: Known, model: nn.Module, traced: TracedModel, inputs: Inputs) -> str:
    def find() -> str:
        sample = sample_of(inputs)
        manner = manner_for(model, sample)
        if manner.hooks:
            return "the caller's hooks are part of what it computes"
        if manner.own_parameters:
            return "its code writes into its parameters"
        if manner.draws:
            return "its code draws random numbers of Python's or NumPy's"
        as_it_is = reference(model, sample, None, manner)
        why = why_not_believed(lambda: through(traced.graph.module, sample.images), as_it_is)
        return f"by torch.fx, {why}" if why else ""

    return known.fact(("graph", kind_of(inputs)), find)


def _refuse_another_derivative(known: Known, model: nn.Module, exported: Graph, inputs: Inputs) -> None:
    """`torch.export` keeps what code computes, and loses a derivative of its own.

    Raises:
        FuncamError: the model's derivative is another one.
    """

    def find() -> str:
        sample = sample_of(inputs)
        as_it_is = reference(model, sample, None, manner_for(model, sample))
        return why_not_believed(lambda: through(exported.module, sample.images, plain=None), as_it_is)

    why = known.fact(("exported graph", kind_of(inputs)), find)
    if why:
        name = type(model).__name__
        raise FuncamError(
            f"the graph that torch.export makes of {name} is another function: {why}; its code may have a derivative "
            "of its own (autograd.Function, a hook on a tensor), which no graph keeps; use gradient, or grad-cam"
        )


def quiet(function: Callable[..., Any]) -> Callable[..., Any]:
    """A graph's code without its module's call, which prints a traceback where it fails."""
    return function.forward if isinstance(function, fx.GraphModule) else function


def through(
    function: Callable[[Tensor], Any], tensor: Tensor, plain: bool | None = False
) -> tuple[list[Tensor], Tensor]:
    """What a graph, or the part of it behind a layer, makes of a tensor: its outputs, and the derivative there.

    Args:
        function: the graph.
        tensor: what goes in.
        plain: as in `vjp`.
    """
    function = quiet(function)

    def run(given: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        outputs = [t for _, t in leaves(function(given))]
        return [t for t in outputs if t.is_floating_point()], outputs

    with torch.inference_mode(False):
        _, (gradient,), outputs, _ = along(run, [recordable(tensor).detach()], cotangents, plain)
    return [t.detach() for t in outputs], gradient


def through_cut(cut: Cut, values: Mapping[str, Any], known: Reference) -> tuple[list[Tensor], Tensor]:
    """The same at the layer of a cut, whose features (and what crosses beside them) are these.

    Raises:
        ValueError: the model's layer holds something else.
    """
    tensor, *crossing = (values[name] for name in cut.names)
    said = "" if known.features is None else difference([tensor], [known.features])
    if said:
        raise ValueError(f"what the layer holds is another thing: {said}")
    rest = quiet(cut.rest)
    return through(lambda features: rest(features, *crossing), tensor)
