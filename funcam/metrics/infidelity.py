"""Whether a map's sums say what the score does when the image is changed: infidelity and sensitivity-n."""

from __future__ import annotations

from collections.abc import Callable

import torch

from funcam.errors import FuncamError
from funcam.metrics.checks import baseline_for, check_callable, check_explained, check_perturbed, where_finite
from funcam.metrics.curves import Baseline
from funcam.metrics.scalars import real, seed_of, whole
from funcam.metrics.scores import Network, Score, Targets, identity, image_score
from funcam.metrics.similarity import correlation

Perturb = Callable[[torch.Tensor, torch.Generator], torch.Tensor]
"""`(image [C, H, W], generator) -> [C, H, W]`: what is taken away from the image."""


def removed_square(share: float = 0.25, *, baseline: float = 0.0) -> Perturb:
    """A square at a random place is set to a value: what is taken away is the image less it there, 0 elsewhere.

    Args:
        share: the square's side, as a share of the image's shorter side.
        baseline: the value; 0 is the mean colour of normalised images.

    Returns:
        A `perturb` for `infidelity`.

    Raises:
        FuncamError: a share that is not above 0 and at most 1, or a baseline that is no number.

    Source:
        Yeh et al., NeurIPS 2019, arXiv:1901.09392, section 5 (square removal).

    Example:
        >>> removed_square(1.0)(torch.ones(1, 2, 2), torch.Generator()).sum()
        tensor(4.)
    """
    share, value = real("share", share, high=1, above=0), real("baseline", baseline)

    def perturb(image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        sides = image.shape[1:]
        side = max(1, round(share * min(sides)))
        drawn = torch.rand(len(sides), generator=generator, device=image.device).tolist()
        starts = [int(at * (length - side + 1)) for at, length in zip(drawn, sides, strict=True)]
        square = (slice(None), *(slice(start, start + side) for start in starts))
        taken = torch.zeros_like(image)
        taken[square] = image[square] - value
        return taken

    return perturb


def gaussian_noise(std: float = 0.2) -> Perturb:
    """Noise is taken away from every value of the image.

    Args:
        std: its standard deviation.

    Returns:
        A `perturb` for `infidelity`.

    Raises:
        FuncamError: a standard deviation that is no number, or negative.

    Source:
        Yeh et al., NeurIPS 2019, arXiv:1901.09392, section 3 (noisy baseline).

    Example:
        >>> gaussian_noise(0.0)(torch.ones(1, 1, 2), torch.Generator()).tolist()
        [[[0.0, 0.0]]]
    """
    std = real("std", std, 0)

    def perturb(image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return std * torch.empty_like(image).normal_(generator=generator)

    return perturb


def infidelity(
    network: Network,
    images: torch.Tensor,
    attributions: torch.Tensor,
    targets: Targets,
    *,
    perturb: Perturb | None = None,
    samples: int = 64,
    scaled: bool = True,
    score: Score = identity,
    seed: int = 0,
    chunk: int = 64,
) -> torch.Tensor:
    """Infidelity: the mean square of `sum(I * map) - (S(x) - S(x - I))` over random perturbations I.

    Args:
        network: `[n, C, H, W] -> [n, N]`, whose rows don't mix.
        images: `[B, C, H, W]`, as the network takes them.
        attributions: `[B, C, H, W]`, or maps `[B, H, W]` that hold for all channels.
        targets: a class for each image `[B]` or one for all; None for the predicted classes; a rule such as
            `funcam.probability(3)`; or a function of the network's outputs, `[n]` (`score` is then left out).
        perturb: what is taken away, `(image [C, H, W], generator) -> I [C, H, W]`; None for `removed_square()`.
        samples: how many perturbations of each image.
        scaled: with the factor of the map, one for each image, that makes the infidelity least. A class activation map
            has no unit of its own, so without the factor its infidelity says nothing.
        score: what is made of the logits.
        seed: where the random numbers start. Torch's own random numbers are left alone.
        chunk: how many images go through the network at a time; the result does not depend on it.

    Returns:
        `[B]`; better is smaller. NaN where a map is not finite.

    Raises:
        FuncamError: shapes that don't belong together, a class that is none, a number or a `perturb` of the wrong
            kind.

    Source:
        Yeh et al., NeurIPS 2019, arXiv:1901.09392, definition 2.1, and its appendix for the factor.

    Example:
        >>> network = lambda rows: rows.flatten(1).sum(1, keepdim=True)
        >>> infidelity(network, torch.ones(1, 1, 4, 4), torch.ones(1, 4, 4), torch.tensor([0]), scaled=False)
        tensor([0.])
    """
    images, attributions = check_explained(images, attributions, targets, per_channel=True)
    samples, generator = whole("samples", samples), torch.Generator(images.device).manual_seed(seed_of(seed))
    draw = removed_square() if perturb is None else perturb
    check_callable(
        "perturb", draw, "a function (image [C, H, W], generator) -> what is taken, such as gaussian_noise()"
    )
    scored = image_score(network, images, targets, score, chunk, usual=identity)
    explained: list[torch.Tensor] = []
    weights = attributions if attributions.ndim == images.ndim else attributions[:, None]

    def rows(part: slice) -> torch.Tensor:
        image = torch.arange(part.start, part.stop, device=images.device) // samples
        taken = torch.stack([check_perturbed(draw(one, generator), one) for one in images[image]])
        explained.append((weights[image] * taken).flatten(1).sum(1))
        return images[image] - taken

    after = scored(rows, len(images), samples).view(-1, samples)
    before = scored(lambda part: images[part], len(images))
    lost, said = before[:, None] - after, torch.cat(explained).view(-1, samples)
    if scaled:
        square = (said * said).sum(1, keepdim=True)
        said = said * (said * lost).sum(1, keepdim=True) / torch.where(square == 0, 1.0, square)
    return where_finite(((said - lost) ** 2).mean(1), attributions)


def sensitivity_n(
    network: Network,
    images: torch.Tensor,
    attributions: torch.Tensor,
    targets: Targets,
    *,
    n: int,
    samples: int = 100,
    baseline: Baseline = None,
    score: Score = identity,
    seed: int = 0,
    chunk: int = 64,
) -> torch.Tensor:
    """Sensitivity-n: over random sets of n pixels, the correlation of the map's sum with what the score loses.

    Args:
        network: `[n, C, H, W] -> [n, N]`, whose rows don't mix.
        images: `[B, C, H, W]`, as the network takes them.
        attributions: `[B, C, H, W]`, or maps `[B, H, W]`; a pixel is removed with all its channels.
        targets: a class for each image `[B]` or one for all; None for the predicted classes; a rule such as
            `funcam.probability(3)`; or a function of the network's outputs, `[n]` (`score` is then left out).
        n: how many pixels are removed at a time.
        samples: how many sets for each image.
        baseline: what replaces a pixel: a number, a colour `[C]`, or images that broadcast to `images`; None for zeros.
        score: what is made of the logits.
        seed: where the random numbers start. Torch's own random numbers are left alone.
        chunk: how many images go through the network at a time; the result does not depend on it.

    Returns:
        `[B]`, Pearson's correlation, in -1..1; better is larger. 0 where either does not vary,
        NaN where a map is not finite.

    Raises:
        FuncamError: shapes that don't belong together, a class that is none, an `n` that is no number of pixels.

    Source:
        Ancona et al., ICLR 2018, arXiv:1711.06104, section 4 (there the mean over images, for several n).

    Example:
        >>> network = lambda rows: rows.flatten(1).sum(1, keepdim=True)
        >>> image = torch.arange(16.0).view(1, 1, 4, 4)
        >>> sensitivity_n(network, image, image[:, 0], torch.tensor([0]), n=3).round(decimals=4)
        tensor([1.])
    """
    images, attributions = check_explained(images, attributions, targets, per_channel=True)
    samples, generator = whole("samples", samples), torch.Generator(images.device).manual_seed(seed_of(seed))
    pixels = images.shape[2:].numel()
    if whole("n", n, least=0) not in range(1, pixels + 1):
        raise FuncamError(f"n is {n}; expected 1 to {pixels}, the number of pixels")
    scored = image_score(network, images, targets, score, chunk, usual=identity)
    sums = attributions.flatten(2).sum(1) if attributions.ndim == images.ndim else attributions.flatten(1)
    filling = baseline_for(images, 0.0 if baseline is None else baseline)
    said: list[torch.Tensor] = []

    def rows(part: slice) -> torch.Tensor:
        image = torch.arange(part.start, part.stop, device=images.device) // samples
        keys = torch.stack([torch.rand(pixels, generator=generator, device=images.device) for _ in image])
        chosen = torch.zeros_like(keys, dtype=torch.bool).scatter_(1, keys.topk(n, dim=1).indices, True)
        said.append((sums[image] * chosen).sum(1))
        return torch.where(chosen.view(-1, 1, *images.shape[2:]), filling[image], images[image])

    after = scored(rows, len(images), samples).view(-1, samples)
    before = scored(lambda part: images[part], len(images))
    return where_finite(correlation(torch.cat(said).view(-1, samples), before[:, None] - after), attributions)
