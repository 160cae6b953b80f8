"""How alike two maps of an image are: Pearson's and Spearman's correlation, SSIM. Each `[B, *S], [B, *S] -> [B]`."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import avg_pool1d, avg_pool2d, avg_pool3d

from funcam.errors import FuncamError
from funcam.maps import pearson
from funcam.metrics.checks import check_pair, where_finite
from funcam.metrics.scalars import whole

_POOLS: dict[int, Any] = {1: avg_pool1d, 2: avg_pool2d, 3: avg_pool3d}


def correlation(maps: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Pearson's correlation over the pixels.

    Args:
        maps: `[B, *S]`.
        others: the same shape.

    Returns:
        `[B]`, in -1..1; 0 where a map is constant, NaN where one is not finite.

    Raises:
        FuncamError: the shapes differ.

    Example:
        >>> correlation(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[6.0, 4.0, 2.0]]))
        tensor([-1.])
    """
    maps, others = check_pair(maps, others)
    a, b = (one.flatten(1).to(torch.promote_types(one.dtype, torch.float32)) for one in (maps, others))
    return where_finite(pearson(a, b), maps, others)


def rank_correlation(maps: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Spearman's correlation: Pearson's of the ranks, equal values sharing their mean rank.

    Args:
        maps: `[B, *S]`.
        others: the same shape.

    Returns:
        `[B]`, in -1..1; 0 where a map is constant, NaN where one is not finite.

    Raises:
        FuncamError: the shapes differ.

    Source:
        Used for sanity checks by Adebayo et al., NeurIPS 2018, arXiv:1810.03292, section 3.

    Example:
        >>> rank_correlation(torch.tensor([[1.0, 2.0, 30.0]]), torch.tensor([[0.1, 0.2, 0.3]]))
        tensor([1.])
    """
    maps, others = check_pair(maps, others)
    return where_finite(correlation(_ranks(maps.flatten(1)), _ranks(others.flatten(1))), maps, others)


def ssim(maps: torch.Tensor, others: torch.Tensor, *, window: int = 7) -> torch.Tensor:
    """Structural similarity with a uniform window; the range is that of both maps together.

    Args:
        maps: `[B, H, W]`; of signals `[B, T]`, of volumes `[B, D, H, W]`.
        others: the same shape.
        window: its side, from 2 to H and W.

    Returns:
        `[B]`, at most 1; 1 for two equal maps, NaN where one is not finite.

    Raises:
        FuncamError: the shapes differ, or the window does not fit.

    Source:
        Wang et al., IEEE Transactions on Image Processing 2004, Eq. 13, with the sample covariance (as in
        scikit-image); used for sanity checks by Adebayo et al., NeurIPS 2018, arXiv:1810.03292, section 3.

    Example:
        >>> maps = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0))
        >>> ssim(maps, maps)
        tensor([1.])
    """
    maps, others = check_pair(maps, others)
    window = whole("window", window, least=2)
    axes = maps.ndim - 1
    if not 1 <= axes <= 3 or window > min(maps.shape[1:]):
        raise FuncamError(
            f"maps of shape {list(maps.shape)} don't hold a window of {window}; expected [B, H, W] with 2 <= window <= "
            "H, W: give a smaller window, or resize the maps first"
        )
    low = torch.minimum(maps.flatten(1).amin(1), others.flatten(1).amin(1))
    extent = torch.maximum(maps.flatten(1).amax(1), others.flatten(1).amax(1)) - low
    scale = torch.where(extent == 0, 1.0, extent).view(-1, *[1] * (axes + 1))
    x, y = maps[:, None] / scale, others[:, None] / scale  # the range of both together is 1

    def mean(values: torch.Tensor) -> torch.Tensor:
        means: torch.Tensor = _POOLS[axes](values, window, stride=1)
        return means

    unbiased = window**axes / (window**axes - 1)
    mx, my = mean(x), mean(y)
    vx, vy = unbiased * (mean(x * x) - mx * mx), unbiased * (mean(y * y) - my * my)
    vxy = unbiased * (mean(x * y) - mx * my)
    c1, c2 = 0.01**2, 0.03**2
    local = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return where_finite(local.flatten(1).mean(1), maps, others)


def _ranks(values: torch.Tensor) -> torch.Tensor:
    """The mean rank of each value in its row, as a share of the row's length."""
    ordered = values.sort(1).values.contiguous()
    values = values.contiguous()
    first = torch.searchsorted(ordered, values)
    behind = torch.searchsorted(ordered, values, right=True)
    return (first + behind).to(torch.promote_types(values.dtype, torch.float32)) / (2 * values.shape[1])
