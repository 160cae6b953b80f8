"""Which layer is explained where none is named, found by running the model: the deepest that the whole score passes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from funcam.errors import FuncamError
from funcam.network.axes import AnyLayout
from funcam.network.checks import difference
from funcam.network.choice import LAST_CONV
from funcam.network.failures import WITHOUT_GRADIENTS, FoldedViews, UnknownAxes
from funcam.network.layout import Layout
from funcam.network.layout_words import SAY, views
from funcam.network.meeting import ends_of
from funcam.network.question import Question, with_cells
from funcam.network.survey import Seen, outermost, survey
from funcam.network.tap import Inputs, Manner, Place
from funcam.network.traits import PASSING_MODULES
from funcam.network.wanted import Wanted

_LARGER = "give a larger image, or name a layer"
_MOST_SWAPS = 12
_MOST_PLACES = 400
_MOST_OTHERS = 8
_MOST_WEIGHTED = 40
_MOST_ANSWERS = 8


def default_maps(model: nn.Module, inputs: Inputs, manner: Manner, wanted: Wanted | None = None) -> list[Seen]:
    """The layers that may be explained where none is named, the best first.

    The best is the deepest feature map that sees the images, that the score depends on, and through which everything
    passes: put there for one image what it was for another, the score is the other's. It has weights behind it, unless
    the model has no head. Where a class token goes beside the map, nothing carries everything: then it is the deepest
    norm that the score depends on. Behind it others follow, the deepest of each shape, those first
    whose axes could be followed.

    Raises:
        FuncamError: there is no feature map.
    """
    asked = Question(model, inputs, manner, wanted)
    image = tuple(inputs.images.shape)
    seen = survey(model, inputs, manner)
    maps = _maps(seen, image)
    if not maps:
        _refuse_views(model, seen, image)
        lost = any(
            not one.layout(image) and len(one.shape) == len(image) and math.prod(one.shape[2:]) > 1 for one in seen
        )
        raise UnknownAxes(
            f"{type(model).__name__} has no feature map with a spatial extent for images of shape {list(image)}; "
            + (f"name a layer and say which of its axes are the image's, {SAY}" if lost else _LARGER)
        )
    alive = _before_head(asked, seen, maps)
    best = _best(asked, alive)
    known = [one for one in alive if one.is_known]
    sure = [] if best.is_known or not known else [_best(asked, known, alive)]
    others = [*sure, *_deepest_by_shape(known), *_deepest_by_shape(alive)]
    unique: dict[Place, Seen] = {}
    for one in [best, *others]:
        unique.setdefault(one.place, one)
    return list(unique.values())[: _MOST_OTHERS + 1]


def _refuse_views(model: nn.Module, seen: Sequence[Seen], image: tuple[int, ...]) -> None:
    """Refuse layers that hold several maps of each image.

    Raises:
        FoldedViews: they do.
    """
    folded = [one for one in seen if len(one.shape) == len(image) > 3 and one.shape[0] > image[0]]
    folded = [one for one in folded if one.shape[0] % image[0] == 0 and math.prod(one.shape[2:]) > 1]
    if folded:
        count = folded[-1].shape[0] // image[0]
        raise FoldedViews(
            f"the layers of {type(model).__name__} hold {count} maps of each image, one after the other in the batch "
            f"(views of it, say); name one and say which is meant: layer={str(folded[-1].place)!r}, {views(count)} "
            "takes the first, whose map covers what that view shows"
        )


def _best(asked: Question, alive: Sequence[Seen], beside: Sequence[Seen] = ()) -> Seen:
    """The deepest that carries everything; else the last norm of tokens, else the smallest that most leads through.

    Args:
        asked: what is asked.
        alive: the maps that may be taken.
        beside: all maps on which the score depends, if those are more.
    """
    image, beside = tuple(asked.inputs.images.shape), beside or alive
    values = {one.same: one for one in alive}  # each tensor once, as the last module returned it
    deepest = list(reversed(values.values()))[:_MOST_SWAPS]
    carrying, norms = _carrying(asked, deepest), _norms(alive, image)
    parting = carrying is None or _is_deeper(carrying, alive, image)
    if carrying and not parting and not (norms and _is_mixed_behind(asked, carrying, norms[-1])):
        return replace(outermost(carrying, alive), carries=True)
    if norms:
        ends = ends_of(_norms(beside, image))
        return replace(norms[-1], ends=ends if len(ends) > 1 else ())
    fewest = [outermost(one, alive) for one in _of_several_scales(asked, list(values.values()))]
    if not asked.leads_around(fewest[-1]):
        return fewest[-1]
    ends = _met_first(asked, beside if carrying is None else beside[beside.index(carrying) :])
    one = [one for one in fewest if one.place in ends][-1:] or fewest[-1:]
    return replace(one[0], ends=ends)


def _met_first(asked: Question, maps: Sequence[Seen]) -> tuple[Place, ...]:
    """The last map of each branch, by its outermost name: a way leads from it to the score that passes no other map."""
    gradients = asked.derivatives([one.place for one in maps], [one.blank for one in maps], alone=True)[1]
    met = [outermost(one, maps).place for one, g in zip(maps, gradients, strict=True) if g.any()]
    return tuple(dict.fromkeys(met))


def _is_deeper(carrying: Seen, alive: Sequence[Seen], image: tuple[int, ...]) -> bool:
    """Whether maps behind one have fewer cells: scales part there and are joined later."""
    later = alive[alive.index(carrying) + 1 :]
    return any(one.is_known and one.cells(image) < carrying.cells(image) for one in later)


def _is_mixed_behind(asked: Question, carrying: Seen, norm: Seen) -> bool:
    """Whether cells of a map are mixed on their way to a norm beside a class token.

    All cells but one are made those of another image, and that one changes there.
    """
    image = tuple(asked.inputs.images.shape)
    here, there = carrying.layout(image), norm.layout(image)
    if here is None or there is None or not isinstance(there, Layout) or not there.prefix + there.suffix:
        return False
    if here.spatial(carrying.shape) != there.spatial(norm.shape):
        return False
    before, alone = asked.features(asked.inputs, [carrying.place, norm.place])
    ours, cells = here.to_map(before), here.to_map(asked.of_another([carrying])[1][0])
    cells = torch.cat([ours.flatten(2)[..., :1], cells.flatten(2)[..., 1:]], 2).view_as(cells)
    mixed: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        mixed.append(tensor.clone())
        return tensor

    asked.answers({carrying.place: partial(with_cells, here, cells), norm.place: note})
    ours, theirs = (there.to_map(tensor).flatten(2)[..., 0] for tensor in (alone, *mixed))
    return bool(difference([ours], [theirs]))


def _of_several_scales(asked: Question, alive: Sequence[Seen]) -> list[Seen]:
    """Of the maps on which most of what counts depends those with the fewest cells.

    A network that answers at several scales has branches that lead to the answers of one scale only.
    """
    values, pullback, _ = asked.pullback([one.place for one in alive], [one.blank for one in alive])
    masks = [None] * len(values) if asked.wanted is None else [m for m in asked.wanted.masks if m is not None]
    counting = [torch.ones_like(v) if m is None else m.to(v) for v, m in zip(values, masks, strict=True)]
    flat = torch.cat([mask.flatten() for mask in counting]).nonzero()[:, 0]
    led = [0] * len(alive)
    for index in torch.linspace(0, len(flat) - 1, _MOST_ANSWERS, device="cpu").long().tolist():
        one = torch.zeros(sum(v.numel() for v in values), device=flat.device)
        one[flat[index]] = 1
        parts = torch.split(one, [v.numel() for v in values])
        gradients = pullback([part.view_as(v).to(v) for part, v in zip(parts, values, strict=True)])
        led = [count + bool(g.any()) for count, g in zip(led, gradients, strict=True)]
    image = tuple(asked.inputs.images.shape)
    most = [one for one, count in zip(alive, led, strict=True) if count == max(led)]
    fewest = min(one.cells(image) for one in most)
    return [one for one in most if one.cells(image) == fewest]


def _deepest_by_shape(alive: Sequence[Seen]) -> list[Seen]:
    """The deepest of each shape, the deepest first."""
    return list(reversed({one.shape: one for one in alive if one.first}.values()))


def _maps(seen: Sequence[Seen], image: tuple[int, ...]) -> list[Seen]:
    """What modules return that may be a feature map."""
    pooled = {one.same for one in seen if issubclass(one.kind, PASSING_MODULES) and one.first}
    fitting = [one for one in seen if one.layout(image) and one.same not in pooled]
    return [one for one in fitting if not issubclass(one.kind, PASSING_MODULES)][-_MOST_PLACES:]


def _before_head(asked: Question, seen: Sequence[Seen], maps: Sequence[Seen]) -> list[Seen]:
    """Those maps that see the images, that the score depends on, and with the model's head behind them.

    The head begins at the last layer with weights that the score depends on. If norms follow it, it is a part of the
    body: the model has no head, unless maps are returned.

    Raises:
        FuncamError: there is none.
    """
    image = tuple(asked.inputs.images.shape)
    weighted = [one for one in seen if one.weighted][-_MOST_WEIGHTED:]
    live = _live(asked, list(dict.fromkeys([*maps, *weighted])))
    alive = [one for one in maps if one in live and _leads(one, live[one], image)]
    if not alive:
        raise UnknownAxes(
            f"no feature map of {type(asked.model).__name__} both sees the images and leads to the score; "
            + (
                "name a layer"
                if any(one.layout(image) for one in live)
                else f"where {WITHOUT_GRADIENTS}; elsewhere name a layer"
            )
        )
    last = max((i for i, one in enumerate(seen) if one.weighted and one in live), default=0)
    followed = any(one in live and "norm" in one.kind.__name__.lower() for one in seen[last:])
    if seen[last].layout(image) and followed and not _returns_maps(asked):
        return alive
    before = set(seen[:last])
    return [one for one in alive if one in before] or alive


def _norms(alive: Sequence[Seen], image: tuple[int, ...]) -> list[Seen]:
    norms = [one for one in alive if "norm" in one.kind.__name__.lower()]
    return [one for one in norms if (layout := one.layout(image)) and "tokens" in layout.kind]


def _live(asked: Question, places: Sequence[Seen]) -> dict[Seen, Tensor]:
    """Those maps that see the images, and values, on which the score depends, with a derivative of it there."""
    inputs = asked.inputs
    ours, gradients = asked.derivatives([one.place for one in places], [one.blank for one in places])
    try:
        _, theirs = asked.of_another(places)
    except FuncamError:  # other images take another way through its code
        other = replace(inputs, images=inputs.images * 1.01)
        theirs = asked.features(other, [one.place for one in places])
    rows = zip(places, ours, theirs, gradients, strict=True)
    image = tuple(inputs.images.shape)
    seeing = {one: g for one, a, b, g in rows if not one.layout(image) or difference([a], [b])}
    leading = {one: g for one, g in seeing.items() if g.any()}
    if any(one.layout(image) for one in leading):
        return leading
    connected = asked.connected([one.place for one in seeing], [one.blank for one in seeing])
    return {
        one: torch.ones_like(g) for one, g in seeing.items() if one.place in connected
    }  # a head of zeros, dead units


def _leads(one: Seen, gradient: Tensor, image: tuple[int, ...]) -> bool:
    """Whether a score depends on a map: on its cells, not on class tokens, and of tokens on more than one."""
    layout = one.layout(image)
    return layout is not None and bool(read_cells(layout, gradient) > ("tokens" in layout.kind))


def read_cells(layout: AnyLayout, gradient: Tensor) -> int:
    """How many cells of a map have a gradient."""
    cells = layout.to_map(gradient)
    return int((cells != 0).any(0).any(0).sum())


def _returns_maps(asked: Question) -> bool:
    return any(value.ndim == asked.inputs.images.ndim and math.prod(value.shape[2:]) > 1 for value in asked.answers({}))


def leading_places(model: nn.Module, inputs: Inputs, manner: Manner) -> tuple[list[Place], list[Place]]:
    """Every place that holds a tensor of floating point, in order, and of the maps among them those on which the
    outputs depend by a derivative.
    """
    seen = survey(model, inputs, manner)[-_MOST_PLACES:]
    places = [one.place for one in seen]
    _, gradients = Question(model, inputs, manner, None).derivatives(places, [one.blank for one in seen])
    maps = [one.layout(tuple(inputs.images.shape)) for one in seen]
    return places, [place for place, g, map_ in zip(places, gradients, maps, strict=True) if g.any() and map_]


def gradient_at(
    model: nn.Module, inputs: Inputs, place: Place, manner: Manner, wanted: Wanted | None, like: Tensor
) -> Tensor:
    """The derivative of a random function of what counts at a layer, as it is laid out there: a tensor like `like`."""
    return Question(model, inputs, manner, wanted).derivatives([place], [like])[1][0]


def _carrying(asked: Question, deepest: Sequence[Seen]) -> Seen | None:
    """The first through which everything passes: with the features of other images the score is that of the others."""
    try:
        asked.of_another(deepest)
    except FuncamError:  # other images take another way through its code
        return None
    return next((one for one in deepest if asked.is_passed_by(one) is False), None)


def is_connected(model: nn.Module, inputs: Inputs, place: Place, manner: Manner, like: Tensor) -> bool:
    """Whether a way leads from a layer to the outputs, though their derivative by it is zero: a head of zeros, say."""
    try:
        return place in Question(model, inputs, manner, None).connected([place], [like])
    except RuntimeError:  # autograd can't tell
        return False


def stands_in(model: nn.Module, inputs: Inputs, manner: Manner, wanted: Wanted | None, one: Seen) -> bool:
    """Whether a map may be explained in the place of a better one: it carries everything, or is a norm of tokens."""
    asked = Question(model, inputs, manner, wanted)
    return bool(_norms([one], tuple(inputs.images.shape))) or _carrying(asked, [one]) is not None


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
