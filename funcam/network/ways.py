"""By which way a model is cut at a layer: its graph where a check believes it, else taps in its own code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from funcam.errors import FuncamError, nearest
from funcam.network.checks import (
    Reference,
    cotangents,
    difference,
    manner_of,
    reference,
    why_not_believed,
)
from funcam.network.choice import LAST_CONV, last_conv
from funcam.network.cuts import Cut
from funcam.network.derivative import vjp
from funcam.network.graph import Graph
from funcam.network.images import check_images
from funcam.network.inputs import check_inputs, has_others
from funcam.network.known import Known, TracedModel, known_of
from funcam.network.misfits import axes_taken
from funcam.network.outputs import leaves
from funcam.network.samples import kind_of, numbers, sample_of
from funcam.network.survey import default_place, last_convolution, survey
from funcam.network.tap import Inputs, Manner, Place, place_of
from funcam.network.tracing import is_compiled
from funcam.network.twin import has_hooks
from funcam.network.wrappers import plain_name, unwrapped

Shape = tuple[int, ...]
VIA = (None, "fx", "tap", "export")
_BELIEVED = "its graph computes what the model computes"


@dataclass(frozen=True, eq=False)
class TapCut:
    """A layer where the model's own code is tapped.

    Attributes:
        place: the module, its call, the part of what it returns.
        manner: how the model has to be run.
        plain: whether plain autograd has to differentiate it.
        patch: for a layer of tokens, the side lengths in pixels of the patch that each token stands for.
        shape: the shape of what the layer returns for one image.
        dtype: its type.
    """

    place: Place
    manner: Manner
    plain: bool
    patch: Shape
    shape: Shape
    dtype: torch.dtype


@dataclass(frozen=True, eq=False)
class Settled:
    """A model cut at a layer, and how.

    Attributes:
        layer: the layer's name.
        way: `fx`, `export`, `tap` or `functions`.
        why: why that way.
        cut: the graph cut there, or where the model's code is tapped.
    """

    layer: str
    way: str
    why: str
    cut: Cut | TapCut


def settle(model: nn.Module, layer: str | None, inputs: Inputs, via: str | None, hooks: bool | None) -> Settled:
    """Cut a model at a layer for some inputs; what was found out is kept, and holds for inputs of that kind.

    Args:
        model: a module, without wrappers.
        layer: its name; None for the default layer.
        inputs: what will be explained.
        via: the only way that is allowed; None for the first that works.
        hooks: False to leave the caller's hooks out; None to run them where they are part of the function.

    Raises:
        FuncamError: it can't be cut there.
    """
    known = known_of(model)
    return known.fact(
        ("cut", layer, via, hooks, kind_of(inputs)), lambda: _settle(known, model, layer, inputs, via, hooks)
    )


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
    why = known.failure
    if traced is not None:
        sample = images if isinstance(images, Tensor) else _usual_images(model, traced, images)
        if sample is None or sample.is_meta or is_compiled():  # nothing to run it on
            return traced.graph
        why = _why_not_graph(known, model, traced, Inputs(sample))
        if not why:
            return traced.graph
        if _hooks_count(known, model, Inputs(sample)):
            raise FuncamError(f"{traced.graph.model} has hooks that are part of what it computes, and a graph has none")
    return known.exported(model, images, why).graph


def structure_of(model: nn.Module, images: Tensor | Shape | None = None) -> TracedModel:
    """The model's graph, whether it computes just what the model does or not: what follows what is the same."""
    model = unwrapped(model)
    known = known_of(model)
    return known.traced(model) or known.exported(model, images, known.failure)


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


def _settle(
    known: Known, model: nn.Module, layer: str | None, inputs: Inputs, via: str | None, hooks: bool | None
) -> Settled:
    check_inputs(model, inputs)
    sample = sample_of(inputs)
    if inputs.bare:
        _refuse_without_channels(known, model, inputs)
    traced = _traced(known, model, sample, via)
    unfit = _unfit(traced, inputs)
    try:
        manner = _manner(known, model, sample, hooks)
    except FuncamError as error:
        raise unfit or error from None
    if unfit is not None and traced is not None:
        if inputs.images.ndim != axes_taken(traced.graph, inputs.images.ndim):  # one image, where several are expected
            raise unfit
        traced = None  # the model takes what its graph can't: they are not the same
    name = _named(known, model, traced, layer, sample, manner)
    place = _place(model, name)
    if place is None and (traced is None or name not in {**traced.graph.outputs, **traced.graph.nodes}):
        raise FuncamError(_unknown(model, traced, name))
    with_hooks = manner.hooks
    if traced is not None and name in {**traced.graph.outputs, **traced.graph.nodes}:
        traced.cut(name, tuple(sample.images.shape))  # refuses what does not lead to the output
    known_reference, manner = _reference(model, sample, place, manner)
    why = known.failure
    if manner.hooks:
        why = "the caller's hooks are part of what it computes"
    elif traced is not None and via != "tap":
        compared = partial(_through, traced, name, sample, place, known_reference)
        why = why_not_believed(compared, known_reference)
        if not why:
            way = "export" if traced.graph.shapes is not None else "fx"
            return Settled(name, way, _BELIEVED, traced.cut(name, tuple(sample.images.shape)))
        why = f"by torch.fx, {why}"
    if via in ("fx", "export"):
        raise FuncamError(f"{type(model).__name__} can't be cut at {name!r} via {via}: {why}; leave via out")
    if place is None and layer is None:  # the graph's default is an operation: of the modules, then
        place = place_of(_surveyed_default(known, model, sample, manner))
        name = str(place)
        known_reference, manner = _reference(model, sample, place, replace(manner, hooks=with_hooks))
        traced = None
    if place is None:
        raise FuncamError(
            f"layer {name!r} is an operation in the graph of {type(model).__name__}, which can't be used ({why}); name "
            "a module"
        )
    if known_reference.gradient is None and via is None:
        return _settle_exported(known, model, name, place, sample, known_reference, why)
    cut = _tapped(model, traced, name, place, manner, known_reference, sample)
    return Settled(name, "tap", why or "it was asked for", cut)


def _settle_exported(
    known: Known, model: nn.Module, name: str, place: Place, sample: Inputs, reference: Reference, why: str
) -> Settled:
    """By its exported graph, for code that torch can't differentiate as it is (it writes in place, say)."""
    why = "; ".join(filter(None, (why, f"torch can't differentiate its code as it is: {reference.trouble}")))
    traced = known.exported(model, sample.images, why)
    unlike = why_not_believed(partial(_through, traced, name, sample, place, reference), reference)
    if unlike:
        raise FuncamError(
            f"{type(model).__name__} can't be differentiated at {name!r}: {why}; by torch.export, {unlike}"
        )
    return Settled(name, "export", why, traced.cut(name, tuple(sample.images.shape)))


def _refuse_without_channels(known: Known, model: nn.Module, inputs: Inputs) -> None:
    """Images without a channel axis before a convolution, which would take the batch for the channels."""
    traced = known.traced(model)
    if traced is not None and axes_taken(traced.graph, inputs.taken.ndim) != inputs.taken.ndim:
        check_images(inputs.taken)


def _traced(known: Known, model: nn.Module, sample: Inputs, via: str | None) -> TracedModel | None:
    recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
    if via == "tap" or sample.bare or sample.wrt != 0 or has_others(sample) or (recurrent and via is None):
        return None  # (a graph's recurrent layers keep nothing for their derivative where grad mode is off)
    if via == "export":
        return known.exported(model, sample.images, "")
    traced = known.traced(model)
    if via == "fx" and traced is None:
        raise FuncamError(f"{known.failure}; leave via out, so that the model's own code is tapped")
    return traced


def _unfit(traced: TracedModel | None, inputs: Inputs) -> FuncamError | None:
    """Why the images don't fit the graph, if they don't."""
    if traced is not None:
        try:
            traced.shapes(tuple(inputs.images.shape))
        except FuncamError as error:
            return error
    return None


def _manner(known: Known, model: nn.Module, sample: Inputs, hooks: bool | None) -> Manner:
    with_hooks = hooks is not False and has_hooks(model)
    key = ("manner", with_hooks, kind_of(sample))
    return known.fact(key, lambda: manner_of(model, sample, with_hooks))


def _named(
    known: Known, model: nn.Module, traced: TracedModel | None, layer: str | None, sample: Inputs, manner: Manner
) -> str:
    shape = tuple(sample.images.shape)
    if layer is None:
        if traced is not None:
            return traced.default(shape)
        return _surveyed_default(known, model, sample, manner)
    if layer == LAST_CONV:
        if traced is not None:
            return last_conv(traced.graph, model)
        return str(last_convolution(survey(model, sample, manner), model))
    names: Mapping[str, Any] = {} if traced is None else {**traced.graph.outputs, **traced.graph.nodes}
    modules = dict(model.named_modules(remove_duplicate=False))
    return plain_name({**modules, **names}, layer)


def _surveyed_default(known: Known, model: nn.Module, sample: Inputs, manner: Manner) -> str:
    return known.fact(("default", kind_of(sample)), lambda: str(default_place(model, sample, manner).place))


def _place(model: nn.Module, name: str) -> Place | None:
    """Where a tap finds a layer; None for what only a graph has."""
    place = place_of(name)
    paths = dict(model.named_modules(remove_duplicate=False))
    return place if place.path in paths else None


def _unknown(model: nn.Module, traced: TracedModel | None, name: str) -> str:
    names = [path for path, _ in model.named_modules() if path]
    if traced is not None:
        nodes = {**traced.graph.outputs, **traced.graph.nodes}
        names = [path for path, node in nodes.items() if node.op != "placeholder"]
    return (
        f"layer {name!r} is not in {type(model).__name__}; nearest: {nearest(name, names)} "
        "(`funcam layers NET` and funcam.list_layers(model) list them all)"
    )


def _reference(model: nn.Module, sample: Inputs, place: Place | None, manner: Manner) -> tuple[Reference, Manner]:
    """What the model does, and whether the caller's hooks are a part of it."""
    without = replace(manner, hooks=False)
    if not manner.hooks:
        return reference(model, sample, place, manner), without
    hooked = reference(model, sample, place, manner)
    try:
        bare = reference(model, sample, place, without)
    except Exception:  # whatever the model's code raises where its own hooks are missing
        return hooked, manner
    return (hooked, manner) if _differ(hooked, bare) else (bare, without)


def _differ(one: Reference, other: Reference) -> bool:
    if difference(one.outputs, other.outputs):
        return True
    if one.gradient is None or other.gradient is None:
        return one.gradient is not other.gradient
    return bool(difference([one.gradient], [other.gradient]))


def _through(
    traced: TracedModel, name: str, sample: Inputs, place: Place | None, known: Reference
) -> tuple[list[Tensor], Tensor | None]:
    """What the graph makes of the images: its outputs, and the derivative at the layer (or at the images)."""
    with torch.inference_mode(False):
        if place is None:
            return _derivative(traced.graph.module, sample.images)
        cut = traced.cut(name, tuple(sample.images.shape))
        with torch.no_grad():
            values = cut.features(sample.images)
        tensor, *crossing = (values[crossing] for crossing in cut.names)
        said = "" if known.features is None else difference([tensor], [known.features])
        if said:
            raise ValueError(f"what the layer holds is another thing: {said}")
        return _derivative(lambda features: cut.rest(features, *crossing), tensor)


def _derivative(function: Any, tensor: Tensor) -> tuple[list[Tensor], Tensor]:
    def run(given: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        outputs = [t for _, t in leaves(function(given))]
        return [t for t in outputs if t.is_floating_point()], outputs

    values, pullback, outputs, _ = vjp(run, [tensor.detach()], plain=False)
    (gradient,) = pullback(cotangents(values))
    return [t.detach() for t in outputs], gradient


def _tapped(
    model: nn.Module,
    traced: TracedModel | None,
    name: str,
    place: Place,
    manner: Manner,
    known: Reference,
    sample: Inputs,
) -> TapCut:
    if known.gradient is None:
        raise FuncamError(
            f"torch can't differentiate {type(model).__name__} at {name!r}: {known.trouble}; make that operation "
            "differentiable in the model's code (out of place, say)"
        )
    if not known.gradient.any():
        raise FuncamError(
            f"the outputs of {type(model).__name__} don't depend on layer {name!r}: nobody uses what it returns, or "
            f"only through values without a derivative; name {_neighbour(place)}"
        )
    assert known.features is not None
    patch = _patch(model, traced, name, place, manner, sample)
    return TapCut(place, manner, known.plain, patch, tuple(known.features.shape), known.features.dtype)


def _neighbour(place: Place) -> str:
    parent = place.path.rpartition(".")[0]
    return f"{parent!r}, which it is part of, or an earlier layer" if parent else "another layer"


def _patch(
    model: nn.Module, traced: TracedModel | None, name: str, place: Place, manner: Manner, sample: Inputs
) -> Shape:
    """The patch behind a layer of tokens: from the graph where there is one, else from what the modules return."""
    if traced is not None and name in {**traced.graph.outputs, **traced.graph.nodes}:
        return traced.cut(name, tuple(sample.images.shape)).patch
    grids = [one.grid for one in survey(model, sample, manner) if one.place.path == place.path and one.grid]
    sides = sample.images.shape[2:]
    return tuple(whole // part for whole, part in zip(sides, grids[0], strict=False)) if grids else ()


def _why_not_graph(known: Known, model: nn.Module, traced: TracedModel, inputs: Inputs) -> str:
    def find() -> str:
        sample = sample_of(inputs)
        manner = _manner(known, model, sample, None)
        found, manner = _reference(model, sample, None, manner)
        if manner.hooks:
            return "the caller's hooks are part of what it computes"
        why = why_not_believed(lambda: _through(traced, "", sample, None, found), found)
        return f"by torch.fx, {why}" if why else ""

    return known.fact(("graph", kind_of(inputs)), find)


def _hooks_count(known: Known, model: nn.Module, inputs: Inputs) -> bool:
    sample = sample_of(inputs)
    return _reference(model, sample, None, _manner(known, model, sample, None))[1].hooks
