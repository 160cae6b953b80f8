"""What callers pass to `explain`, settled before anything is computed: each is used, or refused in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from funcam.attribution.dispatch import MethodLike, ResolvedMethod, resolve_method, same_method
from funcam.attribution.user_methods import name_of
from funcam.errors import FuncamError, shown
from funcam.maps import check_combination
from funcam.methods import Method
from funcam.network.cutting import Split
from funcam.network.inputs import check_wrt, inputs_for
from funcam.network.naming import Layer, LayerLike, layer_name
from funcam.network.pair import is_pair
from funcam.network.tap import Inputs
from funcam.recipe import SMOOTHINGS
from funcam.targets.target import Output, check_output

Layers = LayerLike | Sequence[LayerLike | None] | None
Methods = MethodLike | Iterable[MethodLike]


def check_settings(output: Output, differentiable: bool) -> None:
    """Refuse settings of another kind.

    Raises:
        FuncamError: which one, and what was expected.
    """
    check_output(output)
    if not isinstance(differentiable, bool):
        raise FuncamError(f"differentiable is {shown(differentiable)}; expected True or False")


def inputs_of(images: torch.Tensor, others: Mapping[str, Any] | Sequence[Any], wrt: int | str) -> Inputs:
    """The images, and whatever else the model takes, as it takes them.

    Raises:
        FuncamError: they are of another kind, or the images stand among the others, too.
    """
    if isinstance(others, str | torch.Tensor) or not isinstance(others, Mapping | Sequence):
        raise FuncamError(
            f"inputs is {shown(others)}; expected what else the model takes, by name in a dict or in a list"
        )
    check_wrt(wrt)
    if isinstance(others, Mapping):
        if wrt in others:
            raise FuncamError(f"inputs holds {wrt!r}, which the images are (wrt={wrt!r}); leave it out there")
        return inputs_for(images, (), others, wrt)
    return inputs_for(images, others, {}, wrt)


def layer_names(model: Any, layer: Layers) -> list[str | None]:
    """The names of one or several layers, each once; None stands for the default.

    Args:
        model: a module, a split of one, or a pair `(features, head)`.
        layer: a layer (`LayerLike`) or several.

    Raises:
        FuncamError: there is none among them, or what is none.
    """
    if layer is None:
        return [None]
    if isinstance(layer, str | nn.Module | Layer):
        layers: list[Any] = [layer]
    elif isinstance(layer, Iterable) and not isinstance(layer, bytes | bytearray | torch.Tensor):
        layers = list(layer)
        if not layers:
            raise FuncamError("layer is empty; give one layer or several, or None for the default one")
    else:
        layers = [layer]
    if not all(each is None or (type(each) is str and each) for each in layers):
        module = _module(model) if any(isinstance(each, nn.Module) for each in layers) else None
        layers = [layer_name(module, each) for each in layers]
    return list(dict.fromkeys(layers))


def _module(model: Any) -> nn.Module:
    if isinstance(model, Split):
        return model.model()
    if is_pair(model):
        raise FuncamError(
            "a layer was given as a module with a pair (features, head), which is cut already; leave it out"
        )
    whole: nn.Module = model
    return whole


def check_layers(model: Any, layers: Sequence[str | None], combine: str | None) -> None:
    """Refuse ways of combining that aren't known or have nothing to combine, and several layers of a cut model.

    Args:
        model: a module, a split of one, or a pair `(features, head)`.
        layers: their names.
        combine: how their maps become one; None to keep them apart. The mean of one layer is that layer's own map.

    Raises:
        FuncamError: which of these, and what to do instead.
    """
    if combine is not None:
        check_combination(combine)
        if len(layers) == 1 and combine != "mean":
            raise FuncamError(
                f"combine={combine!r} makes one map of several layers and there is one; give several, layer=[...], or "
                "leave combine out"
            )
    if len(layers) > 1 and (isinstance(model, Split) or is_pair(model)):
        where = f"is split at {model.layer!r} already" if isinstance(model, Split) else "is a pair of functions"
        instead = "split.model()" if isinstance(model, Split) else "the module"
        raise FuncamError(
            f"the model {where} and {len(layers)} layers were asked for; give {instead}, explain({instead}, ...)"
        )


def smoothings(smooth: str | Iterable[str] | None) -> list[str]:
    """The smoothings that were asked for; None for none.

    Raises:
        FuncamError: there is no such smoothing.
    """
    if smooth is None:
        return []
    names = list(smooth) if isinstance(smooth, Iterable) and not isinstance(smooth, str | bytes) else [smooth]
    for name in names:
        if name not in SMOOTHINGS:
            raise FuncamError(f"unknown smoothing {shown(name)}; expected {' or '.join(SMOOTHINGS)}")
    return names


def refuse_unsmoothed(resolved: Sequence[ResolvedMethod], names: Sequence[str]) -> None:
    """Refuse a smoothing that none of the methods would take note of.

    Raises:
        FuncamError: eigen smoothing was asked for, and no method has channels.
    """
    if "eigen" in names and all(one.method.gives != "map" for one in resolved):
        told = ", ".join(one.method.name for one in resolved)
        raise FuncamError(
            f"smooth='eigen' reduces the weighted channels of a layer, and {told} has none; leave it out, or take 'aug'"
        )


def resolved_methods(
    methods: Methods, options: Mapping[Any, Mapping[str, Any]] | None, eigen: bool
) -> list[ResolvedMethod]:
    """The methods, each with its options.

    Args:
        methods: one or several.
        options: of each method, by its name (or the function).
        eigen: whether they are eigen-smoothed.

    Raises:
        FuncamError: an unknown method or option, options of a method that is not asked for, or no method.
    """
    alone = isinstance(methods, str | bytes | Method | torch.Tensor) or callable(methods)
    wanted: list[Any] = list(methods) if isinstance(methods, Iterable) and not alone else [methods]
    if not wanted:
        raise FuncamError("methods is empty; give one or several, e.g. ['grad-cam'] (`funcam methods` lists them)")
    settings = {} if options is None else options
    if not isinstance(settings, Mapping):
        raise FuncamError(
            f"options are {shown(settings)}; expected those of each method, {{'score-cam': {{'strongest': 64}}}}"
        )
    for key, own in settings.items():
        if not any(same_method(key, method) for method in wanted):
            names = ", ".join(repr(each) if isinstance(each, str) else name_of(each) for each in wanted)
            raise FuncamError(f"options are given for {shown(key)}, which is not among the methods: {names}")
        if not isinstance(own, Mapping):
            raise FuncamError(
                f"the options of {shown(key)} are {shown(own)}; expected their names and values, {{'samples': 10}}"
            )
    return [resolve_method(method, _options_of(method, settings), eigen) for method in wanted]


def _options_of(method: Any, settings: Mapping[Any, Mapping[str, Any]]) -> Mapping[str, Any]:
    return next((own for key, own in settings.items() if same_method(key, method)), {})
