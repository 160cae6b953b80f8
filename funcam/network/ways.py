"""By which way a model is cut at a layer: its graph where a check believes it, else taps in its own code."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from funcam.errors import FuncamError
from funcam.network.axes import Held, LayoutLike, beside, layout_of_layer
from funcam.network.believed import manner_for
from funcam.network.checks import Reference, by_autograd, reference
from funcam.network.choice import branch_ends, carriers
from funcam.network.cuts import Cut
from funcam.network.defaults import gradient_at, is_connected, read_cells, stands_in
from funcam.network.failures import FoldedViews, UnknownAxes, Unreached
from funcam.network.found import Found, by_export, by_graph, held_by_tap, read_by, why_not_graph
from funcam.network.images import check_images
from funcam.network.inputs import check_inputs
from funcam.network.instead import instead
from funcam.network.known import Known, TracedModel, known_of
from funcam.network.layers import find_node, name_of
from funcam.network.layout import PLAIN, Layout
from funcam.network.misfits import axes_taken
from funcam.network.named import maps_by_default, named, tappable, unknown
from funcam.network.outputs import leaves, usual
from funcam.network.random_numbers import own_random_numbers
from funcam.network.refusals import refuse_without_values
from funcam.network.samples import kind_of, sample_of
from funcam.network.settled import Settled, TapCut
from funcam.network.shared_memory import refuse_shared
from funcam.network.survey import Seen, spectra
from funcam.network.tap import Inputs, Manner, Place
from funcam.network.tracing import is_batched, is_transformed, untracked, untransformed
from funcam.network.wanted import Read, Wanted, wanted_by

Shape = tuple[int, ...]
VIA = (None, "fx", "tap", "export")

_MOST_NAMED = 3


def settle(
    model: nn.Module,
    layer: str | None,
    inputs: Inputs,
    via: str | None,
    layout: LayoutLike | None = None,
    read: Read | None = None,
    exactly: bool = False,
) -> Settled:
    """Cut a model at a layer for some inputs; what was found out is kept, and holds for inputs of that kind.

    Args:
        model: a module, without wrappers.
        layer: its name; None for the default layer.
        inputs: what will be explained.
        via: the only way that is allowed; None for the first that works.
        layout: how the layer holds a feature map, if the caller says it.
        read: the score that the default layer has to lead to; None for the logits, or the first output.
        exactly: whether one class of logits doesn't stand for all.

    Raises:
        FuncamError: it can't be cut there, or which axes of the layer are the image's is undecided.
    """
    known = known_of(model)
    if inputs.images.is_meta:
        return _settle_shapes(known, model, layer, inputs)
    if not is_transformed() or inputs.has_others or any(untracked(p) is not p for p in model.parameters()):
        return _settle_with_values(known, model, layer, inputs, via, layout, read, exactly)
    with untransformed():  # what is found holds whatever is differentiated or mapped around
        inputs = inputs if is_batched(inputs.images) else replace(inputs, images=untracked(inputs.images))
        return _settle_with_values(known, model, layer, inputs, via, layout, read, exactly)


def _settle_with_values(
    known: Known,
    model: nn.Module,
    layer: str | None,
    inputs: Inputs,
    via: str | None,
    layout: LayoutLike | None,
    read: Read | None,
    exactly: bool,
) -> Settled:
    if layer is None and layout is None:
        return _settle_default(known, model, inputs, via, read, exactly)

    def find() -> Settled:
        with own_random_numbers(inputs.images):
            return _laid_out(model, _settle(known, model, layer, inputs, via), inputs, layout).settled

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


def _settle_default(
    known: Known, model: nn.Module, inputs: Inputs, via: str | None, read: Read | None, exactly: bool
) -> Settled:
    """At the first of the default layers whose axes are known."""
    wanted = _wanted(known, model, inputs, read or usual, exactly)

    def search() -> Settled:
        sample = sample_of(inputs)
        first: Found | None = None
        try:
            first = _settle(known, model, None, inputs, via, wanted)
            return _leading(model, _laid_out(model, first, inputs), sample, wanted)
        except (UnknownAxes, Unreached) as error:
            said = str(error)
        maps: Sequence[Seen] = []
        try:
            maps = maps_by_default(known, model, sample, manner_for(model, sample), wanted)
        except UnknownAxes as error:
            said = said if first and not isinstance(error, FoldedViews) else str(error)
        for one in maps:
            with suppress(FuncamError):
                other = _settle(known, model, str(one.place), inputs, via)
                settled = _leading(model, _laid_out(model, other, inputs), sample, wanted)
                told = _branches(known, model, settled, inputs, wanted)
                if told or stands_in(model, sample, manner_for(model, sample), wanted, one):
                    return settled
        raise UnknownAxes(said + _in_parts(model, maps, inputs))

    def find() -> Settled:
        with own_random_numbers(inputs.images):
            settled = search()
            others = _branches(known, model, settled, inputs, wanted)
            return replace(settled, others=others, carries=_carries(known, model, settled, sample_of(inputs), wanted))

    return known.fact(("default cut", via, kind_of(inputs), None if wanted is None else wanted.key), find)


def _carries(known: Known, model: nn.Module, settled: Settled, sample: Inputs, wanted: Wanted | None) -> bool:
    """Whether the default layer is known to carry everything, without running the model."""
    traced = known.traced(model) if settled.way == "fx" else None
    if traced is not None and find_node(traced.graph, settled.layer) in carriers(traced.graph):
        return True
    if traced is not None and wanted is None:
        return False
    best = maps_by_default(known, model, sample, manner_for(model, sample), wanted)[0]
    return best.carries and str(best.place) == settled.layer


def _in_parts(model: nn.Module, maps: Sequence[Seen], inputs: Inputs) -> str:
    """Names of layers that hold maps, for somebody who has to choose one; none carries all of the score."""
    followed = [str(one.place) for one in maps if isinstance(one.followed, Layout)][:_MOST_NAMED]
    names = [repr(name) for name in followed if _refused(model, name, inputs) is None]
    return f": {', '.join(names)} hold maps of a part of what the score depends on" if names else ""


def _branches(
    known: Known, model: nn.Module, settled: Settled, inputs: Inputs, wanted: Wanted | None
) -> tuple[str, ...]:
    """The ends of all branches that hold a map, where the default layer is the end of one of several."""
    traced = known.traced(model) if settled.way == "fx" and wanted is None else None
    ends = (
        _seen_ends(known, model, settled, inputs, wanted) if traced is None else _traced_ends(traced, settled, inputs)
    )
    if ends == [settled.layer]:  # the other branches have no map of their own
        return tuple(ends)
    refused = {end: _refused(model, end, inputs) for end in ends}
    reached = [end for end, error in refused.items() if error is not Unreached]
    return tuple(end for end in reached if refused[end] is None) if {*reached} - {settled.layer} else ()


def _traced_ends(traced: TracedModel, settled: Settled, inputs: Inputs) -> list[str]:
    ends = branch_ends(traced.graph, traced.shapes(tuple(sample_of(inputs).images.shape)))
    node = traced.graph.outputs.get(settled.layer)  # a module around the end has the same node
    own = {settled.layer, "" if node is None else name_of(traced.graph, node)}
    carrying = find_node(traced.graph, settled.layer) in carriers(traced.graph)
    return [] if carrying or own.isdisjoint(ends) else [settled.layer if end in own else end for end in ends]


def _seen_ends(known: Known, model: nn.Module, settled: Settled, inputs: Inputs, wanted: Wanted | None) -> list[str]:
    sample = sample_of(inputs)
    maps = maps_by_default(known, model, sample, manner_for(model, sample), wanted)
    return [str(end) for one in maps if str(one.place) == settled.layer for end in one.ends]


def _refused(model: nn.Module, name: str, inputs: Inputs) -> type[FuncamError] | None:
    """The error by which a layer is refused, if it is."""
    try:
        settle(model, name, inputs, None)
    except FuncamError as error:
        return type(error)
    return None


def _leading(model: nn.Module, found: Found, sample: Inputs, wanted: Wanted | None) -> Settled:
    """The cut, if the score depends on the cells of the map, not only on what stands beside them.

    Raises:
        UnknownAxes: it doesn't.
    """
    settled, gradient = found.settled, found.reference.gradient
    place = tappable(model, settled.layer)
    sure = place is not None and gradient is not None and bool(gradient.any())
    if isinstance(settled.cut, Cut) and not sure and not _differentiates(settled.cut, found.held):
        raise UnknownAxes(f"the score doesn't depend on layer {settled.layer!r} by a derivative; name another layer")
    if settled.layout != PLAIN and place is not None:
        if wanted is not None or gradient is None:
            gradient = gradient_at(model, sample, place, manner_for(model, sample), wanted, found.held.tensor)
        tokens = isinstance(settled.layout, Layout) and "tokens" in settled.layout.kind
        if gradient.any() and not read_cells(settled.of_layer, gradient) > tokens:  # zero everywhere: a head of zeros
            raise UnknownAxes(f"the score doesn't depend on the map at layer {settled.layer!r}; name an earlier layer")
    return settled


def _differentiates(cut: Cut, held: Held) -> bool:
    """Whether what a graph returns depends on the layer by a derivative, whatever its value is."""
    tensor, *crossing = (held.values[name] for name in cut.names)
    with torch.inference_mode(False), torch.enable_grad():
        tensor = tensor.detach().clone()
        tensor.requires_grad = True  # ours
        outputs = [t for _, t in leaves(cut.rest(tensor.clone(), *crossing)) if t.requires_grad]
        total = sum((t.sum() for t in outputs), start=torch.zeros((), device=tensor.device))
        return bool(outputs) and torch.autograd.grad(total, tensor, allow_unused=True)[0] is not None


def _wanted(known: Known, model: nn.Module, inputs: Inputs, read: Read, exactly: bool) -> Wanted | None:
    known.fact(("inputs", kind_of(inputs)), lambda: check_inputs(model, inputs))
    try:
        manner = manner_for(model, inputs, known)
    except FuncamError:  # it can't run: that is told in the words of its graph, which may know better
        return None
    try:
        return wanted_by(model, inputs, manner, read, known, exactly)
    except LookupError:
        return None


def _laid_out(model: nn.Module, found: Found, inputs: Inputs, layout: LayoutLike | None = None) -> Found:
    """With how the layer holds a feature map."""
    settled, sample = found.settled, sample_of(inputs)
    read = read_by(model, settled.cut, sample)

    def tensor_of(images: Tensor) -> Any:
        with torch.inference_mode(False), torch.no_grad():
            return read(images)

    likely, count = _likely(model, settled, sample), len(inputs.images)
    if layout is None and tappable(model, settled.layer) in spectra(model, sample, manner_for(model, sample)):
        layout = PLAIN
    held = layout_of_layer(
        settled.layer,
        found.held,
        tensor_of,
        sample.images,
        layout,
        likely=likely,
        batch=count,
        others=sample.has_others,
    )
    told = beside(settled.layer, found.held, sample.images) if layout is None else ""
    return replace(found, settled=replace(settled, layout=held, beside=told))


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
) -> Found:
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
    name, seen = named(known, model, traced, layer, sample, manner, wanted)
    place = tappable(model, name)
    having = traced if traced is not None and name in traced.graph.named else None
    if place is None and having is None:
        raise FuncamError(unknown(model, traced, name))
    if having is not None:
        having.cut(name, tuple(sample.images.shape))  # refuses what does not lead to the output
    barred, as_it_is = why_not_graph(manner), None
    why = barred or known.failure
    if traced is not None and not barred:
        found, as_it_is, why = by_graph(traced, model, name, sample, place, manner)
        if place is not None:
            refuse_shared(known, model, name, sample, manner, as_it_is)
        if found is not None:
            return found
        why = f"by torch.fx, {why}"
    if via in ("fx", "export"):
        raise FuncamError(f"{type(model).__name__} can't be cut at {name!r} via {via}: {why}; leave via out")
    if place is None and layer is None:  # the graph's default is an operation: of the modules, then
        seen, as_it_is = maps_by_default(known, model, sample, manner, wanted)[0], None
        name, place = str(seen.place), seen.place
    if place is None:
        raise FuncamError(
            f"layer {name!r} is an operation in the graph of {type(model).__name__}, which can't be used ({why}); name "
            "a module"
        )
    as_it_is = as_it_is or reference(model, sample, place, manner, None if seen is None else seen.blank)
    as_it_is = by_autograd(model, sample, place, manner, as_it_is)
    refuse_shared(known, model, name, sample, manner, as_it_is)
    if as_it_is.gradient is None and via is None:
        return by_export(known, model, name, place, sample, as_it_is, why)
    cut = _tapped(model, name, sample, place, manner, as_it_is)
    return Found(Settled(name, "tap", why or "it was asked for", cut), held_by_tap(model, cut, sample, seen), as_it_is)


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


def _tapped(model: nn.Module, name: str, sample: Inputs, place: Place, manner: Manner, known: Reference) -> TapCut:
    if known.gradient is None:
        raise FuncamError(
            f"torch can't differentiate {type(model).__name__} at {name!r}: {known.trouble}; make that operation "
            "differentiable in the model's code (out of place, say)"
        )
    assert known.features is not None
    if not known.gradient.any() and not is_connected(model, sample, place, manner, known.features):
        raise Unreached(
            f"the outputs of {type(model).__name__} don't depend on layer {name!r}: nobody uses what it returns, or "
            f"only through values without a derivative; {instead(model, sample, place, manner)}"
        )
    return TapCut(place, manner, known.plain, tuple(known.features.shape), known.features.dtype)
