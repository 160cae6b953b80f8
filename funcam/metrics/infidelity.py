"""Whether a map's sums say what the score does when the image is changed: infidelity and sensitivity-n."""

from __future__ import annotations

from collections.abc import Callable

import torch

from funcam.errors import FuncamError
from funcam.methods.perturbation import check_counts
from funcam.metrics.inputs import check_images
from funcam.metrics.scores import Network, Score, class_scores, identity
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

    Source:
        Yeh et al., NeurIPS 2019, arXiv:1901.09392, section 5 (square removal).

    Example:
        >>> removed_square(1.0)(torch.ones(1, 2, 2), torch.Generator()).sum()
        tensor(4.)
    """

    def perturb(image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        height, width = image.shape[1:]
        side = max(1, round(share * min(height, width)))
        drawn = torch.rand(2, generator=generator, device=image.device).tolist()
        top, left = int(drawn[0] * (height - side + 1)), int(drawn[1] * (width - side + 1))
        taken = torch.zeros_like(image)
        taken[:, top : top + side, left : left + side] = image[:, top : top + side, left : left + side] - baseline
        return taken

    return perturb


def gaussian_noise(std: float = 0.2) -> Perturb:
    """Noise is taken away from every value of the image.

    Args:
        std: its standard deviation.

    Returns:
        A `perturb` for `infidelity`.

    Source:
        Yeh et al., NeurIPS 2019, arXiv:1901.09392, section 3 (noisy baseline).

    Example:
        >>> gaussian_noise(0.0)(torch.ones(1, 1, 2), torch.Generator()).tolist()
        [[[0.0, 0.0]]]
    """

    def perturb(image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return std * torch.empty_like(image).normal_(generator=generator)

    return perturb


def infidelity(
    network: Network,
    images: torch.Tensor,
    attributions: torch.Tensor,
    targets: torch.Tensor,
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
        targets: `[B]`, classes.
        perturb: what is taken away, `(image [C, H, W], generator) -> I [C, H, W]`; None for `removed_square()`.
        samples: how many perturbations of each image.
        scaled: with the factor of the map, one for each image, that makes the infidelity least. A class activation map
            has no unit of its own, so without the factor its infidelity says nothing.
        score: what is made of the logits.
        seed: where the random numbers start. Torch's own random numbers are left alone.
        chunk: how many images go through the network at a time; the result does not depend on it.

    Returns:
        `[B]`; better is smaller.

    Raises:
        FuncamError: shapes that don't belong together, a class that is none, a count less than one.

    Source:
        Yeh et al., NeurIPS 2019, arXiv:1901.09392, definition 2.1, and its appendix for the factor.

    Example:
        >>> network = lambda rows: rows.flatten(1).sum(1, keepdim=True)
        >>> infidelity(network, torch.ones(1, 1, 4, 4), torch.ones(1, 4, 4), torch.tensor([0]), scaled=False)
        tensor([0.])
    """
    check_images(images, attributions, targets, per_channel=True)
    check_counts(samples=samples)
    perturb = perturb or removed_square()
    generator = torch.Generator(images.device).manual_seed(seed)
    explained: list[torch.Tensor] = []
    weights = attributions[:, None] if attributions.ndim == 3 else attributions

    def rows(part: slice) -> torch.Tensor:
        image = torch.arange(part.start, part.stop, device=images.device) // samples
        taken = torch.stack([perturb(one, generator) for one in images[image]])
        explained.append((weights[image] * taken).flatten(1).sum(1))
        return images[image] - taken

    after = class_scores(network, rows, targets.repeat_interleave(samples), score, chunk).view(-1, samples)
    before = class_scores(network, lambda part: images[part], targets, score, chunk)
    lost, said = before[:, None] - after, torch.cat(explained).view(-1, samples)
    if scaled:
        square = (said * said).sum(1, keepdim=True)
        said = said * (said * lost).sum(1, keepdim=True) / torch.where(square == 0, 1.0, square)
    return ((said - lost) ** 2).mean(1)


def sensitivity_n(
    network: Network,
    images: torch.Tensor,
    attributions: torch.Tensor,
    targets: torch.Tensor,
    *,
    n: int,
    samples: int = 100,
    baseline: torch.Tensor | None = None,
    score: Score = identity,
    seed: int = 0,
    chunk: int = 64,
) -> torch.Tensor:
    """Sensitivity-n: over random sets of n pixels, the correlation of the map's sum with what the score loses.

    Args:
        network: `[n, C, H, W] -> [n, N]`, whose rows don't mix.
        images: `[B, C, H, W]`, as the network takes them.
        attributions: `[B, C, H, W]`, or maps `[B, H, W]`; a pixel is removed with all its channels.
        targets: `[B]`, classes.
        n: how many pixels are removed at a time.
        samples: how many sets for each image.
        baseline: what replaces a pixel, broadcast to `images`; None for zeros.
        score: what is made of the logits.
        seed: where the random numbers start. Torch's own random numbers are left alone.
        chunk: how many images go through the network at a time; the result does not depend on it.

    Returns:
        `[B]`, Pearson's correlation, in -1..1; better is larger. 0 where either does not vary.

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
    check_images(images, attributions, targets, per_channel=True)
    check_counts(samples=samples)
    pixels = images.shape[2] * images.shape[3]
    if not 1 <= n <= pixels:
        raise FuncamError(f"n is {n}; expected 1 to {pixels}, the number of pixels")
    generator = torch.Generator(images.device).manual_seed(seed)
    sums = attributions.flatten(2).sum(1) if attributions.ndim == 4 else attributions.flatten(1)
    filling = (torch.zeros_like(images[:1, :1, :1, :1]) if baseline is None else baseline).to(images).expand_as(images)
    said: list[torch.Tensor] = []

    def rows(part: slice) -> torch.Tensor:
        image = torch.arange(part.start, part.stop, device=images.device) // samples
        keys = torch.stack([torch.rand(pixels, generator=generator, device=images.device) for _ in image])
        chosen = torch.zeros_like(keys, dtype=torch.bool).scatter_(1, keys.topk(n, dim=1).indices, True)
        said.append((sums[image] * chosen).sum(1))
        return torch.where(chosen.view(-1, 1, *images.shape[2:]), filling[image], images[image])

    after = class_scores(network, rows, targets.repeat_interleave(samples), score, chunk).view(-1, samples)
    before = class_scores(network, lambda part: images[part], targets, score, chunk)
    return correlation(torch.cat(said).view(-1, samples), before[:, None] - after)
