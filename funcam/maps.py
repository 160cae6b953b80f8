"""What is done to maps afterwards, when it is asked for: rescaling and upsampling."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch.nn.functional import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d, interpolate

from funcam.errors import FuncamError, nearest, shown, whole_number
from funcam.recipe import COMBINATIONS, SCALES

_MODES = ("linear", "bilinear", "trilinear")


def rescale(maps: torch.Tensor, scale: str = "per-map", *, spatial: int = 2) -> torch.Tensor:
    """Divide maps by their largest magnitude, so that they lie in -1..1 (0..1 where they are not negative).

    Args:
        maps: `[B, *S]` or `[B, K, *S]`.
        scale: what shares a scale: `per-map` each map its own, `per-image` all classes of an image (so that they
            can be compared), `per-batch` everything, `none` nothing.
        spatial: how many of the last axes are space.

    Returns:
        The same shape. What is zero everywhere stays zero.

    Raises:
        FuncamError: an unknown scale, no tensor of numbers, or fewer axes than asked for.

    Example:
        >>> rescale(torch.tensor([[[0.0, 2.0]], [[0.0, 4.0]]]), "per-batch").flatten()
        tensor([0.0000, 0.5000, 0.0000, 1.0000])
    """
    if scale not in SCALES:
        raise FuncamError(
            f"unknown scale {shown(scale)}; expected one of {', '.join(SCALES)} (nearest: {nearest(scale, SCALES)})"
        )
    _check_tensor(maps)
    if maps.ndim <= whole_number("spatial", spatial, 1):
        raise FuncamError(
            f"maps have shape {list(maps.shape)}; expected [B, *S] or [B, K, *S] with {spatial} spatial axes"
        )
    if scale == "none":
        return maps
    first = {"per-map": maps.ndim - spatial, "per-image": 1, "per-batch": 0}[scale]
    largest = maps.abs().amax(dim=tuple(range(first, maps.ndim)), keepdim=True)
    return maps / torch.where(largest == 0, 1.0, largest)


def upsample(maps: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Bring maps to a spatial size, (bi-, tri-)linearly, with cell centres aligned (`align_corners=False`).

    Args:
        maps: `[B, *S]` or `[B, K, *S]`.
        size: the new `S`, one number for each spatial axis, e.g. `(224, 224)`.

    Returns:
        `[B, *size]` or `[B, K, *size]`.

    Raises:
        FuncamError: no tensor of floats, or the number of axes does not fit the size.

    Example:
        >>> upsample(torch.tensor([[[0.0, 1.0]]]), (1, 4)).flatten()
        tensor([0.0000, 0.2500, 0.7500, 1.0000])
    """
    _check_tensor(maps, floats=True)
    if not isinstance(size, tuple | list):
        raise FuncamError(f"size is {shown(size)}; expected one number for each spatial axis, e.g. (224, 224)")
    size = [whole_number("a side of size", side) for side in size]
    axes = len(size)
    if not 1 <= axes <= 3 or maps.ndim - axes not in (1, 2) or min(size) < 1:
        raise FuncamError(
            f"maps of shape {list(maps.shape)} can't be brought to size {tuple(size)}; expected [B, *S] or [B, K, *S]"
        )
    if not maps.numel():
        return maps.new_zeros((*maps.shape[:-axes], *size))
    flat = maps.reshape(-1, 1, *maps.shape[-axes:])
    return interpolate(flat, list(size), mode=_MODES[axes - 1], align_corners=False).reshape(*maps.shape[:-axes], *size)


def pooled(features: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Features `[B, C, *S]` averaged to a smaller grid, `[B, C, *size]`; one side in `size` for each axis of space.

    Example:
        >>> pooled(torch.tensor([[[1.0, 3.0, 5.0, 7.0]]]), [2])
        tensor([[[2., 6.]]])
    """
    if tuple(size) == features.shape[2:]:
        return features
    shrink: Any = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}[len(size)]
    smaller: torch.Tensor = shrink(features, tuple(size))
    return smaller


def pearson(maps: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Pearson's correlation over the last axis, `[..., n], [..., n] -> [...]`; 0 where one is constant.

    Values are divided by their largest first: neither tiny nor huge ones leave the range of their type.

    Args:
        maps: of floating point.
        others: the same shape.

    Example:
        >>> pearson(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[6.0, 4.0, 2.0]]))
        tensor([-1.])
    """
    constant = (maps.amax(-1) == maps.amin(-1)) | (others.amax(-1) == others.amin(-1))
    a, b = (one - one.mean(-1, keepdim=True) for one in (maps, others))
    a, b = (one / one.abs().amax(-1, keepdim=True).clamp(min=torch.finfo(one.dtype).tiny) for one in (a, b))
    norms = a.norm(dim=-1) * b.norm(dim=-1)
    r = (a * b).sum(-1) / torch.where(norms == 0, 1.0, norms)
    return torch.where(constant, 0.0, r).clamp(-1, 1)


def combine_maps(maps: Sequence[torch.Tensor], how: str = "mean", *, spatial: int | None = None) -> torch.Tensor:
    """Maps of several layers as one: each is cut at zero, divided by its maximum and brought to the finest grid.

    Args:
        maps: for each layer `[*S_i]`, `[B, *S_i]` or `[B, K, *S_i]`. A single map has nothing to be combined with and
            comes back as it is.
        how: `mean`, `max` or `product` of the maps, cell by cell.
        spatial: how many of the last axes are space. None infers it from the axes that the layers share: they are
            the images and the classes, the others are space. Maps of four axes that share the first two are
            `[B, K, h, w]`.

    Returns:
        `[..., *S]` at the finest layer's grid, 0..1.

    Raises:
        FuncamError: another word for `how`; no float tensors; other leading axes; or axes that could be either, as
            those of `[2, 8, 8]` at each layer: two images, or two images and eight classes of one axis?

    Source:
        The product is RefineCAM's, arXiv:2605.14641.

    Example:
        >>> combine_maps([torch.tensor([[[0.0, 4.0]]]), torch.tensor([[[1.0, 0.5]]])], "product")
        tensor([[[0.0000, 0.5000]]])
    """
    check_combination(how)
    maps = [maps] if isinstance(maps, torch.Tensor) else list(maps) if isinstance(maps, Iterable) else [maps]
    if not maps:
        raise FuncamError("no maps were given to combine; expected those of several layers")
    for one in maps:
        _check_tensor(one, floats=True)
    if len({one.device for one in maps}) > 1:
        raise FuncamError("maps are on several devices; bring them to one, e.g. maps.cpu()")
    axes = _spatial_axes(maps) if spatial is None else whole_number("spatial", spatial, 1)
    if len(maps) == 1:
        return maps[0]
    leading = _shared_leading(maps, axes)
    finest = max((one.shape[leading:] for one in maps), key=lambda size: size.numel())
    flat = (one.reshape(one.shape[:leading].numel(), *one.shape[leading:]) for one in maps)
    same = torch.stack([upsample(rescale(one.relu(), spatial=axes), finest) for one in flat])
    same = same.reshape(len(maps), *maps[0].shape[:leading], *finest)
    if how == "mean":
        return same.mean(0)
    return same.amax(0) if how == "max" else same.prod(0)


def check_combination(how: object) -> None:
    """Refuse what is no way to combine maps.

    Raises:
        FuncamError: it is none of `mean`, `max` and `product`.

    Example:
        >>> check_combination("mean")
    """
    if how not in COMBINATIONS:
        raise FuncamError(f"unknown combination {shown(how)}; expected one of {', '.join(COMBINATIONS)}")


def _spatial_axes(maps: Sequence[torch.Tensor]) -> int:
    """How many of the last axes are space, where only one reading of the shapes makes sense."""
    shape = maps[0].shape
    if len(maps) == 1 or any(one.ndim != len(shape) for one in maps):
        return 0  # needed for nothing, or refused
    sides = zip(*(one.shape for one in maps), strict=True)
    shared = next((axis for axis, side in enumerate(sides) if len(set(side)) > 1), len(shape))
    readings = [axes for axes in (1, 2, 3) if 0 <= len(shape) - axes <= min(shared, 2)]
    if len(shape) > 2:  # without images, space is what is told to be
        readings = [axes for axes in readings if axes < len(shape)]
    if len(shape) == 4 and 2 in readings:
        return 2
    first, last = len(shape) - max(readings, default=0), len(shape) - min(readings, default=0)
    if not readings or set(shape[first:last]) - {1}:
        raise FuncamError(
            f"maps of shapes {_shapes(maps)} don't say which axes are space; tell how many of the last ones are: "
            "combine_maps(maps, spatial=2) for [h, w], [B, h, w] or [B, K, h, w]"
        )
    return readings[0]


def _shared_leading(maps: Sequence[torch.Tensor], axes: int) -> int:
    """The number of axes in front of space, which the maps must share."""
    leading = maps[0].ndim - axes
    if (
        not 1 <= axes <= 3
        or leading < 0
        or any(one.ndim != maps[0].ndim or one.shape[:leading] != maps[0].shape[:leading] for one in maps)
    ):
        raise FuncamError(
            f"maps of shapes {_shapes(maps)} are not of the same images and classes; expected [B, *S] or [B, K, *S] "
            f"for each layer, alike but for space (the last {axes or 'one to three'} axes)"
        )
    return leading


def _shapes(maps: Sequence[torch.Tensor]) -> str:
    return ", ".join(str(list(one.shape)) for one in maps)


def _check_tensor(maps: object, *, floats: bool = False) -> None:
    """Refuse what is no map, before torch refuses it in words of its own."""
    if not isinstance(maps, torch.Tensor):
        hint = "; give its .maps" if hasattr(maps, "maps") else ""
        raise FuncamError(f"maps are a {type(maps).__name__}; expected a float tensor{hint}")
    if maps.is_complex() or maps.dtype == torch.bool or (floats and not maps.is_floating_point()):
        raise FuncamError(f"maps have type {maps.dtype}; expected floats (maps.float())")
