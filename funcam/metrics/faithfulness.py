"""What a network makes of an image behind its map: average drop, increase, gain, and the parts of ADCC and ARCC."""

from __future__ import annotations

from typing import NamedTuple

import torch

from funcam.errors import FuncamError
from funcam.metrics.inputs import check_images
from funcam.metrics.scores import Network, Score, class_scores, probabilities
from funcam.metrics.similarity import correlation


class Confidence(NamedTuple):
    """The score of the class, `[B]`, for the image and for the image multiplied by its map.

    Attributes:
        before: of the image.
        after: of the image behind the map.
    """

    before: torch.Tensor
    after: torch.Tensor


def confidence(
    network: Network,
    images: torch.Tensor,
    maps: torch.Tensor,
    targets: torch.Tensor,
    *,
    before: torch.Tensor | None = None,
    score: Score = probabilities,
    chunk: int = 64,
) -> Confidence:
    """The score of the image, and of the image multiplied by its map: two forward passes serve three metrics.

    Args:
        network: `[n, C, H, W] -> [n, N]`, whose rows don't mix.
        images: `[B, C, H, W]`, as the network takes them (normalised: a map's zero gives the mean colour).
        maps: `[B, H, W]` in 0..1, as `prepared` gives them.
        targets: `[B]`, classes.
        before: `[B]`, the scores of the images where they are known; saves their forward pass.
        score: what is made of the logits; the metrics below expect probabilities.
        chunk: how many images go through the network at a time.

    Returns:
        `Confidence(before [B], after [B])`.

    Raises:
        FuncamError: shapes that don't belong together, or a class that is none.

    Example:
        >>> network = lambda rows: rows.flatten(1)
        >>> confidence(network, torch.zeros(1, 1, 1, 2), torch.ones(1, 1, 2), torch.tensor([0]))
        Confidence(before=tensor([0.5000]), after=tensor([0.5000]))
    """
    check_images(images, maps, targets)
    if before is None:
        before = class_scores(network, lambda part: images[part], targets, score, chunk)
    after = class_scores(network, lambda part: images[part] * maps[part][:, None], targets, score, chunk)
    return Confidence(before, after)


def average_drop(found: Confidence) -> torch.Tensor:
    """Average drop: what share of the confidence is lost behind the map, `relu(before - after) / before`.

    Args:
        found: `confidence(...)`.

    Returns:
        `[B]`, in 0..1; better is smaller. 0 where there was no confidence.

    Source:
        Chattopadhay et al. (Grad-CAM++), WACV 2018, arXiv:1710.11063, section 4.1 (there in percent).

    Example:
        >>> average_drop(Confidence(torch.tensor([0.8, 0.2]), torch.tensor([0.4, 0.9])))
        tensor([0.5000, 0.0000])
    """
    return (found.before - found.after).relu() / torch.where(found.before == 0, 1.0, found.before)


def increase_in_confidence(found: Confidence) -> torch.Tensor:
    """Increase in confidence: whether the network is surer behind the map.

    Args:
        found: `confidence(...)`.

    Returns:
        `[B]`, 0 or 1; its mean is the published figure, better is larger.

    Source:
        Chattopadhay et al. (Grad-CAM++), WACV 2018, arXiv:1710.11063, section 4.1.

    Example:
        >>> increase_in_confidence(Confidence(torch.tensor([0.8, 0.2]), torch.tensor([0.4, 0.9])))
        tensor([0., 1.])
    """
    return (found.after > found.before).to(found.before.dtype)


def average_gain(found: Confidence) -> torch.Tensor:
    """Average gain: what share of the missing confidence is gained, `relu(after - before) / (1 - before)`.

    Args:
        found: `confidence(...)`.

    Returns:
        `[B]`, in 0..1; better is larger. 0 where nothing was missing.

    Source:
        Zhang et al. (Opti-CAM), 2023, arXiv:2301.07002, section 4.1 (there in percent).

    Example:
        >>> average_gain(Confidence(torch.tensor([0.8, 0.2]), torch.tensor([0.4, 0.6])))
        tensor([0.0000, 0.5000])
    """
    missing = 1 - found.before
    return (found.after - found.before).relu() / torch.where(missing == 0, 1.0, missing)


def complexity(maps: torch.Tensor) -> torch.Tensor:
    """Complexity, a part of ADCC and ARCC: the map's L1 norm over its number of pixels. Better is smaller.

    Args:
        maps: `[B, *S]`, in 0..1.

    Returns:
        `[B]`, in 0..1.

    Raises:
        FuncamError: there is no pixel.

    Source:
        Poppi et al., CVPR workshops 2021, arXiv:2104.10252, Eq. 5; used again in ARCC, arXiv:2605.14641. The norm is
        divided by the number of pixels so that it lies in 0..1, as both composites need it. (The complexity of Bhatt
        et al., 2020, is another: an entropy.)

    Example:
        >>> complexity(torch.tensor([[[1.0, 0.5, 0.0]]]))
        tensor([0.5000])
    """
    if maps.ndim < 2 or not maps[0].numel():
        raise FuncamError(f"maps have shape {list(maps.shape)}; expected [B, *S] with at least one pixel")
    return maps.abs().flatten(1).mean(1)


def coherency(maps: torch.Tensor, again: torch.Tensor) -> torch.Tensor:
    """Coherency, a part of ADCC and ARCC: whether the image behind its map is explained by the same map.

    Args:
        maps: `[B, *S]`, the maps of the images.
        again: `[B, *S]`, the maps (same class, method and layer) of `images * maps[:, None]`.

    Returns:
        `[B]`, Pearson's correlation r as `(1 + r) / 2`, in 0..1; better is larger. A half where a map is constant.

    Raises:
        FuncamError: the shapes differ.

    Source:
        Poppi et al., CVPR workshops 2021, arXiv:2104.10252, Eq. 4; used again in ARCC, arXiv:2605.14641.

    Example:
        >>> maps = torch.tensor([[[1.0, 0.5, 0.0]]])
        >>> coherency(maps, 2 * maps), coherency(maps, 1 - maps)
        (tensor([1.]), tensor([0.]))
    """
    return (1 + correlation(maps, again)) / 2
