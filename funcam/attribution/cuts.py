"""Where a batch is cut: at one or several layers, each once, or, for methods that need no layer, nowhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import torch
from torch import nn

from funcam.errors import FuncamError, shown
from funcam.network.believed import manner_for, structure_of
from funcam.network.cutting import CutOptions, Split, cut_by_hand, split, split_for
from funcam.network.failures import UnknownAxes
from funcam.network.forms import in_form
from funcam.network.layers import find_node
from funcam.network.refusals import refuse_without_values
from funcam.network.samples import sample_of
from funcam.network.settled import Settled
from funcam.network.tap import Inputs
from funcam.network.tap import run as run_model
from funcam.network.tracing import is_compiled
from funcam.network.wrappers import plain_name, unwrapped

Source = Callable[[], nn.Module]
Read = Callable[[Any], torch.Tensor]


@dataclass(frozen=True, eq=False)
class Places:
    """Where a batch is cut.

    Attributes:
        cuts: each layer once.
        source: the model as it is now; None for a pair of functions.
        given: what goes into it, with the channels in front.
        left: what is to be said of layers that were left out, a sentence each.
    """

    cuts: tuple[Settled, ...]
    source: Source | None
    given: Inputs
    left: tuple[str, ...] = ()


def places_of(
    model: Any, given: Inputs, layers: Sequence[Any], read: Read, options: CutOptions, *, needed: bool = True
) -> Places:
    """Where a batch is cut.

    Args:
        model: a module, a split of one, or a pair `(features, head)`.
        given: the images, and whatever else the model takes.
        layers: where to cut; one or several. Of several those that hold no map are left out.
        read: the score that a default layer has to lead to.
        options: how the model is to be cut, besides where.
        needed: whether a layer is needed; where the model has none and none was named, it isn't cut then.

    Raises:
        FuncamError: the model can't be cut there, at none of the layers.
    """
    given = _wrt_of(model, given) if isinstance(model, Split) else given
    if isinstance(model, nn.Module) and is_compiled():
        torch._dynamo.graph_break(msg=_BEFORE)  # of a whole graph it shows why it is given up, and no error of ours
        _refuse_while_compiling()
    if given.images.is_meta and isinstance(model, nn.Module):
        refuse_without_values(model, given.images)
    try:
        splits = _splits(model, given, layers, options)
        source = None if splits[0].is_pair else splits[0].source
        given = given if source is None else in_form(source(), given)
        cuts, left = _settled(splits, given, read)
    except UnknownAxes:
        if needed or list(layers) != [None] or not isinstance(model, nn.Module):
            raise
        whole = unwrapped(model)
        return _uncut(whole, in_form(whole, given))
    return Places(_distinct(cuts, source, given), source, given, left)


def _settled(splits: Sequence[Split], given: Inputs, read: Read) -> tuple[list[Settled], tuple[str, ...]]:
    """The cuts that hold a map, and of the others why they don't.

    Raises:
        UnknownAxes: none holds one.
    """
    cuts: list[Settled] = []
    left: list[str] = []
    for cut in splits:
        try:
            cuts.append(cut.settled(given, read))
        except UnknownAxes as error:
            left.append(str(error))  # in words: an error would keep what it passed alive
    if not cuts:
        raise UnknownAxes(left[0])
    return cuts, tuple(f"left out: {why}" for why in left)


def told_of(cuts: Sequence[Settled]) -> list[str]:
    """What is to be said of the layers that were taken, a sentence each: of branches, and of where a map is drawn."""
    return [*(_one_of(cut) for cut in cuts if cut.others), *(cut.beside for cut in cuts if cut.beside)]


def _one_of(cut: Settled) -> str:
    names = ", ".join(map(repr, cut.others))
    if cut.layer not in cut.others:
        return (
            f"no layer carries all of the score so deep: most of it passes {cut.layer!r}, and the rest goes around it; "
            f"layer=[{names}] combines the ends of all branches"
        )
    several = len(cut.others) > 1
    return (
        "no layer carries all of the score so deep: branches meet behind their maps, and "
        f"{cut.layer!r} is the last of one; "
        + (f"layer=[{names}] combines them all" if several else "the others hold no map that could be taken by name")
    )


def _uncut(model: nn.Module, given: Inputs) -> Places:
    """The model whole: features are the images, and the head is the model."""
    manner = manner_for(model, sample_of(given))

    def features(taken: torch.Tensor) -> torch.Tensor:
        if given.last:
            return taken.movedim(-1, 1)
        return taken[:, None] if given.bare else taken

    def head(images: torch.Tensor) -> Any:
        return run_model(model, replace(given, images=images), {}, manner, torch.is_grad_enabled())

    return Places((cut_by_hand(features, head),), lambda: model, given)


_BEFORE = (
    "inside torch.compile a model can't be cut, because nothing can be checked there; cut it before, "
    "split = funcam.split(model, example=images), and give explain the split"
)


def _refuse_while_compiling() -> NoReturn:
    """A function of its own, since torch 2.11's compiler fails at a `raise` where it has given a frame up."""
    raise FuncamError(_BEFORE)


def _wrt_of(split: Split, given: Inputs) -> Inputs:
    """A split says itself which argument the images are."""
    if given.wrt not in (0, split.wrt):
        raise FuncamError(f"the split takes the images as wrt={split.wrt!r} and wrt={given.wrt!r} was given")
    return replace(given, wrt=split.wrt)


def _splits(model: Any, given: Inputs, layers: Sequence[Any], options: CutOptions) -> list[Split]:
    if isinstance(model, nn.Module):
        return [split_for(model, layer, given, options) for layer in layers]
    for name, value in (("hooks", options.hooks), ("layout", options.layout)):  # (the compiler follows no `vars`)
        if value is not None:
            said = f"{name}={shown(value)}"
            raise FuncamError(f"{said} goes with a module; give it to split(model, layer, {said}) instead")
    if len(layers) == 1 and isinstance(model, Split):
        layer = layers[0]
        if layer is not None and plain_name({model.layer}, layer) != model.layer:
            raise FuncamError(f"the model is split at {model.layer!r}; to explain it at {layer!r}, split it there")
        return [model]
    return [split(model, layer, example=given.taken) for layer in layers]


def _distinct(cuts: Sequence[Settled], source: Source | None, given: Inputs) -> tuple[Settled, ...]:
    """Each layer once: a name may be the default's, too, and `layer4` is its last block by another name."""
    if source is None or len(cuts) == 1 or any(cut.way != "fx" for cut in cuts):
        return tuple({cut.layer: cut for cut in cuts}.values())
    graph = structure_of(source(), given.images).graph
    by_node: dict[Any, Settled] = {}
    for cut in cuts:
        by_node.setdefault(find_node(graph, cut.layer), cut)
    return tuple(by_node.values())
