"""ROAD: remove and debias. Pixels are removed by imputation, so that what is removed can't be seen by its outline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from funcam.errors import FuncamError
from funcam.metrics.checks import check_explained, where_finite
from funcam.metrics.curves import saliency_ranks
from funcam.metrics.imputation import impute
from funcam.metrics.scalars import real, reals, seed_of
from funcam.metrics.scores import Network, Score, Targets, image_score, probabilities


class Road(NamedTuple):
    """The scores of images whose pixels were removed.

    Attributes:
        most: `[B]`, the mean over the shares with the most relevant pixels removed first (MoRF); better is smaller.
        least: `[B]`, with the least relevant removed first (LeRF); better is larger.
        combined: `[B]`, `(least - most) / 2`; better is larger, 0 for a map that says nothing.
        most_curve: `[B, S]`, the scores for each share.
        least_curve: `[B, S]`.
    """

    most: torch.Tensor
    least: torch.Tensor
    combined: torch.Tensor
    most_curve: torch.Tensor
    least_curve: torch.Tensor


def road(
    network: Network,
    images: torch.Tensor,
    maps: torch.Tensor,
    targets: Targets,
    *,
    shares: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    noise: float = 0.01,
    seed: int = 0,
    score: Score = probabilities,
    chunk: int = 32,
) -> Road:
    """ROAD with noisy linear imputation, most and least relevant first, and combined.

    Costs `2 * len(shares)` forward passes for each image and as many imputations, in batches on the images' device.
    Pixels of the same value follow in reading order.

    Args:
        network: `[n, C, H, W] -> [n, N]`, whose rows don't mix.
        images: `[B, C, H, W]`, as the network takes them.
        maps: `[B, H, W]`; only their order counts.
        targets: a class for each image `[B]` or one for all; None for the predicted classes; a rule such as
            `funcam.probability(3)`; or a function of the network's outputs, `[n]` (`score` is then left out).
        shares: S shares of the pixels that are removed.
        noise: the standard deviation of what is added to imputed pixels.
        seed: where the random numbers start. Torch's own random numbers are left alone.
        score: what is made of the logits; `identity` for the logits themselves.
        chunk: how many images are imputed and go through the network at a time; the result does not depend on it.

    Returns:
        A `Road`: `most`, `least` and `combined` `[B]`, and the curves `[B, S]`; NaN for an image whose map is not
        finite.

    Raises:
        FuncamError: shapes that don't belong together, a share outside 0..1, a class that is none, a number of the
            wrong kind.

    Source:
        Rong et al., ICML 2022, arXiv:2202.00449; combined as in the package grad-cam (`ROADCombined`).

    Example:
        >>> network = lambda rows: rows.mean((2, 3))
        >>> image = torch.ones(1, 1, 4, 4)
        >>> image[..., 0] = 9.0
        >>> maps = image[:, 0] / 9
        >>> measured = road(network, image, maps, torch.tensor([0]), shares=[0.25], noise=0, score=lambda x: x)
        >>> measured.most, measured.least > 3
        (tensor([1.]), tensor([True]))
    """
    images, maps = check_explained(images, maps, targets)
    if images.ndim != 4:
        raise FuncamError(
            f"images have shape {list(images.shape)}; ROAD fills pixels from their neighbours in a plane, so expected "
            "[B, C, H, W]: take insertion and deletion for signals and volumes"
        )
    scored = image_score(network, images, targets, score, chunk)
    shares, noise = reals("shares", shares, 0, 1), real("noise", noise, 0)
    ranks, places = saliency_ranks(maps)
    removed = torch.tensor([round(share * places) for share in shares], device=maps.device)
    generator = torch.Generator(images.device).manual_seed(seed_of(seed))
    per_image = 2 * len(shares)

    def rows(part: slice) -> torch.Tensor:
        number = torch.arange(part.start, part.stop, device=images.device)
        image, step = number // per_image, number % per_image
        count = removed[step % len(shares)].view(-1, 1, 1)
        first = (step < len(shares)).view(-1, 1, 1)
        missing = torch.where(first, ranks[image] < count, ranks[image] >= places - count)
        return impute(images[image], missing, noise=noise, generator=generator)

    scores = where_finite(scored(rows, len(images), per_image).view(len(images), 2, len(shares)), maps)
    most, least = scores.unbind(1)
    return Road(most.mean(1), least.mean(1), (least.mean(1) - most.mean(1)) / 2, most, least)
