"""What a network makes of an image behind its map: average drop, increase, gain, and the parts of ADCC and ARCC."""

from __future__ import annotations

from typing import NamedTuple

import torch

from funcam.errors import FuncamError
from funcam.metrics.checks import as_floats, check_explained, check_maps, where_finite
from funcam.metrics.scores import Network, Score, Targets, image_score, probabilities
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
    targets: Targets,
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
        targets: a class for each image `[B]` or one for all; None for the predicted classes; a rule such as
            `funcam.probability(3)`; or a function of the network's outputs, `[n]` (`score` is then left out).
        before: `[B]`, the scores of the images where they are known; saves their forward pass.
        score: what is made of the logits; the metrics below expect probabilities.
        chunk: how many images go through the network at a time.

    Returns:
        `Confidence(before [B], after [B])`; `after` is NaN for an image whose map is not finite, and with it
        the metrics below.

    Raises:
        FuncamError: shapes that don't belong together, a class that is none, a chunk that is no whole number of at
            least one.

    Example:
        >>> network = lambda rows: rows.flatten(1)
        >>> confidence(network, torch.zeros(1, 1, 1, 2), torch.ones(1, 1, 2), torch.tensor([0]))
        Confidence(before=tensor([0.5000]), after=tensor([0.5000]))
    """
    images, maps = check_explained(images, maps, targets)
    scored = image_score(network, images, targets, score, chunk)
    before = scored(lambda part: images[part], len(images)) if before is None else as_floats("before", before)
    if before.shape != images.shape[:1]:
        raise FuncamError(f"before has shape {list(before.shape)}; expected [{len(images)}], the score of each image")
    weights = maps[:, None].to(images.dtype)
    after = scored(lambda part: images[part] * weights[part], len(images))
    return Confidence(before, where_finite(after, maps))


def average_drop(scores: Confidence) -> torch.Tensor:
    """Average drop: what share of the confidence is lost behind the map, `relu(before - after) / before`.

    Args:
        scores: `confidence(...)`.

    Returns:
        `[B]`, in 0..1; better is smaller. 0 where there was no confidence, NaN where a score is.

    Raises:
        FuncamError: no two scores of each image.

    Source:
        Chattopadhay et al. (Grad-CAM++), WACV 2018, arXiv:1710.11063, section 4.1 (there in percent).

    Example:
        >>> average_drop(Confidence(torch.tensor([0.8, 0.2]), torch.tensor([0.4, 0.9])))
        tensor([0.5000, 0.0000])
    """
    before, after = _checked(scores)
    return (before - after).relu() / torch.where(before == 0, 1.0, before)


def increase_in_confidence(scores: Confidence) -> torch.Tensor:
    """Increase in confidence: whether the network is surer behind the map.

    Args:
        scores: `confidence(...)`.

    Returns:
        `[B]`, 0 or 1; its mean is the published figure, better is larger. NaN where a score is.

    Raises:
        FuncamError: no two scores of each image.

    Source:
        Chattopadhay et al. (Grad-CAM++), WACV 2018, arXiv:1710.11063, section 4.1.

    Example:
        >>> increase_in_confidence(Confidence(torch.tensor([0.8, 0.2]), torch.tensor([0.4, 0.9])))
        tensor([0., 1.])
    """
    before, after = _checked(scores)
    surer = (after > before).to(before.dtype)
    return torch.where(before.isnan() | after.isnan(), torch.nan, surer)


def average_gain(scores: Confidence) -> torch.Tensor:
    """Average gain: what share of the missing confidence is gained, `relu(after - before) / (1 - before)`.

    Args:
        scores: `confidence(...)`.

    Returns:
        `[B]`, in 0..1; better is larger. 0 where nothing was missing, NaN where a score is.

    Raises:
        FuncamError: no two scores of each image.

    Source:
        Zhang et al. (Opti-CAM), 2023, arXiv:2301.07002, section 4.1 (there in percent).

    Example:
        >>> average_gain(Confidence(torch.tensor([0.8, 0.2]), torch.tensor([0.4, 0.6])))
        tensor([0.0000, 0.5000])
    """
    before, after = _checked(scores)
    missing = 1 - before
    return (after - before).relu() / torch.where(missing == 0, 1.0, missing)


def _checked(scores: Confidence) -> Confidence:
    """Two scores of each image."""
    pair = scores if isinstance(scores, tuple) and len(scores) == 2 else ()
    before, after = (as_floats("the confidence", one) for one in pair) if pair else (torch.empty(()),) * 2
    if before.ndim != 1 or before.shape != after.shape:
        shapes = f"shapes {list(before.shape)} and {list(after.shape)}" if pair else f"a {type(scores).__name__}"
        raise FuncamError(f"the confidence is {shapes}; expected Confidence(before [B], after [B]): confidence(...)")
    return Confidence(before, after)


def complexity(maps: torch.Tensor) -> torch.Tensor:
    """Complexity, a part of ADCC and ARCC: the map's L1 norm over its number of pixels. Better is smaller.

    Args:
        maps: `[B, *S]`, in 0..1.

    Returns:
        `[B]`, in 0..1; NaN where a map is not finite.

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
    maps = check_maps(maps)
    return where_finite(maps.abs().flatten(1).mean(1), maps)


def coherency(maps: torch.Tensor, again: torch.Tensor) -> torch.Tensor:
    """Coherency, a part of ADCC and ARCC: whether the image behind its map is explained by the same map.

    Args:
        maps: `[B, *S]`, the maps of the images.
        again: `[B, *S]`, the maps (same class, method and layer) of `images * maps[:, None]`.

    Returns:
        `[B]`, Pearson's correlation r as `(1 + r) / 2`, in 0..1; better is larger. A half where a map is constant, NaN
        where one is not finite.

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
