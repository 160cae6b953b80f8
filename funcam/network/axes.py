"""Which axes of a layer's tensor are the image's: followed from the images, else asked of the model, else undecided."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from funcam.errors import FuncamError, shown
from funcam.network.failures import UnknownAxes, reason_of
from funcam.network.layout import Layout, Shape, of_images, readings
from funcam.network.layout_words import SAY, Words, read_words, views
from funcam.network.probing import agreement, decided, patched
from funcam.network.provenance import UNKNOWN, Provenance, Unknown
from funcam.network.reach import Reach
from funcam.network.samples import scattered

_LEAST_SEEN = 4
"""Pixels that a map may lie beside its place without a word, however small the image is."""

ToMap = Callable[[Tensor], Tensor]
FromMap = Callable[..., Tensor]


@dataclass(frozen=True)
class OwnLayout:
    """A layout by two functions of the caller's.

    Attributes:
        forth: the layer's tensor -> the feature map `[B, C, *S]`.
        back: such a map (and the tensor, if it takes two) -> the layer's tensor.
    """

    forth: ToMap
    back: FromMap

    def to_map(self, tensor: Tensor) -> Tensor:
        """The feature map in a layer's tensor."""
        return self.forth(tensor)

    def from_map(self, features: Tensor, tensor: Tensor) -> Tensor:
        """The layer's tensor that holds these features."""
        return self.back(features, tensor) if len(inspect.signature(self.back).parameters) > 1 else self.back(features)


@dataclass(frozen=True, eq=False)
class Held:
    """What a layer holds for one image.

    Attributes:
        tensor: what it holds; no tensor in layers that hold none.
        axes: where the image's axes are in it, as far as they could be followed: as `Provenance.axes_of`.
        parts: of which of the image's axes its cells cover, or see, another part: as `Provenance.parts_of`.
        values: all that crosses the cut there, by name.
    """

    tensor: Any
    axes: Layout | Unknown | None
    parts: Mapping[int, Reach] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)


def held_by(tensor_of: Callable[[Tensor], Any], images: Tensor, name: str | None = None) -> Held:
    """What a layer holds for one image, and where the image's axes are in it.

    Args:
        tensor_of: an image -> what the layer holds for it, or the values that cross the cut there.
        images: the image, `[1, channels, *size]`.
        name: which of those values is the layer's.
    """
    with torch.inference_mode(False), torch.no_grad(), Provenance(images) as provenance:
        made = tensor_of(images)
    tensor = made if name is None else made[name]
    values = {} if name is None else made
    if not isinstance(tensor, Tensor):
        return Held(tensor, UNKNOWN, values=values)
    return Held(tensor, provenance.axes_of(tensor), provenance.parts_of(tensor), values)


AnyLayout = Layout | OwnLayout
LayoutLike = str | AnyLayout | tuple[ToMap, FromMap]


def layout_of_layer(
    layer: str,
    held: Held,
    tensor_of: Callable[[Tensor], Any],
    images: Tensor,
    given: LayoutLike | None,
    *,
    likely: Layout | None = None,
    batch: int = 1,
    others: bool = False,
) -> AnyLayout:
    """How a layer's tensor holds a feature map of images.

    Where the image's axes can be followed through all operations between (convolutions, permutations, reshapes, linear
    layers, attention), it is where they are. Everywhere else patches of the image are changed at four places, and the
    layout is the one in which the layer answers there.

    Args:
        layer: its name, for messages.
        held: what it holds for one image.
        tensor_of: an image -> what the layer holds for it.
        images: one image, `[1, channels, *size]`.
        given: what the caller says; it is checked against the tensor's shape.
        likely: the layout that follows from the grid that the network made of the image, where one does.
        batch: how many images the caller has, for messages.
        others: whether the model takes other inputs, too, whose maps the layer may hold.

    Raises:
        FuncamError: the layer holds no map, or another input's, or the model's answers don't tell which axes are the
            image's.
    """
    tensor, followed = held.tensor, held.axes
    if not isinstance(tensor, Tensor):
        raise FuncamError(f"layer {layer!r} is no feature map: it holds a {type(tensor).__name__}, not a tensor")
    if given is not None:
        layout = _checked(layer, given, tensor, images)
        if others:
            _check_sees(layer, layout, tensor, tensor_of, images)
        return layout
    if isinstance(followed, Layout) and math.prod(followed.spatial(tensor.shape)) > 1:
        _check_parts(layer, held, _canonical(images)[2:])
        return followed
    image = _canonical(images)
    possible = [reading for reading in readings(tensor.shape, image) if math.prod(reading.spatial(tensor.shape)) > 1]
    count = _views_in(tensor, images)
    if not possible and count > 1:
        raise UnknownAxes(
            f"layer {layer!r} holds {count} maps {list(tensor.shape[1:])} of each image, one after the other in the "
            f"batch (views of it, say); say which is meant: {_first_that_sees(tensor, tensor_of, images)}"
        )
    if not possible:
        raise UnknownAxes(
            f"layer {layer!r} is no feature map: its output is {_told(tensor, batch)} for {_of_images(tensor)} of "
            f"{_told(images, batch if len(tensor) == 1 else 1)}; expected [B, C, *S] with a spatial extent above one "
            f"cell (name an earlier layer, or say how: {SAY})"
        )
    if followed is None:
        raise UnknownAxes(
            f"layer {layer!r} holds {_told(tensor, batch)}{_of_one(tensor, batch)}, and which of its axes are the "
            "image's is undecided: as far as they could be followed they stand in no usual layout (windows one after "
            "the other, rows among the channels, cells picked or warped, or none is left); "
            f"say it, {SAY}, or name another layer"
        )
    answers = [tensor, *map(tensor_of, patched(images))]
    if any(answer.shape != tensor.shape for answer in answers):
        raise UnknownAxes(f"layer {layer!r} has another shape for another image; name another layer")
    found = decided(answers, possible, image[2:], likely)
    if found is None:
        raise UnknownAxes(_undecided(layer, tensor, answers, possible, batch))
    return found


def _views_in(tensor: Tensor, images: Tensor) -> int:
    """How many maps of each image stand one after the other in the batch."""
    many = tensor.ndim == images.ndim > 3 and len(images) and not len(tensor) % len(images)
    return len(tensor) // len(images) if many else 1


def _first_that_sees(tensor: Tensor, tensor_of: Callable[[Tensor], Any], images: Tensor) -> str:
    """The first of several maps that the images have a part in (those before are another input's), in words."""
    count = _views_in(tensor, images)
    pairs = zip(tensor.chunk(count), tensor_of(_changed(images)).chunk(count), strict=True)
    seeing = [index for index, (one, other) in enumerate(pairs) if not torch.equal(one, other)]
    first = seeing[0] if seeing else 0
    whose = "takes the first, whose map covers what that view shows" if first == 0 else "takes what the images make"
    return f"{views(count, first)} {whose}"


def _check_sees(
    layer: str, layout: AnyLayout, tensor: Tensor, tensor_of: Callable[[Tensor], Any], images: Tensor
) -> None:
    """Refuse a map in which the images have no part, though the layer may hold others beside it: another input's."""
    other = tensor_of(_changed(images))
    features = layout.to_map(tensor)
    if (
        not isinstance(other, Tensor)
        or other.shape != tensor.shape
        or not features.any()
        or not torch.equal(layout.to_map(other), features)
    ):
        return
    seen = not torch.equal(other, tensor) and _views_in(tensor, images) > 1
    way_out = _first_that_sees(tensor, tensor_of, images) if seen else "name a layer that the images pass"
    raise FuncamError(
        f"layer {layer!r} holds a map there in which the images have no part (it is another input's, say): {way_out}"
    )


def _changed(images: Tensor) -> Tensor:
    return images + scattered(tuple(images.shape), images.dtype, images.device)


def beside(layer: str, held: Held, images: Tensor) -> str:
    """That a map will be drawn far beside the middles of what its cells see, in words; "" where it won't."""
    if not (isinstance(held.axes, Layout) and held.parts):
        return ""
    size, cells = _canonical(images)[2:], held.axes.spatial(held.tensor.shape)
    ends = {axis: reach.seen_of(size[axis]) for axis, reach in held.parts.items() if reach.is_beside(cells[axis])}
    if not ends:
        return ""
    far = max(round(held.parts[axis].beside(cells[axis]) * size[axis]) for axis in ends)
    if far < _LEAST_SEEN:
        return ""
    over = _covered(ends, size)
    return (
        f"the cells of layer {layer!r} lie over {over} (convolutions or pooling have too little padding, or too much), "
        f"and its map is drawn over all of the image, up to {far} pixels beside them; those of an earlier layer lie "
        "nearer"
    )


def _covered(ends: Mapping[int, tuple[int, int]], size: Shape) -> str:
    names = _names(size)
    return " and ".join(f"{names[axis]} {low}..{high - 1} of {size[axis]}" for axis, (low, high) in ends.items())


def _names(size: Shape) -> tuple[str, ...]:
    return (("columns",), ("rows", "columns"), ("frames", "rows", "columns"))[min(len(size), 3) - 1]


def _check_parts(layer: str, held: Held, size: Shape) -> None:
    """Refuse a map that would be drawn over other pixels than those that its cells see.

    Raises:
        UnknownAxes: the cells cover another part of the image than the whole.
    """
    assert isinstance(held.axes, Layout)
    cells = held.axes.spatial(held.tensor.shape)
    ends = {axis: reach.of(size[axis]) for axis, reach in held.parts.items() if reach.misses(cells[axis])}
    if not ends:
        return
    verb = "pads" if any(low < 0 or high > size[axis] for axis, (low, high) in ends.items()) else "crops"
    over = _covered(ends, size)
    raise UnknownAxes(
        f"the model {verb} the image before layer {layer!r}, so that its map would cover {over} and not the image; "
        f"{verb.removesuffix('s')} the image yourself and explain the part of the model behind that, or, for a map of "
        f"those {_names(size)[min(ends)]} as it is, {SAY}"
    )


def _told(tensor: Tensor, batch: int) -> list[int]:
    """The shape of what belongs to one image as that of a batch."""
    return [batch if tensor.shape[:1] == (1,) else side for side in tensor.shape[:1]] + list(tensor.shape[1:])


def _canonical(images: Tensor) -> Shape:
    """The images' shape with the channels first."""
    return tuple(of_images(images.shape).to_map(images).shape)


def _of_images(tensor: Tensor) -> str:
    return "images" if tensor.shape[:1] == (1,) else "one image"


def _of_one(tensor: Tensor, batch: int) -> str:
    """Says that a shape is that of one image where the caller has several."""
    return " for one image" if batch > 1 and tensor.shape[:1] != (1,) else ""


def _undecided(layer: str, tensor: Tensor, answers: Sequence[Tensor], possible: Sequence[Layout], batch: int) -> str:
    scored = sorted(((float(agreement(answers, one).mean()), str(one)) for one in possible), reverse=True)
    shown_first = "; ".join(f"{reading} ({score:.2f})" for score, reading in scored[:4])
    return (
        f"layer {layer!r} holds {_told(tensor, batch)}{_of_one(tensor, batch)}, and which of its axes are the image's "
        f"is undecided: changed patches of the image don't show where they belong, or show that the model crops, warps "
        f"or mirrors the image ({shown_first}; 1 is certain); say it, {SAY}, or name another layer"
    )


def parsed(given: Any) -> Layout | OwnLayout:
    """A layout as the caller says it.

    Raises:
        FuncamError: it says nothing that we know.

    Example:
        >>> parsed("tokens 14x14 prefix=1")
        Layout(kind='tokens', prefix=1, suffix=0, grid=(14, 14), order=(), folded=0)
    """
    if isinstance(given, Layout | OwnLayout):
        return given
    if isinstance(given, tuple) and len(given) == 2 and all(map(callable, given)):
        return OwnLayout(*given)
    return Layout(*read_words(given))


def _said(given: Any) -> str:
    """A layout as it may be said in words."""
    if isinstance(given, Layout) and not (given.order or given.folded):
        return repr(str(Words(given.kind, given.prefix, given.suffix, given.grid)))
    return shown(given)


def _checked(layer: str, given: Any, tensor: Tensor, images: Tensor) -> AnyLayout:
    layout = parsed(given)
    if isinstance(layout, Layout) and "tokens" in layout.kind and not layout.grid:
        layout = _with_grid(layer, layout, tensor, images)
    try:
        features = layout.to_map(tensor)
    except Exception as error:  # functions of the caller's may raise whatever they like
        raise FuncamError(
            f"layout={_said(given)} doesn't fit layer {layer!r}, which holds {list(tensor.shape)} for one image: "
            f"{reason_of(error)}; expected {SAY}"
        ) from error
    if (
        not isinstance(features, Tensor)
        or features.ndim < 3
        or len(features) != len(images)
        or features[0, 0].numel() < 2
    ):
        got = list(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise FuncamError(
            f"layout={_said(given)} makes {got} of layer {layer!r}; expected [B, C, *S] with a spatial "
            "extent above one cell"
        )
    try:
        back = layout.from_map(features, tensor)
    except Exception as error:
        raise FuncamError(
            f"layout={_said(given)} can't bring a map back to layer {layer!r}: {reason_of(error)}"
        ) from error
    if not isinstance(back, Tensor) or back.shape != tensor.shape or not torch.equal(back, tensor):
        raise FuncamError(f"layout={_said(given)}: its second function doesn't undo its first at layer {layer!r}")
    return layout


def _with_grid(layer: str, layout: Layout, tensor: Tensor, images: Tensor) -> Layout:
    """The grid of a caller's tokens: the one with the image's proportions."""
    for reading in readings(tensor.shape, _canonical(images)):
        if (reading.kind, reading.prefix, reading.suffix, reading.order) == (
            layout.kind,
            layout.prefix,
            layout.suffix,
            (),
        ):
            return reading
    raise FuncamError(
        f"layer {layer!r} holds {list(tensor.shape)}: no grid of {layout} has about the image's proportions; give the "
        "grid: layout='tokens 14x14 prefix=1'"
    )


def checked_map(layer: str, layout: AnyLayout, tensor: Any, images: Tensor) -> Tensor:
    """The feature map in what a layer holds for these images.

    Raises:
        FuncamError: it holds no map of these images.
    """
    features = layout.to_map(tensor)
    if features.shape[0] != images.shape[0]:  # (not `len`, which settles the number of images where they are traced)
        raise FuncamError(
            f"layer {layer!r} is no feature map: its output is {list(tensor.shape)} for {images.shape[0]} images"
        )
    return features
