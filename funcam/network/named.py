"""Which layer a name means, or none: the default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from funcam.errors import FuncamError, nearest
from funcam.network.choice import LAST_CONV, last_conv
from funcam.network.defaults import default_maps, last_convolution
from funcam.network.known import Known, TracedModel, known_of
from funcam.network.samples import kind_of
from funcam.network.survey import Seen, spectra, survey
from funcam.network.tap import Inputs, Manner, Place, place_of
from funcam.network.wanted import Wanted
from funcam.network.wrappers import plain_name, unwrapped


def named(
    known: Known,
    model: nn.Module,
    traced: TracedModel | None,
    layer: str | None,
    sample: Inputs,
    manner: Manner,
    wanted: Wanted | None,
) -> tuple[str, Seen | None]:
    """The layer's name, and what was seen of it where the model had to be run to find it."""
    shape = tuple(sample.images.shape)
    if layer is None:
        if traced is not None and wanted is None and not spectra(model, sample, manner):
            return traced.default(shape), None
        first = maps_by_default(known, model, sample, manner, wanted)[0]
        return str(first.place), first
    if layer == LAST_CONV:
        if traced is not None:
            return last_conv(traced.graph, model), None
        return str(last_convolution(survey(model, sample, manner), model)), None
    names: Mapping[str, Any] = {} if traced is None else traced.graph.named
    modules = dict(model.named_modules(remove_duplicate=False))
    return plain_name({**modules, **names}, layer), None


def maps_by_default(
    known: Known, model: nn.Module, sample: Inputs, manner: Manner, wanted: Wanted | None
) -> Sequence[Seen]:
    """What may be explained where no layer is named, the best first, found once for such inputs."""
    key = ("default", kind_of(sample), None if wanted is None else wanted.key)
    return known.fact(key, lambda: default_maps(model, sample, manner, wanted))


def tappable(model: nn.Module, name: str) -> Place | None:
    """Where a tap finds a layer; None for what only a graph has."""
    place = place_of(name)
    paths = dict(model.named_modules(remove_duplicate=False))
    return place if place.path in paths else None


def check_names(model: nn.Module, names: Iterable[str]) -> None:
    """Refuse names that no layer of a model has, before an image is there.

    Args:
        model: its modules are looked at, and its graph where none has the name.
        names: of layers.

    Raises:
        FuncamError: there is none of that name; the nearest are told.

    Example:
        >>> check_names(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), ["1", "relu"])
        Traceback (most recent call last):
        funcam.errors.FuncamError: layer 'relu' is not in Sequential; nearest: '0', '1' (...)
    """
    model = unwrapped(model)
    modules = dict(model.named_modules(remove_duplicate=False))
    for name in names:
        if name == LAST_CONV or tappable(model, plain_name(modules, name)) is not None:
            continue
        traced = known_of(model).traced(model)
        found = {} if traced is None else traced.graph.layers
        if plain_name({**modules, **found}, name) not in found:
            raise FuncamError(unknown(model, traced, name))


def unknown(model: nn.Module, traced: TracedModel | None, name: str) -> str:
    """What to say of a name that no layer has."""
    names = [path for path, _ in model.named_modules() if path]
    if traced is not None:
        names = [*traced.graph.layers]
    return (
        f"layer {name!r} is not in {type(model).__name__}; nearest: {nearest(name, names)} "
        "(`funcam layers NET` and funcam.list_layers(model) list them all)"
    )
