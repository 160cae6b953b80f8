"""By which way a model is cut at a layer: its graph where a check believes it, else taps in its own code."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from funcam.errors import FuncamError, nearest
from funcam.network.axes import LayoutLike, layout_of_layer
from funcam.network.believed import manner_for, through
from funcam.network.checks import (
    Reference,
    by_autograd,
    features_at,
    own_random_numbers,
    reference,
    why_not_believed,
)
from funcam.network.choice import LAST_CONV, branch_ends, last_conv
from funcam.network.defaults import default_places, gradient_at, last_convolution
from funcam.network.failures import UnknownAxes
from funcam.network.images import check_images
from funcam.network.inputs import check_inputs
from funcam.network.instead import instead
from funcam.network.known import Known, TracedModel, known_of
from funcam.network.layers import find_node
from funcam.network.layout import PLAIN, Layout
from funcam.network.misfits import axes_taken
from funcam.network.outputs import usual
from funcam.network.refusals import refuse_without_values
from funcam.network.samples import kind_of, sample_of
from funcam.network.settled import Settled, TapCut
from funcam.network.survey import survey
from funcam.network.tap import Inputs, Manner, Place, place_of
from funcam.network.wanted import Read, Wanted, wanted_by
from funcam.network.wrappers import plain_name

Shape = tuple[int, ...]
VIA = (None, "fx", "tap", "export")
_BELIEVED = "its graph computes what the model computes"


def settle(
    model: nn.Module,
    layer: str | None,
    inputs: Inputs,
    via: str | None,
    layout: LayoutLike | None = None,
    read: Read | None = None,
) -> Settled:
    """Cut a model at a layer for some inputs; what was found out is kept, and holds for inputs of that kind.

    Args:
        model: a module, without wrappers.
        layer: its name; None for the default layer.
        inputs: what will be explained.
        via: the only way that is allowed; None for the first that works.
        layout: how the layer holds a feature map, if the caller says it.
        read: the score that the default layer has to lead to; None for the logits, or the first output.

    Raises:
        FuncamError: it can't be cut there, or which axes of the layer are the image's is undecided.
    """
    known = known_of(model)
    if inputs.images.is_meta:
        return _settle_shapes(known, model, layer, inputs)

    if layer is None and layout is None:
        return _settle_default(known, model, inputs, via, read)

    def find() -> Settled:
        with own_random_numbers(inputs.images):
            return _laid_out(model, _settle(known, model, layer, inputs, via), inputs, layout)

    return known.fact(("cut", layer, via, layout, kind_of(inputs)), find)


def _settle_shapes(known: Known, model: nn.Module, layer: str | None, inputs: Inputs) -> Settled:
    """A graph cut on the meta device, where there are shapes and no values: nothing can be checked there."""
    traced = known.traced(model)
    if traced is None:
        refuse_without_values(model, inputs.images)
        raise FuncamError(known.failure)
    shapes = traced.shapes(tuple(inputs.images.shape))
    name = traced.default(tuple(inputs.images.shape)) if layer is None else layer
    cut, layout = traced.cut(name, tuple(inputs.images.shape)), shapes.layout(find_node(traced.graph, name))
    if layout is None:
        raise UnknownAxes(f"layer {name!r} is no feature map for images of {list(inputs.images.shape)}")
    return Settled(name, "fx", "without values nothing can be checked", cut, layout)


def _settle_default(known: Known, model: nn.Module, inputs: Inputs, via: str | None, read: Read | None) -> Settled:
    """At the first of the default layers whose axes are known."""
    sample = sample_of(inputs)
    wanted = _wanted(model, inputs, sample, read or usual)

    def search() -> Settled:
        try:
            first = _settle(known, model, None, inputs, via, wanted)
            return _leading(model, _laid_out(model, first, inputs, None), sample, wanted)
        except UnknownAxes as error:
            said = str(error)
        places: list[Place] = []
        with suppress(UnknownAxes):
            places = default_places(model, sample, manner_for(model, sample), wanted)
        for place in places:
            with suppress(FuncamError):
                other = _settle(known, model, str(place), inputs, via)
                return _leading(model, _laid_out(model, other, inputs, None), sample, wanted)
        raise UnknownAxes(said)

    def find() -> Settled:
        with own_random_numbers(inputs.images):
            settled = search()
            return replace(settled, others=_branches(known, model, settled, sample))

    return known.fact(("default cut", via, kind_of(inputs), None if wanted is None else wanted.key), find)


def _branches(known: Known, model: nn.Module, settled: Settled, sample: Inputs) -> tuple[str, ...]:
    """The ends of all branches where the default layer is the end of one."""
    traced = known.traced(model) if settled.way == "fx" else None
    if traced is None:
        return ()
    ends = branch_ends(traced.graph, traced.shapes(tuple(sample.images.shape)))
    return tuple(ends) if settled.layer in ends else ()


def _leading(model: nn.Module, settled: Settled, sample: Inputs, wanted: Wanted | None) -> Settled:
    """The same, if the score depends on the cells of the map, not only on what stands beside them.

    Raises:
        UnknownAxes: it doesn't.
    """
    place = _place(model, settled.layer)
    if settled.layout != PLAIN and place is not None:
        gradient = gradient_at(model, sample, place, manner_for(model, sample), wanted)
        if gradient.any() and not settled.of_layer.to_map(gradient).any():  # zero everywhere is a head of zeros
            raise UnknownAxes(f"the score doesn't depend on the map at layer {settled.layer!r}; name an earlier layer")
    return settled


def _wanted(model: nn.Module, inputs: Inputs, sample: Inputs, read: Read) -> Wanted | None:
    check_inputs(model, inputs)
    try:
        manner = manner_for(model, sample)
    except FuncamError:  # it can't run: that is told in the words of its graph, which may know better
        return None
    try:
        return wanted_by(model, sample, manner, read)
    except LookupError:
        return None


def _laid_out(model: nn.Module, settled: Settled, inputs: Inputs, layout: LayoutLike | None) -> Settled:
    """With how the layer holds a feature map."""
    sample, cut = sample_of(inputs), settled.cut

    def tensor_of(images: Tensor) -> Any:
        with torch.inference_mode(False), torch.no_grad():
            if isinstance(cut, TapCut):
                return features_at(model, replace(sample, images=images), cut.place, cut.manner)
            return cut.features(replace(sample, images=images).taken)[cut.names[0]]

    likely, count = _likely(model, settled, sample), len(inputs.images)
    found = layout_of_layer(settled.layer, tensor_of, sample.images, layout, likely=likely, batch=count)
    return replace(settled, layout=found)


def _likely(model: nn.Module, settled: Settled, sample: Inputs) -> Layout | None:
    """The layout that follows from the grid of cells in force at the layer in the model's graph."""
    traced = None if sample.has_others or settled.way == "export" else known_of(model).traced(model)
    node = None if traced is None else traced.graph.outputs.get(settled.layer) or traced.graph.nodes.get(settled.layer)
    if traced is None or node is None:
        return None
    with suppress(FuncamError):
        return traced.shapes(tuple(sample.taken.shape)).layout(node)
    return None


def _settle(
    known: Known,
    model: nn.Module,
    layer: str | None,
    inputs: Inputs,
    via: str | None,
    wanted: Wanted | None = None,
) -> Settled:
    check_inputs(model, inputs)
    sample = sample_of(inputs)
    if inputs.bare:
        _refuse_without_channels(known, model, inputs)
    traced = _traced(known, model, sample, via)
    unfit = _unfit(traced, inputs)
    if not unfit:
        refuse_without_values(model, sample.images)
    try:
        manner = manner_for(model, sample)
    except FuncamError:
        if unfit:
            raise FuncamError(unfit) from None
        raise
    if unfit and traced is not None:
        if inputs.images.ndim != axes_taken(traced.graph, inputs.images.ndim):  # one image, where several are expected
            raise FuncamError(unfit)
        traced = None  # the model takes what its graph can't: they are not the same
    name = _named(known, model, traced, layer, sample, manner, wanted)
    place = _place(model, name)
    if place is None and (traced is None or name not in {**traced.graph.outputs, **traced.graph.nodes}):
        raise FuncamError(_unknown(model, traced, name))
    if traced is not None and name in {**traced.graph.outputs, **traced.graph.nodes}:
        traced.cut(name, tuple(sample.images.shape))  # refuses what does not lead to the output
    as_it_is = reference(model, sample, place, manner)
    why = known.failure
    if manner.hooks:
        why = "the caller's hooks are part of what it computes"
    elif manner.own_parameters:
        why = "its code writes into its parameters"
    elif manner.autograd:
        why = "its code needs autograd while it runs (register_hook, retain_grad), and a graph has none"
    elif traced is not None and via != "tap":
        compared = partial(through, traced, name, sample, place, as_it_is)
        why = why_not_believed(compared, as_it_is)
        if not why:
            way = "export" if traced.graph.shapes is not None else "fx"
            return Settled(name, way, _BELIEVED, traced.cut(name, tuple(sample.images.shape)))
        why = f"by torch.fx, {why}"
    if via in ("fx", "export"):
        raise FuncamError(f"{type(model).__name__} can't be cut at {name!r} via {via}: {why}; leave via out")
    if place is None and layer is None:  # the graph's default is an operation: of the modules, then
        place = place_of(_surveyed_default(known, model, sample, manner, wanted))
        name = str(place)
        as_it_is = reference(model, sample, place, manner)
        traced = None
    if place is None:
        raise FuncamError(
            f"layer {name!r} is an operation in the graph of {type(model).__name__}, which can't be used ({why}); name "
            "a module"
        )
    as_it_is = by_autograd(model, sample, place, manner, as_it_is)
    if as_it_is.gradient is None and via is None:
        return _settle_exported(known, model, name, place, sample, as_it_is, why)
    cut = _tapped(model, name, sample, place, manner, as_it_is)
    return Settled(name, "tap", why or "it was asked for", cut)


def _settle_exported(
    known: Known, model: nn.Module, name: str, place: Place, sample: Inputs, reference: Reference, why: str
) -> Settled:
    """By its exported graph, for code that torch can't differentiate as it is (it writes in place, say)."""
    why = "; ".join(filter(None, (why, f"torch can't differentiate its code as it is: {reference.trouble}")))
    traced = known.exported(model, sample.images, why)
    unlike = why_not_believed(partial(through, traced, name, sample, place, reference), reference)
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
    if (
        via == "tap"
        or sample.bare
        or sample.last
        or sample.wrt != 0
        or sample.has_others
        or (recurrent and via is None)
    ):
        return None  # (a graph's recurrent layers keep nothing for their derivative where grad mode is off)
    if via == "export":
        return known.exported(model, sample.images, "")
    traced = known.traced(model)
    if via == "fx" and traced is None:
        raise FuncamError(f"{known.failure}; leave via out, so that the model's own code is tapped")
    return traced


def _unfit(traced: TracedModel | None, inputs: Inputs) -> str:
    """Why the images don't fit the graph, in words (an error would keep what it passed alive); "" where they do."""
    if traced is not None:
        try:
            traced.shapes(tuple(inputs.images.shape))
        except FuncamError as error:
            return str(error)
    return ""


def _named(
    known: Known,
    model: nn.Module,
    traced: TracedModel | None,
    layer: str | None,
    sample: Inputs,
    manner: Manner,
    wanted: Wanted | None,
) -> str:
    shape = tuple(sample.images.shape)
    if layer is None:
        if traced is not None and wanted is None:
            return traced.default(shape)
        return _surveyed_default(known, model, sample, manner, wanted)
    if layer == LAST_CONV:
        if traced is not None:
            return last_conv(traced.graph, model)
        return str(last_convolution(survey(model, sample, manner), model))
    names: Mapping[str, Any] = {} if traced is None else {**traced.graph.outputs, **traced.graph.nodes}
    modules = dict(model.named_modules(remove_duplicate=False))
    return plain_name({**modules, **names}, layer)


def _surveyed_default(known: Known, model: nn.Module, sample: Inputs, manner: Manner, wanted: Wanted | None) -> str:
    key = ("default", kind_of(sample), None if wanted is None else wanted.key)
    return known.fact(key, lambda: str(default_places(model, sample, manner, wanted)[0]))


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


def _tapped(model: nn.Module, name: str, sample: Inputs, place: Place, manner: Manner, known: Reference) -> TapCut:
    if known.gradient is None:
        raise FuncamError(
            f"torch can't differentiate {type(model).__name__} at {name!r}: {known.trouble}; make that operation "
            "differentiable in the model's code (out of place, say)"
        )
    if not known.gradient.any():
        raise FuncamError(
            f"the outputs of {type(model).__name__} don't depend on layer {name!r}: nobody uses what it returns, or "
            f"only through values without a derivative; {instead(model, sample, place, manner)}"
        )
    assert known.features is not None
    return TapCut(place, manner, known.plain, tuple(known.features.shape), known.features.dtype)
