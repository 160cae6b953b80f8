"""Methods whose map is the image's gradient, for ONE image and K scores; they need no layer.

`network` is a pure function of a batch of images, `[n, channels, *size]` -> scores `[n, K]`, whose rows don't
mix. The maps come out as `[K, channels, *size]`, signed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import torch
from torch.func import vjp, vmap

from funcam.methods.noise import gaussian
from funcam.methods.perturbation import check_counts

Scores = Callable[[torch.Tensor], torch.Tensor]


def gradient(network: Scores, image: torch.Tensor, *, chunk: int = 32) -> torch.Tensor:
    """The gradient of each score with respect to the image. With a guided network it is guided backpropagation.

    Args:
        network: `[n, channels, *size]` -> scores `[n, K]`.
        image: `[channels, *size]`, as the network takes it.
        chunk: how many scores are differentiated at a time.

    Returns:
        `[K, channels, *size]`, signed.

    Raises:
        FuncamError: a chunk of less than one row is asked for.

    Source:
        Simonyan, Vedaldi and Zisserman, ICLR 2014 workshop, arXiv:1312.6034, section 3.

    Example:
        >>> gradient(lambda rows: (rows**2).sum((1, 2), keepdim=True)[..., 0], torch.tensor([[1.0, -2.0]]))
        tensor([[[ 2., -4.]]])
    """
    check_counts(chunk=chunk)
    return _summed_gradients(network, image[None], chunk)


def guided_backprop(
    network: Callable[[torch.Tensor], torch.Tensor], image: torch.Tensor, target: int | torch.Tensor
) -> torch.Tensor:
    """Guided backpropagation of ONE image and ONE class: the gradient of the class score through guided ReLUs.

    Args:
        network: a guided network, `guided(model).network`; with any other this is that network's plain gradient.
        image: `[channels, *size]`; `torch.func.vmap` adds images, and classes, as axes.
        target: the class index.

    Returns:
        The gradient, `[channels, *size]`, signed.

    Source:
        Springenberg et al., ICLR 2015 workshop, arXiv:1412.6806, section 3.4.

    Example:
        >>> from torch import nn
        >>> from funcam import guided
        >>> network = guided(nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.ReLU(), nn.Linear(4, 2))).network
        >>> guided_backprop(network, torch.rand(3, 2, 2), 1).shape
        torch.Size([3, 2, 2])
    """

    def score(image: torch.Tensor) -> torch.Tensor:
        logits = network(image[None])[0]
        return torch.where(torch.arange(len(logits), device=logits.device) == target, logits, 0).sum()

    gradient: torch.Tensor = torch.func.grad(score)(image)
    return gradient


def input_x_gradient(network: Scores, image: torch.Tensor, *, chunk: int = 32) -> torch.Tensor:
    """Input x gradient: the first-order share of each pixel in the score.

    Args:
        network: `[n, channels, *size]` -> scores `[n, K]`.
        image: `[channels, *size]`, as the network takes it.
        chunk: how many scores are differentiated at a time.

    Returns:
        `[K, channels, *size]`, signed.

    Raises:
        FuncamError: a chunk of less than one row is asked for.

    Source:
        Shrikumar et al., 2016, arXiv:1605.01713.

    Example:
        >>> input_x_gradient(lambda rows: (rows**2).sum((1, 2), keepdim=True)[..., 0], torch.tensor([[1.0, -2.0]]))
        tensor([[[2., 8.]]])
    """
    return image * gradient(network, image, chunk=chunk)


def smooth_grad(
    network: Scores,
    image: torch.Tensor,
    *,
    samples: int = 25,
    noise: float = 0.15,
    seed: int = 0,
    chunk: int = 32,
) -> torch.Tensor:
    """SmoothGrad: the gradient averaged over noisy copies of the image.

    Args:
        network: `[n, channels, *size]` -> scores `[n, K]`.
        image: `[channels, *size]`, as the network takes it.
        samples: how many noisy copies.
        noise: the standard deviation of the noise, as a share of the image's largest less its smallest value.
        seed: where the random numbers start. Torch's own random numbers are left alone.
        chunk: the number of images, times scores, for one pass; the result does not depend on it.

    Returns:
        `[K, channels, *size]`, signed.

    Raises:
        FuncamError: `samples` or `chunk` is less than one.

    Source:
        Smilkov et al., 2017, arXiv:1706.03825, section 2.

    Example:
        >>> smooth_grad(lambda rows: rows.sum((1, 2), keepdim=True)[..., 0], torch.tensor([[1.0, -2.0]]))
        tensor([[[1., 1.]]])
    """
    check_counts(samples=samples, chunk=chunk)
    generator = torch.Generator().manual_seed(seed)
    std = noise * (image.amax() - image.amin())

    def part(first: int) -> torch.Tensor:
        drawn = gaussian(generator, image.expand(min(chunk, samples - first), *image.shape))
        return _summed_gradients(network, image + std * drawn, chunk)

    return reduce(torch.add, (part(first) for first in range(0, samples, chunk))) / samples


def _summed_gradients(network: Scores, images: torch.Tensor, chunk: int) -> torch.Tensor:
    """The gradient of each score, summed over the images: `[n, channels, *size]` -> `[K, channels, *size]`."""
    scores, pullback, *_ = vjp(network, images)
    one_hot = torch.eye(scores.shape[1], dtype=scores.dtype, device=scores.device)[:, None].expand(-1, len(images), -1)
    if len(one_hot) == 1:  # the usual case, spared the cost of batching
        alone: torch.Tensor = pullback(one_hot[0])[0]
        return alone.sum(0)[None]
    parts = torch.split(one_hot, max(1, chunk // len(images)))
    return torch.cat([_pulled(pullback, part).sum(1) for part in parts])


def _pulled(pullback: Callable[[torch.Tensor], tuple[torch.Tensor, ...]], cotangents: torch.Tensor) -> torch.Tensor:
    """The gradients of several scores: by `vmap`, or one by one where torch can't (a convolution in mixed types)."""
    try:
        return vmap(pullback)(cotangents)[0]
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or torch.compiler.is_dynamo_compiling():
            raise
        return torch.stack([pullback(one)[0] for one in cotangents])
