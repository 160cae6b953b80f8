"""Applying methods to a batch run: gather what each is made of, in chunks that fit in memory, and call its function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.func import vmap

from funcam.attribution.batch_run import BatchRun
from funcam.attribution.image_gradients import gradient_maps, images_at_once
from funcam.attribution.masking import maskable, masked_network
from funcam.attribution.option_names import OURS, no_option
from funcam.attribution.option_values import check_option
from funcam.attribution.quantities import (
    FOR_ALL,
    PER_SCORE,
    Chunk,
    bytes_each,
    explained,
    guided_rows,
    require_linear_head,
)
from funcam.attribution.recorded import beside_a_layer
from funcam.attribution.rows import full_precision, unit_cotangents
from funcam.attribution.tails import Pullback
from funcam.attribution.uniform import ablated_map, ablates_means, is_uniform, uniform_maps
from funcam.attribution.uniform import bytes_each as uniform_bytes_each
from funcam.attribution.user_methods import name_of, user_maps, user_method
from funcam.attribution.whole import OF_IMAGE_GRADIENT, OfGradient, kind_of
from funcam.errors import FuncamError, shown
from funcam.methods import METHODS, Method, find_method
from funcam.methods.pixels import guided_backprop
from funcam.methods.reduce import eigen_smoothed
from funcam.network.budget import chunk_size
from funcam.network.casting import cast_as_now, uncast
from funcam.network.derivative import anyhow, may_be_plain, pull
from funcam.network.layout import of_images
from funcam.targets.target import Target

# Looked up once: the compiler can't follow an import.
_FUNCTIONS: dict[str, Callable[..., Any]] = {name: method.function() for name, method in METHODS.items()}
_OPTIONS = {
    name: {
        key: parameter.default
        for key, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    for name, function in _FUNCTIONS.items()
}
_NAMES = {id(function): name for name, function in reversed(_FUNCTIONS.items())}
_NAMES[id(guided_backprop)] = "guided-backprop"  # the table's function for it is the gradient's, of a guided network
MethodLike = str | Method | Callable[..., Any]
_QUANTITIES = {**FOR_ALL, **PER_SCORE}


@dataclass(frozen=True, eq=False)
class ResolvedMethod:
    """A method with its options settled.

    Attributes:
        method: its line of the table, or what would stand there of a function of the caller's.
        options: all of the options that the table knows, the defaults among them.
        eigen: whether its channels are reduced to their first principal component.
        own: a function of the caller's, with its options; None for a method of the table.
    """

    method: Method
    options: dict[str, Any]
    eigen: bool
    own: Callable[..., Any] | None = None

    def function(self, **more: Any) -> Callable[..., Any]:
        """The method's function with the options that are its own."""
        if self.own is not None:
            return eigen_smoothed(self.own) if self.eigen else self.own
        function = _FUNCTIONS[self.method.name]
        return partial(eigen_smoothed(function) if self.eigen else function, **self.keywords(**more))

    def keywords(self, **more: Any) -> dict[str, Any]:
        """The options that are keywords of the method's function."""
        return {key: value for key, value in {**self.options, **more}.items() if key in _OPTIONS[self.method.name]}


def table_name(method: MethodLike) -> str | None:
    """The name of a method that was given by its name, its line of the table or its public function; None for others.

    Raises:
        FuncamError: it is a line, but of another table.

    Example:
        >>> from funcam import score_cam
        >>> table_name(score_cam), table_name(METHODS["fem"]), table_name(lambda A, g: A.sum(0))
        ('score-cam', 'fem', None)
    """
    if isinstance(method, Method):
        if METHODS.get(method.name) != method:
            raise FuncamError(f"method {method.name!r} is not in the table of methods; give its function instead")
        return method.name
    return method if isinstance(method, str) else _NAMES.get(id(method))


def same_method(one: MethodLike, other: MethodLike) -> bool:
    """Whether two ways of giving a method mean the same; a function may be meant by its name, too."""
    if one is other or (isinstance(one, str) and callable(other) and name_of(other) == one):
        return True
    name = table_name(one)
    return name is not None and name == table_name(other)


def resolve_method(method: MethodLike, options: Mapping[str, Any], eigen: bool) -> ResolvedMethod:
    """A method with its options, which are checked.

    Args:
        method: its name, its line of the table or its function; or any other function, `(A, g) -> map`.
        options: those that are not left at their defaults.
        eigen: whether it is to be eigen-smoothed.

    Raises:
        FuncamError: there is no such method or option, the method can't be smoothed, or the function can't be called.
    """
    name = table_name(method)
    if isinstance(method, list | tuple):
        raise FuncamError(
            f"method {shown(method)} is a {type(method).__name__}; expected one method (several: explain_methods)"
        )
    if name is not None or not callable(method):
        return _of_the_table(method if name is None else name, options, eigen)
    users, function = user_method(method, options)
    if eigen:
        eigen_smoothed(function)  # refuses a function without weighted channels before anything is computed
    return ResolvedMethod(users, {}, eigen, function)


def _of_the_table(name: Any, options: Mapping[str, Any], eigen: bool) -> ResolvedMethod:
    method = find_method(name)
    known = {**{key: value for key, value in _OPTIONS[name].items() if key not in OURS}, **method.options}
    for key, value in options.items():
        if key not in known:
            raise FuncamError(no_option(name, key, known))
        check_option(name, key, value)
    if eigen and method.gives == "map":
        eigen_smoothed(_FUNCTIONS[name])  # refuses a method without weighted channels before anything is computed
    return ResolvedMethod(method, {**known, **options}, eigen and method.gives == "map")


def uses_gradient(resolved: Sequence[ResolvedMethod]) -> bool:
    """Whether one of the methods is made of the gradient at the layer."""
    return _uses(resolved, "g")


def uses_finer(resolved: Sequence[ResolvedMethod]) -> bool:
    """Whether one of the methods looks at a layer with a larger grid, too."""
    return _uses(resolved, "finer")


def _uses(resolved: Sequence[ResolvedMethod], name: str) -> bool:
    masks = [METHODS[each.options["cam"]] for each in resolved if "cam" in each.options]
    methods = [*(each.method for each in resolved), *masks]
    return any(name in method.takes for method in methods)


def needs_of(resolved: Sequence[ResolvedMethod]) -> dict[str, Any]:
    """What methods need of a batch run, in the words of `run_batch`."""
    methods = [each.method for each in resolved]
    return {
        "gradient": uses_gradient(resolved),
        "finer": uses_finer(resolved),
        "needs_layer": any(method.at_layer for method in methods),
        "made_of": kind_of(methods),
        "of_image": beside_a_layer(methods),
    }


def apply_methods(run: BatchRun, resolved: Sequence[ResolvedMethod]) -> list[list[torch.Tensor]]:
    """Each method's values at each layer, `[B, K, ...]`: tensor methods chunk by chunk, the others image by image."""
    for each in resolved:
        _refuse_misfit(run, each)
    if run.images.shape[0] == 0:
        return [[_no_maps(run, each, layer) for layer in _places(run, each)] for each in resolved]
    chunked = [each for each in resolved if not each.method.whole and "cam" not in each.method.takes]
    maps = dict(zip(map(id, chunked), _in_chunks(run, chunked), strict=True))
    for each in resolved:
        if each.method.whole:
            maps[id(each)] = [_of_function(run, each, layer) for layer in _places(run, each)]
    for each in resolved:
        if "cam" in each.method.takes:
            maps[id(each)] = _masked(run, each, resolved, maps)
    return [maps[id(each)] for each in resolved]


def _refuse_misfit(run: BatchRun, resolved: ResolvedMethod) -> None:
    if resolved.own is None and resolved.method.at_layer:
        _refuse_complex(run, resolved.method.name)
    if resolved.method.needs == "linear head":
        require_linear_head(run, resolved.method)
    if resolved.method.needs == "classes" and run.target.class_score is None:
        raise FuncamError(f"{resolved.method.name} contrasts classes and the target is a function; use grad-cam for it")


def _refuse_complex(run: BatchRun, name: str) -> None:
    for cut, A in zip(run.cuts, run.features, strict=True):
        if A.is_complex():
            raise FuncamError(
                f"layer {cut.layer!r} holds complex numbers, of which {name} makes no map; name a layer of real ones, "
                "or take the parts for channels: layout=(lambda t: torch.view_as_real(t).movedim(-1, 2).flatten(1, 2), "
                "lambda A: torch.view_as_complex(A.unflatten(1, (-1, 2)).movedim(2, -1).contiguous()))"
            )


def _no_maps(run: BatchRun, resolved: ResolvedMethod, layer: int) -> torch.Tensor:
    """A method's values for no image, `[0, K, ...]`."""
    A = run.features[layer]
    sizes = {
        "map": A.shape[2:],
        "heat": of_images(run.images.shape).spatial(run.images.shape),
        "pixels": run.images.shape[1:],
    }
    return full_precision(A.new_zeros((0, run.scores.shape[1], *sizes[resolved.method.gives])))


def _places(run: BatchRun, resolved: ResolvedMethod) -> range:
    return range(len(run.cuts) if resolved.method.at_layer else 1)


def _in_chunks(run: BatchRun, resolved: Sequence[ResolvedMethod]) -> list[list[torch.Tensor]]:
    """Methods of tensors: quantities for a chunk of scores, then the methods, then the next chunk."""
    if not resolved:
        return []
    parts: list[list[list[torch.Tensor]]] = [[[] for _ in _places(run, each)] for each in resolved]
    every = torch.arange(run.scores.shape[1], device=run.scores.device)
    size = chunk_size(run.memory, *(_bytes_each(run, each) for each in resolved))
    for columns in [every] if size >= len(every) else torch.split(every, size):  # (where one may do, sizes are traced)
        chunk = Chunk(run, columns)
        for each, places in zip(resolved, parts, strict=True):
            for layer, maps in enumerate(places):
                maps.append(_applied(chunk, each, layer))
    return [[torch.cat(maps, 1) if len(maps) > 1 else maps[0] for maps in places] for places in parts]


def _bytes_each(run: BatchRun, resolved: ResolvedMethod) -> int:
    guess = uniform_bytes_each if _is_uniform(run, resolved) else bytes_each
    return guess(run, resolved.method, resolved.options)


def _is_uniform(run: BatchRun, resolved: ResolvedMethod) -> bool:
    return resolved.own is None and not resolved.eigen and is_uniform(run, resolved.method)


def _applied(chunk: Chunk, resolved: ResolvedMethod, layer: int) -> torch.Tensor:
    """One method on one chunk, `[B, k, ...]`: the function is for one image and one score, `vmap` adds both."""
    if _is_uniform(chunk.run, resolved):
        return uniform_maps(chunk, resolved.method, resolved.options, resolved.keywords())
    takes = resolved.method.takes
    values = [_QUANTITIES[name](chunk, layer, resolved.method, resolved.options) for name in takes]
    with uncast(chunk.run.images.device):
        return _called(chunk, resolved, values)


def _called(chunk: Chunk, resolved: ResolvedMethod, values: Sequence[Any]) -> torch.Tensor:
    function = resolved.function()
    per_score = [name in PER_SCORE for name in resolved.method.takes]
    if resolved.own is not None:
        return user_maps(resolved.method.name, function, *values)
    batch, scores = chunk.run.images.shape[0], len(chunk.columns)
    if not any(per_score):
        maps: torch.Tensor = vmap(function)(*values)[:, None]
        return maps.expand(-1, scores, *maps.shape[2:])
    if batch == scores == 1:  # spared the cost of batching, which is that of the method itself many times over
        alone: torch.Tensor = function(*(_first(v, p) for v, p in zip(values, per_score, strict=True)))
        return alone[None, None]
    batched: torch.Tensor = vmap(vmap(function), in_dims=tuple(0 if p else None for p in per_score))(*values)
    return batched.transpose(0, 1)


def _first(value: Any, per_score: bool) -> Any:
    if isinstance(value, tuple):
        return tuple(_first(part, per_score) for part in value)
    return value[0, 0] if per_score else value[0]


def _of_function(run: BatchRun, resolved: ResolvedMethod, layer: int) -> torch.Tensor:
    kind, function = OF_IMAGE_GRADIENT.get(resolved.method.name, (None, None))
    if run.whole is not None and function is not None:
        return _of_image_gradient(run, run.own_pullback(), function)
    if run.recorded is not None and function is not None and run.recorded.kind == kind:
        return _of_image_gradient(run, run.recorded.pullback, function)
    at_once = images_at_once(run, resolved.method)
    return gradient_maps(run, resolved.method, at_once) if at_once > 1 else _image_by_image(run, resolved, layer)


def _of_image_gradient(run: BatchRun, pullback: Pullback, function: OfGradient) -> torch.Tensor:
    """Methods of the image's gradient, where the run itself can be differentiated."""
    at_once = max(1, run.gradient_chunk // len(run.images))
    parts = torch.split(torch.arange(run.scores.shape[1], device=run.scores.device), at_once)
    gradients = [pull(pullback, unit_cotangents(part, run.scores))[0] for part in parts]
    with uncast(run.images.device):
        return full_precision(function(torch.cat(gradients).transpose(0, 1), run.images[:, None]))


def _image_by_image(run: BatchRun, resolved: ResolvedMethod, layer: int) -> torch.Tensor:
    """Methods of a function, for one image and all its scores: `[B, K, ...]`."""
    target, takes = explained(run, resolved.method), resolved.method.takes
    function = resolved.function(chunk=_rows_at_once(run, resolved.method, layer))
    maps = []
    means = ablates_means(run, resolved.method) and not resolved.eigen
    for index in range(len(run.images)):
        if means:
            maps.append(ablated_map(run, index, function))
            continue
        arguments = [_of_image(run, layer, index, target, name, takes) for name in takes]
        with uncast(run.images.device):
            maps.append(full_precision(function(*arguments)))
    return torch.stack(maps)


def _rows_at_once(run: BatchRun, method: Method, layer: int) -> int:
    if "head" in method.takes:
        return run.head_chunk(layer)
    return run.gradient_chunk if method.gives == "pixels" else run.image_chunk


def _of_image(run: BatchRun, layer: int, index: int, target: Target, name: str, takes: Sequence[str]) -> Any:
    """What a function method is given, for one image."""
    if name == "A":
        return full_precision(run.features[layer][index])
    if name == "image":
        return maskable(run, index) if "masked_network" in takes else run.images[index]
    if name == "head":
        return cast_as_now(run.head(layer, index, target), run.images.device)
    made = {"network": BatchRun.network, "masked_network": masked_network, "guided_network": guided_rows}
    network = made[name](run, index, target)
    if name != "masked_network" and run.tapped and may_be_plain(run.images):
        network = anyhow(network)  # (what no graph is cut of may refuse `torch.func`, which the method calls)
    return cast_as_now(network, run.images.device)


def _masked(
    run: BatchRun, resolved: ResolvedMethod, others: Sequence[ResolvedMethod], made: Mapping[int, list[torch.Tensor]]
) -> list[torch.Tensor]:
    """Guided Grad-CAM: what it is made of are results of other methods, computed here unless they're there."""

    def maps_of(name: str) -> list[torch.Tensor]:
        for other in others:
            if other.method.name == name and other.own is None and not other.eigen and id(other) in made:
                return made[id(other)]
        return apply_methods(run, [resolve_method(name, {}, False)])[0]

    (gradients,) = maps_of("guided-backprop")
    own, rows = of_images(run.images.shape), gradients.flatten(0, 1)
    function = vmap(resolved.function())
    masks = maps_of(resolved.options["cam"])
    with uncast(run.images.device):
        masked = [function(own.to_map(rows), maps.flatten(0, 1)) for maps in masks]
    return [own.from_map(each, rows).reshape(gradients.shape) for each in masked]
