"""Whether what answers to changed patches lies at another place, in another size, or at two places as well."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import combinations

import torch
from torch import Tensor

from funcam.network.layout import Shape

Warp = Callable[[float], float]

_LEAST_NARROW = 0.15
_MOST_BETTER, _MOST_SHARE = 0.15, 0.8
_SCALES = (0.5, 0.667, 0.8, 1.25, 1.5, 2.0)
_ROWS, _COLUMNS = (0.125, 0.375, 0.875, 0.625), (0.375, 0.875, 0.625, 0.125)


def four_places(axes: int) -> list[tuple[float, ...]]:
    """Four places, relative to the image: no two in the same row or column, and none another's mirror image.

    (Along time: first, last, first, last.)
    """
    each = ((0.25, 0.75, 0.25, 0.75), _ROWS, _COLUMNS)[-axes:] if axes > 1 else (_ROWS,)
    return list(zip(*each, strict=True))


def bells(grid: Shape, device: torch.device, warps: Sequence[Warp] = ()) -> Tensor:
    """Where each of the changed patches is on a grid, `[4, *grid]`: bells about their places, or about others."""
    made = []
    for place in four_places(len(grid)):
        bell = torch.ones((), device=device)
        for axis, (side, at) in enumerate(zip(grid, place, strict=True)):
            centres = (torch.arange(side, device=device) + 0.5) / side
            middle = warps[axis](at) if warps else at
            bell = bell[..., None] * torch.exp(-(((centres - middle) / max(_LEAST_NARROW, 0.5 / side)) ** 2) / 2)
        made.append(bell)
    return torch.stack(made)


def against_others(x: Tensor) -> Tensor:
    """What each of some maps has that the others haven't."""
    return x - (x.sum(0, keepdim=True) - x) / (len(x) - 1)


def lies_elsewhere(change: Tensor) -> bool:
    """Whether the answers to changed patches fit other places than the patches' own, more than a cell away.

    Args:
        change: what each patch changes that the others don't, `[4, *S]`.

    Returns:
        True where the image may have been cropped, zoomed or padded (another scale fits better), or turned, rolled,
        folded or mirrored (something else fits nearly as well).
    """
    grid = tuple(change.shape[1:])
    own = _correlation(change, grid, [_same] * len(grid))
    scaled = max((_correlation(change, grid, one) for one in _far(grid, _scalings())), default=-1.0)
    other = max((_correlation(change, grid, one) for one in _far(grid, _MOVES)), default=-1.0)
    return scaled > own + _MOST_BETTER or other > _MOST_SHARE * own


def _correlation(change: Tensor, grid: Shape, warps: Sequence[Warp]) -> float:
    expected = against_others(bells(grid, change.device, warps))
    one, other = (x.flatten(1) - x.flatten(1).mean(1, keepdim=True) for x in (change, expected))
    return float(torch.nn.functional.cosine_similarity(one, other, dim=1).mean())


def _same(at: float) -> float:
    return at


def _scaled(at: float, scale: float, fixed: float) -> float:
    return fixed + scale * (at - fixed)


def _rolled(at: float, by: float) -> float:
    return (at + by) % 1


def _mirrored(at: float) -> float:
    return 1 - at


def _folded(at: float) -> float:
    return 2 * at % 1


_MOVES: tuple[Warp, ...] = (_mirrored, _folded, *(partial(_rolled, by=by) for by in (0.25, 0.5, 0.75)))


def _scalings() -> Iterator[Warp]:
    """Crops and pads: about the middle, or with one end where it was."""
    return (partial(_scaled, scale=scale, fixed=fixed) for scale in _SCALES for fixed in (0.0, 0.5, 1.0))


def _far(grid: Shape, warps: Iterator[Warp] | Sequence[Warp]) -> Iterator[list[Warp]]:
    """Each of the warps along one of the axes, or along two, where it moves a place by more than a cell."""
    axes = [axis for axis, side in enumerate(grid) if side > 1]
    at = list(zip(*four_places(len(grid)), strict=True))
    for warp in warps:
        far = [axis for axis in axes if max(abs(warp(one) - one) for one in at[axis]) * grid[axis] > 1]
        for moved in (*((axis,) for axis in far), *combinations(far, 2)):
            yield [warp if axis in moved else _same for axis in range(len(grid))]
