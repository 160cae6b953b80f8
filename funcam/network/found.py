"""A model cut at a layer by its graph or by a tap, with what was seen of it on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor, nn

from funcam.errors import FuncamError
from funcam.network.axes import Held, held_by
from funcam.network.believed import quiet, through, through_cut
from funcam.network.checks import Reference, features_at, reference, why_not_believed, why_not_run
from funcam.network.cuts import Cut
from funcam.network.known import Known, TracedModel
from funcam.network.layout import Layout
from funcam.network.settled import Settled, TapCut
from funcam.network.survey import Seen
from funcam.network.tap import Inputs, Manner, Place

_BELIEVED = "its graph computes what the model computes"


@dataclass(frozen=True, eq=False)
class Found:
    """A model cut at a layer, with what was seen of it on the way.

    Attributes:
        settled: the cut.
        held: what the layer holds for a sample.
        reference: what the model does, with the derivative at the layer.
    """

    settled: Settled
    held: Held
    reference: Reference


def why_not_graph(manner: Manner) -> str:
    """Why a model that has to be run in a manner can't be run by a graph; "" where it can."""
    if manner.hooks:
        return "the caller's hooks are part of what it computes"
    if manner.own_parameters:
        return "its code writes into its parameters"
    if manner.autograd:
        return "its code needs autograd while it runs (register_hook, retain_grad), and a graph has none"
    if manner.draws:
        return "its code draws random numbers of Python's or NumPy's, and a graph would draw the same ones ever after"
    return ""


def by_graph(
    traced: TracedModel, model: nn.Module, name: str, sample: Inputs, place: Place | None, manner: Manner
) -> tuple[Found | None, Reference, str]:
    """The model cut in its graph, what the model itself does there, and why the graph isn't believed if it isn't."""
    held, why = why_not_run(lambda: _held_by_graph(traced.cut(name, tuple(sample.images.shape)), sample))
    tensor = held.tensor if held is not None and isinstance(held.tensor, Tensor) else None
    as_it_is = reference(model, sample, place, manner, tensor)
    if held is None:
        return None, as_it_is, why
    cut = traced.cut(name, tuple(sample.images.shape))
    whole = partial(through, traced.graph.module, sample.images)
    why = why_not_believed(whole if place is None else partial(through_cut, cut, held.values, as_it_is), as_it_is)
    way = "export" if traced.graph.shapes is not None else "fx"
    return (None if why else Found(Settled(name, way, _BELIEVED, cut), held, as_it_is)), as_it_is, why


def by_export(
    known: Known, model: nn.Module, name: str, place: Place, sample: Inputs, reference: Reference, why: str
) -> Found:
    """By its exported graph, for code that torch can't differentiate as it is (it writes in place, say)."""
    why = "; ".join(filter(None, (why, f"torch can't differentiate its code as it is: {reference.trouble}")))
    cut = known.exported(model, sample.images, why).cut(name, tuple(sample.images.shape))
    held, unlike = why_not_run(lambda: _held_by_graph(cut, sample))
    if held is not None:
        unlike = why_not_believed(partial(through_cut, cut, held.values, reference), reference)
    if held is None or unlike:
        raise FuncamError(
            f"{type(model).__name__} can't be differentiated at {name!r}: {why}; by torch.export, {unlike}"
        )
    return Found(Settled(name, "export", why, cut), held, reference)


def _held_by_graph(cut: Cut, sample: Inputs) -> Held:
    features = quiet(cut.features)
    return held_by(lambda images: features(replace(sample, images=images).taken), sample.images, cut.names[0])


def read_by(model: nn.Module, cut: Cut | TapCut, sample: Inputs) -> Callable[[Tensor], Any]:
    """An image -> what the layer of a cut holds for it, with whatever else the sample takes."""
    if isinstance(cut, TapCut):
        return lambda images: features_at(model, replace(sample, images=images), cut.place, cut.manner)
    features = quiet(cut.features)
    return lambda images: features(replace(sample, images=images).taken)[cut.names[0]]


def held_by_tap(model: nn.Module, cut: TapCut, sample: Inputs, seen: Seen | None) -> Held:
    """What a tap finds; where the image's axes were followed to it already, there is no need to run the model."""
    if seen is not None and isinstance(seen.followed, Layout):
        return Held(seen.blank, seen.followed, seen.parts)
    return held_by(read_by(model, cut, sample), sample.images)
