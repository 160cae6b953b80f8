"""Insertion and deletion: the score while pixels appear or disappear in the order of a map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.nn.functional import avg_pool1d, avg_pool2d, avg_pool3d, conv1d, conv2d, conv3d, pad

from funcam.errors import FuncamError
from funcam.metrics.checks import baseline_for, check_explained, check_images, where_finite
from funcam.metrics.scalars import real, whole
from funcam.metrics.scores import ImageScore, Network, Score, Targets, image_score, probabilities

_POOLS: dict[int, Any] = {1: avg_pool1d, 2: avg_pool2d, 3: avg_pool3d}
_CONVOLUTIONS: dict[int, Any] = {1: conv1d, 2: conv2d, 3: conv3d}

Baseline = torch.Tensor | float | Sequence[float] | None


class Curve(NamedTuple):
    """Scores while the image changes.

    Attributes:
        shares: `[steps + 1]`, from 0 to 1: the share of the pixels (or patches) that is changed.
        scores: `[B, steps + 1]`.
        area: `[B]`, the area under the scores by the trapezoidal rule.
    """

    shares: torch.Tensor
    scores: torch.Tensor
    area: torch.Tensor


def insertion(
    network: Network,
    images: torch.Tensor,
    maps: torch.Tensor,
    targets: Targets,
    *,
    steps: int = 50,
    patch: int = 1,
    baseline: Baseline = None,
    score: Score = probabilities,
    chunk: int = 64,
) -> Curve:
    """Insertion: pixels of the image appear on a blurred one, the most salient first. Better is larger.

    Costs `steps + 1` forward passes for each image. Pixels of the same value follow in reading order.

    Args:
        network: `[n, C, H, W] -> [n, N]`, whose rows don't mix.
        images: `[B, C, H, W]`, as the network takes them.
        maps: `[B, H, W]`; only their order counts.
        targets: a class for each image `[B]` or one for all; None for the predicted classes; a rule such as
            `funcam.probability(3)`; or a function of the network's outputs, `[n]` (`score` is then left out).
        steps: in how many steps the whole image appears.
        patch: squares of this side appear at once, in the order of their mean.
        baseline: what the image appears on: a number, a colour `[C]`, or images that broadcast to `images`; None for
            `blurred(images)`.
        score: what is made of the logits; `identity` for the logits themselves.
        chunk: how many images go through the network at a time; the result does not depend on it.

    Returns:
        A `Curve`: `shares [steps + 1]`, `scores [B, steps + 1]`, `area [B]`; scores and area are NaN for an image whose
        map is not finite.

    Raises:
        FuncamError: shapes that don't belong together, a class that is none, a count that is no whole number of at
            least one, a baseline that is none.

    Source:
        Petsiuk, Das and Saenko (RISE), BMVC 2018, arXiv:1806.07421, section 4.1 and algorithm 1.

    Example:
        >>> network = lambda rows: rows.flatten(1)
        >>> image, saliency = torch.tensor([[[[4.0, 0.0]]]]), torch.tensor([[[1.0, 0.5]]])
        >>> insertion(network, image, saliency, torch.tensor([0]), steps=2, baseline=torch.zeros(1), score=lambda x: x)
        Curve(shares=tensor([0.0000, 0.5000, 1.0000]), scores=tensor([[0., 4., 4.]]), area=tensor([3.]))
    """
    images, maps = check_explained(images, maps, targets)
    below = _blurred(images, 11, 5.0) if baseline is None else baseline_for(images, baseline)
    ranks = saliency_ranks(maps, patch)
    scored = image_score(network, images, targets, score, chunk)
    return _of_finite(_curve(scored, below, images, ranks, whole("steps", steps)), maps)


def deletion(
    network: Network,
    images: torch.Tensor,
    maps: torch.Tensor,
    targets: Targets,
    *,
    steps: int = 50,
    patch: int = 1,
    baseline: Baseline = None,
    score: Score = probabilities,
    chunk: int = 64,
) -> Curve:
    """Deletion: pixels of the image are replaced, the most salient first. Better is smaller.

    Costs `steps + 1` forward passes for each image. Pixels of the same value follow in reading order.

    Args:
        network: `[n, C, H, W] -> [n, N]`, whose rows don't mix.
        images: `[B, C, H, W]`, as the network takes them.
        maps: `[B, H, W]`; only their order counts.
        targets: a class for each image `[B]` or one for all; None for the predicted classes; a rule such as
            `funcam.probability(3)`; or a function of the network's outputs, `[n]` (`score` is then left out).
        steps: in how many steps the whole image disappears.
        patch: squares of this side disappear at once, in the order of their mean.
        baseline: what replaces the pixels: a number, a colour `[C]`, or images that broadcast to `images`; None for
            zeros, the data's mean colour where images are normalised (as in the paper); `mean_colour(images)` is each
            image's own.
        score: what is made of the logits; `identity` for the logits themselves.
        chunk: how many images go through the network at a time; the result does not depend on it.

    Returns:
        A `Curve`: `shares [steps + 1]`, `scores [B, steps + 1]`, `area [B]`; scores and area are NaN for an image whose
        map is not finite.

    Raises:
        FuncamError: shapes that don't belong together, a class that is none, a count that is no whole number of at
            least one, a baseline that is none.

    Source:
        Petsiuk, Das and Saenko (RISE), BMVC 2018, arXiv:1806.07421, section 4.1 and algorithm 1.

    Example:
        >>> network = lambda rows: rows.flatten(1)
        >>> image, saliency = torch.tensor([[[[4.0, 0.0]]]]), torch.tensor([[[1.0, 0.5]]])
        >>> deletion(network, image, saliency, torch.tensor([0]), steps=2, score=lambda x: x).scores
        tensor([[4., 0., 0.]])
    """
    images, maps = check_explained(images, maps, targets)
    above = baseline_for(images, 0.0 if baseline is None else baseline)
    ranks = saliency_ranks(maps, patch)
    scored = image_score(network, images, targets, score, chunk)
    return _of_finite(_curve(scored, images, above, ranks, whole("steps", steps)), maps)


def blurred(images: torch.Tensor, *, side: int = 11, sigma: float = 5.0) -> torch.Tensor:
    """Images behind a Gaussian blur, the edge pixels repeated: the baseline of insertion.

    Args:
        images: `[B, C, H, W]`, or volumes `[B, C, D, H, W]`; signals `[B, C, L]` as `images[:, :, None]`, for nothing
            tells them from one image.
        side: of the window, odd.
        sigma: the Gaussian's standard deviation, in pixels.

    Returns:
        The same shape.

    Raises:
        FuncamError: no images, a side that is not odd, or a sigma that is not above 0.

    Source:
        RISE's window of 11 and sigma of 5; its code pads with zeros instead, which darkens the rim.

    Example:
        >>> blurred(torch.ones(1, 1, 2, 2)).round(decimals=4).flatten()
        tensor([1., 1., 1., 1.])
    """
    images, side, sigma = check_images(images), whole("side", side), real("sigma", sigma, above=0)
    if side % 2 == 0:
        raise FuncamError(f"side is {side}; expected an odd number, so that the window has a middle")
    return _blurred(images, side, sigma)


def _blurred(images: torch.Tensor, side: int, sigma: float) -> torch.Tensor:
    """The blur of `blurred`, of signals too: along one axis after the other."""
    half, axes = side // 2, images.ndim - 2
    places = torch.arange(-half, half + 1, dtype=images.dtype, device=images.device)
    window = (-(places**2) / (2 * sigma**2)).exp()
    window = window / window.sum()
    planes = images.flatten(0, 1)[:, None]
    planes = pad(planes, (half, half) * axes, mode="replicate")
    for axis in range(axes):
        planes = _CONVOLUTIONS[axes](planes, window.view(1, 1, *(-1 if each == axis else 1 for each in range(axes))))
    return planes.view_as(images)


def mean_colour(images: torch.Tensor) -> torch.Tensor:
    """Each image's own mean colour, `[B, C, H, W] -> [B, C, 1, 1]` (volumes likewise): a baseline.

    Raises:
        FuncamError: images of another shape, or that are not floats.

    Example:
        >>> mean_colour(torch.tensor([[[[1.0, 3.0]]]]))
        tensor([[[[2.]]]])
    """
    pixels = check_images(images)
    return pixels.mean(tuple(range(2, pixels.ndim)), keepdim=True)


def saliency_ranks(maps: torch.Tensor, patch: int = 1) -> tuple[torch.Tensor, int]:
    """The place of each pixel in the order of saliency, 0 for the largest; ties in reading order.

    Args:
        maps: `[B, *S]`.
        patch: squares (cubes) of this side share a place, in the order of their mean.

    Returns:
        `[B, *S]`, whole numbers, and how many places there are.

    Example:
        >>> saliency_ranks(torch.tensor([[[0.1, 0.9], [0.1, 0.5]]]))[0].tolist()
        [[[2, 0], [3, 1]]]
    """
    patch, axes = whole("patch", patch), range(1, maps.ndim)
    pool = _POOLS[len(axes)]
    pooled = maps if patch == 1 else pool(maps[:, None], patch, ceil_mode=True, count_include_pad=False)[:, 0]
    order = pooled.flatten(1).argsort(stable=True, dim=1, descending=True)
    ranks = torch.empty_like(order).scatter_(
        1, order, torch.arange(order.shape[1], device=maps.device).expand_as(order)
    )
    grid = ranks.view_as(pooled)
    for axis in axes if patch > 1 else ():
        grid = grid.repeat_interleave(patch, axis).narrow(axis, 0, maps.shape[axis])
    return grid, order.shape[1]


def _of_finite(curve: Curve, maps: torch.Tensor) -> Curve:
    """Without the order that a map which is not finite has only by chance."""
    return Curve(curve.shares, where_finite(curve.scores, maps), where_finite(curve.area, maps))


def _curve(
    scored: ImageScore, before: torch.Tensor, after: torch.Tensor, ranks: tuple[torch.Tensor, int], steps: int
) -> Curve:
    """The scores while pixels of `before` are replaced by those of `after`."""
    places, last = ranks
    count, points = len(before), steps + 1
    changed = (torch.arange(points, device=places.device) * last / steps).round().long()
    buffer = torch.empty(min(scored.chunk, count * points), *before.shape[1:], dtype=before.dtype, device=before.device)

    def rows(part: slice) -> torch.Tensor:
        """Image by image straight into the buffer: no copy but the one that the network needs."""
        for image in range(part.start // points, (part.stop - 1) // points + 1):
            zeroth = image * points
            first, behind = max(part.start, zeroth), min(part.stop, zeroth + points)
            done = places[image] < changed[first - zeroth : behind - zeroth].view(-1, *[1] * (before.ndim - 1))
            torch.where(done, after[image], before[image], out=buffer[first - part.start : behind - part.start])
        return buffer[: part.stop - part.start]

    scores = scored(rows, count, points).view(count, points)
    shares = changed.to(scores) / last
    return Curve(shares, scores, torch.trapezoid(scores, shares, dim=1))
