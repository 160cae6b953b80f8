"""A second, independent alignment: a bright patch moves over the image; the cell that answers must lie there."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.models.entry import Entry
from benchmarks.models.reference import hooked, run, to_map

_LOW, _HIGH = 0.25, 0.75
ENOUGH = 3  # of four places


def places(axes: int) -> list[tuple[float, ...]]:
    """Four places, relative to the image: its quarters' centres (along time: first, last, last, first)."""
    corners = [(_LOW, _LOW), (_LOW, _HIGH), (_HIGH, _LOW), (_HIGH, _HIGH)]
    if axes == 1:
        return [(_LOW,), (_HIGH,), (_LOW + 0.125,), (_HIGH - 0.125,)]
    if axes == 2:
        return list(corners)
    return [(time, *corner) for time, corner in zip((_LOW, _HIGH, _HIGH, _LOW), corners, strict=True)]


def patched(images: Tensor) -> Tensor:
    """The first image darkened, and it with a bright, noisy patch at each of the places: `[5, C, *size]`.

    Waveforms `[B, T]` have no channel axis; clips may have their frames before it, `[B, T, C, H, W]`.
    """
    if images.ndim == 5 and images.shape[2] == 3 != images.shape[1]:
        return patched(images.transpose(1, 2)).transpose(1, 2)
    if images.ndim == 2:
        return patched(images[:, None])[:, 0]
    base, size = images[:1] * 0.3, images.shape[2:]
    generator = torch.Generator().manual_seed(2)
    copies = [base]
    for place in places(len(size)):
        copy = base.clone()
        box = [
            slice(int((at - 0.125) * side), max(int((at + 0.125) * side), 1))
            for at, side in zip(place, size, strict=True)
        ]
        region = copy[(slice(None), slice(None), *box)]
        region.copy_(0.75 + 0.25 * torch.rand(region.shape, generator=generator))
        copies.append(copy)
    return torch.cat(copies)


def places_right(features: Tensor) -> int | None:
    """At how many of the four places the cell that answers most lies in the patch's quarter of the map.

    Args:
        features: `[5, C, *S]` of `patched` images.

    Returns:
        0 to 4; None where the map has another number of axes than the image, or a single cell.
    """
    change = (features[1:] - features[:1]).float().abs().mean(1)  # [4, *S]
    grid = change.shape[1:]
    right = 0
    for index, place in enumerate(places(len(grid))):
        others = torch.cat([change[:index], change[index + 1 :]]).mean(0)
        peak = torch.unravel_index((change[index] - others).argmax(), grid)
        centres = [(float(cell) + 0.5) / side for cell, side in zip(peak, grid, strict=True)]
        right += all(
            abs(centre - at) <= 0.25 + 0.5 / side
            for centre, at, side in zip(centres, place, grid, strict=True)
            if side > 1
        )
    return right


def of_hook(entry: Entry, model: nn.Module, images: Tensor) -> int | None:
    """The alignment of what a forward hook sees at the expected layer."""
    if len(entry.grid) != len(entry.image) - 1:
        return None
    seen: list[Tensor] = []
    with hooked(model, entry.layers[0], entry.leaf, lambda part: seen.append(part.detach().clone())), torch.no_grad():
        run(model, entry, patched(images))
    return places_right(to_map(entry, seen[0]))


def of_function(entry: Entry, features: Callable[[Tensor], Tensor], images: Tensor) -> int | None:
    """The alignment of the features that a function returns for images."""
    with torch.no_grad():
        values = features(patched(images))
    return places_right(values) if values.ndim == len(entry.image) + 1 else None
