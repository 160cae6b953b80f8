"""What each module of a model returns, seen by running it: where it can be cut when nobody has its graph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from funcam.errors import FuncamError
from funcam.network.checks import cotangents, difference
from funcam.network.choice import LAST_CONV
from funcam.network.derivative import vjp
from funcam.network.layers import Layout, layout_of
from funcam.network.outputs import leaves
from funcam.network.samples import scattered
from funcam.network.tap import Inputs, Manner, Place, Visit, run
from funcam.network.traits import PASSING_MODULES, sets_grid

_MOST_SWAPS = 12
_MOST_PLACES = 400

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Seen:
    """A tensor that a module returned.

    Attributes:
        place: the module, its call, the part of what it returned.
        kind: the module's class.
        shape: the tensor's shape.
        grid: the grid of cells in force there, for a layer of tokens.
        same: the number of the tensor: an outer module may return what an inner one did.
        weighted: whether the module itself multiplies by weights.
        bare: whether the module returned the tensor itself, not something that holds it.
        first: whether no module returned the tensor before: it was made there.
        active: whether none of its values is negative.
    """

    place: Place
    kind: type[nn.Module]
    shape: Shape
    grid: Shape
    same: int
    weighted: bool
    bare: bool
    first: bool
    active: bool

    def cells(self, image: Shape) -> int:
        """How many cells its feature map has; 0 where it holds none."""
        layout = self.layout(image)
        return math.prod(layout.spatial(self.shape)) if layout else 0

    def layout(self, image: Shape) -> Layout | None:
        """How it holds a feature map of such images; None where it holds none."""
        if self.shape[:1] != image[:1]:
            return None
        layout = layout_of(self.shape, image, self.grid)
        return layout if layout and math.prod(layout.spatial(self.shape)) > 1 else None


def survey(model: nn.Module, inputs: Inputs, manner: Manner) -> list[Seen]:
    """Every tensor that a module of a model returns for some images, in the order in which they are returned."""
    image = tuple(inputs.images.shape)
    kept: list[tuple[Tensor, int]] = []  # alive until the end, so that no identity is used twice; and its version
    seen: list[Seen] = []
    grid: Shape = ()

    def note(place: Place, module: nn.Module, returned: Any) -> None:
        nonlocal grid
        for path, tensor in leaves(returned):
            shape = tuple(tensor.shape)
            plain = len(shape) == len(image) and layout_of(shape, image) == Layout("channels-first")
            if plain and (not grid or sets_grid(type(module).__name__.lower())):
                grid = shape[2:]
            version = tensor._version  # what writes in place returns the same tensor with other values
            same = next((i for i, (other, then) in enumerate(kept) if other is tensor and then == version), len(kept))
            first = same == len(kept)
            if first:
                kept.append((tensor, version))
            weighted = any(p.ndim > 1 for p in module._parameters.values() if p is not None)
            whole = not path or len(list(leaves(returned))) == 1
            at = Place(place.path, place.call, () if whole else path)
            active = tensor.is_floating_point() and bool((tensor >= 0).all())
            seen.append(Seen(at, type(module), shape, grid, same, weighted, not path, first, active))

    _observe(model, inputs, manner, note)
    return seen


def _observe(model: nn.Module, inputs: Inputs, manner: Manner, note: Any) -> None:
    paths = [path for path, _ in model.named_modules() if path]
    modules = dict(model.named_modules())
    with torch.no_grad():
        run(model, inputs, {}, manner, watch={path: _noting(path, modules[path], note) for path in paths})


def _noting(path: str, module: nn.Module, note: Any) -> Any:
    calls = 0

    def watch(returned: Any) -> None:
        nonlocal calls
        calls += 1
        note(Place(path, calls), module, returned)

    return watch


def default_place(model: nn.Module, inputs: Inputs, manner: Manner) -> Seen:
    """The layer that is explained where none is named and no graph says which: the deepest that carries everything.

    It is a feature map that sees the images, that the outputs depend on, with weights behind it, and through which
    everything passes: put there for one image what it was for another, the outputs are the other's. Where a class token
    goes beside the map, nothing carries everything: then the deepest norm that the outputs depend on is taken.

    Raises:
        FuncamError: there is no feature map.
    """
    image = tuple(inputs.images.shape)
    seen = survey(model, inputs, manner)
    last_weight = max((i for i, one in enumerate(seen) if one.weighted), default=-1)
    pooled = {one.same for one in seen if issubclass(one.kind, PASSING_MODULES) and one.first}
    maps = [one for one in seen[:last_weight] if one.layout(image) and one.same not in pooled]
    maps = [one for one in maps if not issubclass(one.kind, PASSING_MODULES)]
    maps = maps[-_MOST_PLACES:]
    if not maps:
        raise FuncamError(
            f"{type(model).__name__} has no feature map with a spatial extent for images of shape {list(image)}; give "
            "a larger image, or name a layer"
        )
    alive = _alive(model, inputs, manner, maps)
    for one in list(reversed(alive))[:_MOST_SWAPS]:
        if _carries_all(model, inputs, manner, one):
            return outermost(one, alive)
    norms = [one for one in alive if "norm" in one.kind.__name__.lower() and one.grid]
    tokens = [one for one in norms if _kind(one, image) == "tokens"]
    return (tokens or [outermost(alive[-1], alive)])[-1]


def _kind(one: Seen, image: Shape) -> str:
    layout = one.layout(image)
    return layout.kind if layout else ""


def _alive(model: nn.Module, inputs: Inputs, manner: Manner, maps: Sequence[Seen]) -> list[Seen]:
    """Those maps that see the images and on which the outputs depend."""
    ours, gradients = _derivatives(model, inputs, manner, maps)
    other = Inputs(_another(inputs.images), inputs.args, inputs.kwargs, inputs.wrt)
    try:
        theirs = _features(model, other, manner, [one.place for one in maps])
    except FuncamError:  # other images take another way through its code
        other = Inputs(inputs.images * 1.01, inputs.args, inputs.kwargs, inputs.wrt)
        theirs = _features(model, other, manner, [one.place for one in maps])
    alive = [
        one
        for one, a, b, g in zip(maps, ours, theirs, gradients, strict=True)
        if g.any() and difference([a], [b]) and _map_gradient(one, g, inputs).any()
    ]
    if not alive:
        raise FuncamError(
            f"no feature map of {type(model).__name__} both sees the images and leads to its outputs; name a layer"
        )
    return alive


def _map_gradient(one: Seen, gradient: Tensor, inputs: Inputs) -> Tensor:
    """The part of a gradient that belongs to cells, not to class tokens."""
    layout = one.layout(tuple(inputs.images.shape))
    return gradient if layout is None else layout.to_map(gradient)


def _another(images: Tensor) -> Tensor:
    """Other images of the same range."""
    noise = (scattered(images.shape, images.dtype, images.device) + 1) / 2
    low, high = images.amin(), images.amax()
    return low + (high - low + (high == low)) * noise


def _derivatives(
    model: nn.Module, inputs: Inputs, manner: Manner, maps: Sequence[Seen]
) -> tuple[list[Tensor], list[Tensor]]:
    """The features at every map, and the derivative of a random function of the outputs there, in one pass."""
    places = [one.place for one in maps]
    zeros = [torch.zeros_like(A) for A in _features(model, inputs, manner, places)]

    def function(*deltas: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        seen: dict[Place, Tensor] = {}

        def visit(place: Place, delta: Tensor) -> Visit:
            def add(tensor: Tensor) -> Tensor:
                seen[place] = tensor.clone()
                return tensor + delta

            return add

        taps = {place: visit(place, delta) for place, delta in zip(places, deltas, strict=True)}
        outputs = run(model, inputs, taps, manner)
        tensors = [t for _, t in leaves(outputs) if t.is_floating_point()]
        return tensors, [seen[place] for place in places]

    values, pullback, features, _ = vjp(function, zeros)
    return features, list(pullback(cotangents(values)))


def _features(model: nn.Module, inputs: Inputs, manner: Manner, places: Sequence[Place]) -> list[Tensor]:
    seen: dict[Place, Tensor] = {}

    def visit(place: Place) -> Visit:
        def read(tensor: Tensor) -> Tensor:
            seen[place] = tensor.detach().clone()
            return tensor

        return read

    with torch.no_grad():
        run(model, inputs, {place: visit(place) for place in places}, manner)
    return [seen[place] for place in places]


def _carries_all(model: nn.Module, inputs: Inputs, manner: Manner, one: Seen) -> bool:
    """Whether everything passes there: with the features of other images the outputs are those of the others."""
    other = Inputs(_another(inputs.images), inputs.args, inputs.kwargs, inputs.wrt)
    layout = one.layout(tuple(inputs.images.shape))
    assert layout is not None
    try:
        (features,) = _features(model, other, manner, [one.place])
        cells = layout.to_map(features)  # a class token beside them stays: it is another way to the outputs
        with torch.no_grad():
            swapped = run(model, inputs, {one.place: lambda tensor: layout.from_map(cells, tensor)}, manner)
            wanted = run(model, other, {}, manner)
    except FuncamError:  # other images take another way through its code
        return False
    return not difference([t for _, t in leaves(swapped)], [t for _, t in leaves(wanted)])


def outermost(one: Seen, alive: Sequence[Seen]) -> Seen:
    """The outermost module that returns the same tensor, and nothing beside it if there is such a one."""
    same = [other for other in alive if other.same == one.same]
    return min(same, key=lambda s: (not s.bare, s.place.path.count(".")))


def last_convolution(seen: Sequence[Seen], model: nn.Module) -> Place:
    """The last convolution in module order among those that ran.

    Raises:
        FuncamError: there is none.
    """
    called = {one.place.path for one in seen}
    names = [path for path, module in model.named_modules() if isinstance(module, _ConvNd) and path in called]
    if not names:
        raise FuncamError(
            f"layer '{LAST_CONV}' needs a convolution and {type(model).__name__} has none; name a layer instead"
        )
    return Place(names[-1])
