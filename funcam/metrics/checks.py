"""What is given to a metric: taken where its meaning is plain (arrays and lists too), else refused in one line.

One rule for what is not finite: a map with a NaN or an infinity has no figure, so its metrics are NaN; and so they are
where the network returns NaN. The other images of the batch keep theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch

from funcam.errors import FuncamError, shown

_RESIZE = "`prepared` resizes maps to the network's input"


def as_tensor(name: str, values: Any) -> torch.Tensor:
    """Numbers as a tensor: a tensor as it is, an array or nested lists as a copy.

    Raises:
        FuncamError: it is nothing of the kind, or complex.

    Example:
        >>> as_tensor("maps", [[1, 2]])
        tensor([[1, 2]])
    """
    try:
        tensor = values if isinstance(values, torch.Tensor) else torch.from_numpy(_numbers_in(values))
    except (TypeError, ValueError, RuntimeError):
        tensor = None
    if tensor is None or tensor.is_complex():
        kind = tensor.dtype if tensor is not None else shown(values)
        raise FuncamError(f"{name} is {kind}; expected a tensor of numbers (torch.stack makes one of several)")
    return tensor


def as_floats(name: str, values: Any) -> torch.Tensor:
    """Numbers as a tensor of floats: whole numbers and booleans in single precision.

    Raises:
        FuncamError: they are no real numbers.

    Example:
        >>> as_floats("maps", [[True, False]])
        tensor([[1., 0.]])
    """
    tensor = as_tensor(name, values)
    return tensor if tensor.is_floating_point() else tensor.to(torch.float32)


def _numbers_in(values: Any) -> np.ndarray[Any, Any]:
    """A copy with strides and a type that torch knows; lists of floats are as torch has them, single."""
    array = np.array(values, order="C")
    if array.dtype.kind not in "biuf":
        raise TypeError(array.dtype)
    return array if isinstance(values, np.ndarray) or array.dtype != np.float64 else array.astype(np.float32)


def check_callable(name: str, value: Any, expected: str) -> None:
    """Refuse what can't be called.

    Raises:
        FuncamError: what it is, and what was `expected`.
    """
    if not callable(value):
        raise FuncamError(f"{name} is {shown(value)}; expected {expected}")


def check_maps(maps: Any, *, name: str = "maps") -> torch.Tensor:
    """Maps `[B, *S]` as floats.

    Raises:
        FuncamError: they have no axis of images, or no pixel.
    """
    values = as_floats(name, maps)
    if values.ndim < 2 or not values.shape[1:].numel():
        raise FuncamError(
            f"{name} have shape {list(values.shape)}; expected [B, *S] with at least one pixel (one map: {name}[None])"
        )
    return values


def check_pair(maps: Any, others: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Two batches of maps of the same shape, `[B, *S]`, as floats.

    Raises:
        FuncamError: which shapes they have.
    """
    maps, others = as_floats("maps", maps), as_floats("others", others)
    if maps.shape != others.shape or maps.ndim < 2 or not maps.shape[1:].numel():
        raise FuncamError(
            f"the maps have shapes {list(maps.shape)} and {list(others.shape)}; expected the same [B, *S], with at "
            "least one pixel: resize one"
        )
    return maps, others.to(maps.device)


def check_masks(maps: Any, masks: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Maps `[B, *S]` and masks, bool `[B, M, *S]`, on the same pixels of the same images; one to three axes of space.

    Raises:
        FuncamError: which shapes they have.
    """
    maps, masks = as_floats("maps", maps), as_tensor("masks", masks)
    fits = 2 <= maps.ndim <= 4 and masks.ndim == maps.ndim + 1 and masks.shape[:1] + masks.shape[2:] == maps.shape
    if not fits or masks.dtype != torch.bool or not maps.shape[1:].numel():
        raise FuncamError(
            f"maps have shape {list(maps.shape)}, masks {list(masks.shape)} ({masks.dtype}); expected [B, H, W] and "
            "bool [B, M, H, W], or [B, *S] and [B, M, *S] of signals and volumes (`prepared` resizes maps, `box_masks` "
            "makes masks from boxes; masks[:, None] for one object an image, masks > 0 for numbers)"
        )
    return maps, masks.to(maps.device)


def check_boxes(boxes: Any, valid: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes `[B, M, 4]`, and which of them are boxes, bool `[B, M]`.

    Raises:
        FuncamError: which shapes they have, or that a box is not finite or inside out.
    """
    boxes, valid = as_tensor("boxes", boxes), as_tensor("valid", valid)
    if boxes.ndim != 3 or boxes.shape[2] != 4 or valid.shape != boxes.shape[:2] or valid.dtype != torch.bool:
        raise FuncamError(
            f"boxes have shape {list(boxes.shape)} and valid {list(valid.shape)} ({valid.dtype}); expected [B, M, 4] "
            "and [B, M], bool (`pad_boxes` makes both from lists)"
        )
    valid = valid.to(boxes.device)
    wrong = valid & (~boxes.isfinite().all(2) | (boxes[..., 2:] < boxes[..., :2]).any(2))
    if wrong.any():
        raise FuncamError(
            f"a box is {boxes[wrong][0].tolist()}; expected (x0, y0, x1, y1), finite, with x0 <= x1 and y0 <= y1: put "
            "the corners in order"
        )
    return boxes, valid


def check_images(images: Any, least: int = 4) -> torch.Tensor:
    """Images `[B, C, H, W]` or volumes `[B, C, D, H, W]`, floats, as a network takes them.

    Args:
        images: what was given.
        least: how many axes they have at least; 3 where signals `[B, C, L]` can be told from one image.

    Raises:
        FuncamError: they have another shape or type, or there is none.
    """
    pixels = as_tensor("images", images)
    if not least <= pixels.ndim <= 5 or not pixels.numel():
        signals = "; signals: images[:, :, None]" if pixels.ndim == 3 else ""  # which they are nothing tells here
        raise FuncamError(
            f"images have shape {list(pixels.shape)}; expected [B, C, H, W] with at least one image (one: "
            f"images[None]{signals})"
        )
    if not pixels.is_floating_point():
        raise FuncamError(
            f"images are {pixels.dtype}; expected floats, as the network takes them: images.float() / 255, normalised"
        )
    return pixels


def check_explained(
    images: Any, maps: Any, targets: Any, *, per_channel: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images `[B, C, *S]` and a map for each, `[B, *S]`, on the images' device; the classes are as many.

    Args:
        images: floats, as the network takes them.
        maps: numbers.
        targets: only their number is looked at, where they are classes.
        per_channel: whether maps `[B, C, *S]` are taken too; not of signals, whose shape a single image may have.

    Raises:
        FuncamError: which shapes they have.
    """
    images, maps = as_tensor("images", images), as_floats("maps", maps)
    classes = list(as_tensor("targets", targets).shape) if is_indices(targets) else None
    whole = per_channel and images.ndim > 3 and maps.shape == images.shape
    fits = whole or maps.shape == images.shape[:1] + images.shape[2:]
    if not 3 <= images.ndim <= 5 or not fits or classes not in (None, [], [len(images)]):
        raise FuncamError(
            f"images have shape {list(images.shape)}, maps {list(maps.shape)}{'' if classes is None else ', targets '}"
            f"{'' if classes is None else classes}; expected [B, C, H, W], [B, H, W] and [B], a class for each image "
            f"({_RESIZE})"
        )
    return check_images(images, least=3), maps.to(images.device)


def is_indices(targets: Any) -> bool:
    """Whether targets are numbers of classes, and not a rule, a function, a word or None."""
    return (
        targets is not None
        and not callable(targets)
        and (
            isinstance(targets, torch.Tensor | np.ndarray | np.generic | Integral | Real)
            or (isinstance(targets, Sequence) and not isinstance(targets, str | bytes))
        )
    )


def class_indices(targets: Any, count: int, *, name: str = "targets") -> torch.Tensor:
    """A class for each of `count` images, `[B]`: one number for all, or a list, an array or a tensor.

    Raises:
        FuncamError: they are no whole numbers (a boolean is none), or not as many as images.

    Example:
        >>> class_indices(3, 2)
        tensor([3, 3])
    """
    indices = as_tensor(name, targets)
    if indices.dtype == torch.bool or indices.is_floating_point() or _holds_booleans(targets):
        kind = "torch.bool" if _holds_booleans(targets) else indices.dtype
        raise FuncamError(f"{name} are {kind}; expected whole numbers, the class of each image")
    if indices.ndim == 0:
        indices = indices.expand(count)
    if indices.shape != (count,):
        raise FuncamError(f"{name} have shape {list(indices.shape)}; expected [{count}], a class for each image")
    return indices.long()


def _holds_booleans(values: Any) -> bool:
    """Python would count True among numbers as 1."""
    if isinstance(values, list | tuple):
        return any(map(_holds_booleans, values))
    return isinstance(values, bool | np.bool_)


def baseline_for(images: torch.Tensor, baseline: Any) -> torch.Tensor:
    """What replaces pixels, expanded to the images: a number, a colour `[C]`, or what broadcasts to `[B, C, *S]`.

    Raises:
        FuncamError: it is none of these, or not finite.

    Example:
        >>> baseline_for(torch.zeros(1, 2, 1, 3), [0.5, 0.25])[0, :, 0, 0]
        tensor([0.5000, 0.2500])
    """
    channels = images.shape[1]
    expected = (
        f"None, a number, a colour [{channels}] or images that broadcast to {list(images.shape)}, such as "
        "funcam.metrics.blurred(images) or mean_colour(images)"
    )
    nothing = callable(baseline) or isinstance(baseline, str) or _holds_booleans(baseline)
    if nothing or as_tensor("baseline", baseline).dtype == torch.bool:
        raise FuncamError(f"baseline is {shown(baseline)}; expected {expected}")
    values = as_floats("baseline", baseline)
    if values.ndim == 1 and len(values) == channels:
        values = values.view(-1, *[1] * (images.ndim - 2))
    try:
        filling = values.to(images).expand_as(images) if values.ndim != 1 or len(values) == 1 else None
    except RuntimeError:
        filling = None
    if filling is None:
        raise FuncamError(f"baseline has shape {list(values.shape)}; expected {expected}")
    if not values.isfinite().all():
        raise FuncamError(f"baseline holds a value that is not finite; expected {expected}")
    return filling


def check_weights(counts: Any, count: int) -> torch.Tensor:
    """How often each image counts, `[..., B]`; None for once each.

    Raises:
        FuncamError: they are not as many as images, or one is negative or not finite.

    Example:
        >>> check_weights(None, 2)
        tensor([1., 1.])
    """
    weights = torch.ones(count, device="cpu") if counts is None else as_floats("counts", counts)
    if not weights.ndim or weights.shape[-1] != count:
        raise FuncamError(f"counts have shape {list(weights.shape)}; expected [..., {count}], one for each image")
    if not bool((weights.isfinite() & (weights >= 0)).all()):
        raise FuncamError(
            "counts hold a negative number, or one that is not finite; expected how often an image counts"
        )
    return weights


def finite_maps(maps: torch.Tensor, axes: int = 1) -> torch.Tensor:
    """Whether all values of each map are finite; the first `axes` axes number the maps, `[B, *S] -> [B]`."""
    low, high = maps.detach().flatten(axes).aminmax(dim=axes)
    return low.isfinite() & high.isfinite()


def where_finite(values: torch.Tensor, *maps: torch.Tensor) -> torch.Tensor:
    """The values `[B, ...]` of the images whose maps are finite, NaN for the others.

    Example:
        >>> where_finite(torch.tensor([1.0, 1.0]), torch.tensor([[0.0, torch.inf], [0.0, 1.0]]))
        tensor([nan, 1.])
    """
    for of_each in maps:
        finite = finite_maps(of_each).to(values.device)
        values = torch.where(finite.view(-1, *[1] * (values.ndim - 1)), values, torch.nan)
    return values


def check_perturbed(taken: Any, image: torch.Tensor) -> torch.Tensor:
    """What a `perturb` gave, of the image's shape.

    Raises:
        FuncamError: it is something else.
    """
    if not isinstance(taken, torch.Tensor) or taken.shape != image.shape:
        kind = f"shape {list(taken.shape)}" if isinstance(taken, torch.Tensor) else f"a {type(taken).__name__}"
        raise FuncamError(f"perturb gave {kind} for an image {list(image.shape)}; expected that shape: what is taken")
    return taken
