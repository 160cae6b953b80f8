"""What is done to maps afterwards, when it is asked for: rescaling and upsampling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d, interpolate

from funcam.errors import FuncamError, nearest
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
        FuncamError: an unknown scale, or fewer axes than asked for.

    Example:
        >>> rescale(torch.tensor([[[0.0, 2.0]], [[0.0, 4.0]]]), "per-batch").flatten()
        tensor([0.0000, 0.5000, 0.0000, 1.0000])
    """
    if scale not in SCALES:
        raise FuncamError(
            f"unknown scale {scale!r}; expected one of {', '.join(SCALES)} (nearest: {nearest(scale, SCALES)})"
        )
    if maps.ndim <= spatial:
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
        size: the new `S`, one number for each spatial axis.

    Returns:
        `[B, *size]` or `[B, K, *size]`.

    Raises:
        FuncamError: the number of axes does not fit the size.

    Example:
        >>> upsample(torch.tensor([[[0.0, 1.0]]]), (1, 4)).flatten()
        tensor([0.0000, 0.2500, 0.7500, 1.0000])
    """
    axes = len(size)
    if not 1 <= axes <= 3 or maps.ndim - axes not in (1, 2) or min(size) < 1:
        raise FuncamError(
            f"maps of shape {list(maps.shape)} can't be brought to size {tuple(size)}; expected [B, *S] or [B, K, *S]"
        )
    flat = maps.reshape(-1, 1, *maps.shape[-axes:])
    return interpolate(flat, list(size), mode=_MODES[axes - 1], align_corners=False).reshape(*maps.shape[:-axes], *size)


def pooled(features: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Features `[B, C, *S]` averaged to a smaller grid, `[B, C, *size]`.

    Example:
        >>> pooled(torch.tensor([[[1.0, 3.0, 5.0, 7.0]]]), [2])
        tensor([[[2., 6.]]])
    """
    if tuple(size) == features.shape[2:]:
        return features
    shrink: Any = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}[len(size)]
    smaller: torch.Tensor = shrink(features, tuple(size))
    return smaller


def combine_maps(maps: Sequence[torch.Tensor], how: str = "mean") -> torch.Tensor:
    """Maps of several layers as one: each is cut at zero, divided by its maximum and brought to the finest grid.

    Args:
        maps: `[..., *S_i]` for each layer, with the same leading axes (two: images and classes).
        how: `mean`, `max` or `product` of the maps, cell by cell.

    Returns:
        `[..., *S]` at the finest layer's grid, 0..1.

    Raises:
        FuncamError: another word for `how`.

    Source:
        The product is RefineCAM's, arXiv:2605.14641.

    Example:
        >>> combine_maps([torch.tensor([[[0.0, 4.0]]]), torch.tensor([[[1.0, 0.5]]])], "product")
        tensor([[[0.0000, 0.5000]]])
    """
    if how not in COMBINATIONS:
        raise FuncamError(f"unknown combination {how!r}; expected one of {', '.join(COMBINATIONS)}")
    spatial = [one.shape[2:] for one in maps]
    finest = max(spatial, key=lambda shape: shape.numel())
    same = torch.stack([upsample(rescale(one.relu(), spatial=len(finest)), finest) for one in maps])
    if how == "mean":
        return same.mean(0)
    return same.amax(0) if how == "max" else same.prod(0)
