"""Maps that know nothing of the image or the network."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from funcam.methods.noise import DRAWN
from funcam.metrics.randomness import generator_of
from funcam.metrics.scalars import device_of, real, seed_of, size_of, whole


def centre_gaussian(
    count: int, size: Sequence[int], *, spread: float = 0.25, device: torch.device | str | None = None
) -> torch.Tensor:
    """A Gaussian in the middle of the image: photographers put objects there, so it is hard to beat.

    Args:
        count: B, how many maps.
        size: `(H, W)`.
        spread: its standard deviation along each axis, as a share of that side.
        device: where the maps are to be.

    Returns:
        `[B, H, W]`, in 0..1, expanded from one.

    Raises:
        FuncamError: a number of the wrong kind, or a size or device that is none.

    Source:
        The centre baseline of Choe et al., CVPR 2020, arXiv:2001.07437, section 5, and of the pointing game, Zhang et
        al., arXiv:1608.00507.

    Example:
        >>> centre_gaussian(1, (1, 3)).round(decimals=2)
        tensor([[[0.4100, 1.0000, 0.4100]]])
    """
    count, (H, W), spread = whole("count", count), size_of(size), real("spread", spread, above=0)
    rows, columns = (torch.arange(side, device=device_of(device)) - (side - 1) / 2 for side in (H, W))
    height, width = spread * H, spread * W
    bell = torch.exp(-((rows / height) ** 2)[:, None] / 2 - (columns / width) ** 2 / 2)
    return (bell / bell.amax()).expand(count, H, W)


def uniform_maps(count: int, size: Sequence[int], *, device: torch.device | str | None = None) -> torch.Tensor:
    """Ones everywhere: the energy is the objects' share of the image, the box is the whole image.

    The pointing game of a constant map is that of its first pixel, the corner, and says nothing; so does every metric
    that needs an order of the pixels.

    Args:
        count: B, how many maps.
        size: `(H, W)`.
        device: where the maps are to be.

    Returns:
        `[B, H, W]`, expanded from one.

    Raises:
        FuncamError: a number of the wrong kind, or a size or device that is none.

    Example:
        >>> uniform_maps(1, (1, 2))
        tensor([[[1., 1.]]])
    """
    return torch.ones(1, device=device_of(device)).expand(whole("count", count), *size_of(size))


def random_maps(
    count: int, size: Sequence[int], *, seed: int = 0, first: int = 0, device: torch.device | str | None = None
) -> torch.Tensor:
    """Independent uniform random numbers, a map of its own for each image.

    Drawn at the size of a network's feature map and brought to that of the image by `prepared` they look like a class
    activation map.

    Args:
        count: B, how many maps.
        size: `(H, W)`.
        seed: where the random numbers start. Torch's own random numbers are left alone.
        first: the number of the first image in the data set, so that batches and a whole give the same maps.
        device: where the maps are to be; the numbers are the same on every device.

    Returns:
        `[B, H, W]`, in 0..1.

    Raises:
        FuncamError: a number of the wrong kind, or a size or device that is none.

    Example:
        >>> torch.equal(random_maps(3, (2, 2))[1:], random_maps(2, (2, 2), first=1))
        True
    """
    count, (H, W), seed, first = whole("count", count), size_of(size), seed_of(seed), whole("first", first, least=0)
    drawn = [torch.rand(H, W, generator=generator_of(seed, first + index), **DRAWN) for index in range(count)]
    return torch.stack(drawn).to(device_of(device))
