"""Images as a network takes them: fitted to its input, and normalised."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from funcam.imaging.fit import View, fit_image
from funcam.imaging.reading import Pixels
from funcam.zoo.nets import Net


def fitted(net: Net, image: Pixels, fit: str) -> tuple[Pixels, View]:
    """The image at the size of the network's input, and which part of it the network sees.

    Args:
        net: the network.
        image: uint8 RGB `[H, W, 3]`.
        fit: how (`funcam.imaging.fit`); what `pad` adds has the mean colour of the network's normalisation.

    Example:
        >>> from funcam.zoo.nets import build_net
        >>> fitted(build_net("resnet18"), np.zeros((40, 60, 3), np.uint8), "squash")[0].shape
        (224, 224, 3)
    """
    red, green, blue = (round(255 * min(max(value, 0), 1)) for value in (net.mean * 3)[:3])
    return fit_image(
        image,
        net.size,
        fit,
        resize=net.resize_size,
        interpolation=net.interpolation,
        fill=(red, green, blue),
    )


def normalised(net: Net, images: Sequence[Pixels], device: str | torch.device) -> torch.Tensor:
    """Images of one size as a batch `[B, C, H, W]`, float32, with the network's mean and standard deviation.

    For a network of clips each is a clip of its own, the same in every frame, `[B, T, C, H, W]`.

    Example:
        >>> from funcam.zoo.nets import build_net
        >>> normalised(build_net("resnet18"), [np.zeros((4, 6, 3), np.uint8)], "cpu").shape
        torch.Size([1, 3, 4, 6])
    """
    batch = normalised_pixels(torch.from_numpy(np.stack(images)).to(device), net.mean, net.std)
    return batch if net.frames is None else batch[:, None].repeat(1, net.frames, 1, 1, 1)


def normalised_pixels(pixels: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Pixels as a batch of float32, one channel for each mean: RGB, grey (1), or RGB and alpha (4).

    Args:
        pixels: uint8 RGB `[B, H, W, 3]`.
        mean: what is subtracted of each channel in 0..1.
        std: what the difference is divided by.

    Example:
        >>> normalised_pixels(torch.full((1, 1, 2, 3), 255, dtype=torch.uint8), [0.5] * 3, [0.25] * 3).unique()
        tensor([2.])
    """
    values = _channels(pixels.permute(0, 3, 1, 2).float() / 255, len(mean))
    low, scale = (torch.tensor(tuple(numbers), device=pixels.device).view(1, -1, 1, 1) for numbers in (mean, std))
    return (values - low) / scale


def _channels(colours: torch.Tensor, count: int) -> torch.Tensor:
    """RGB as it is, as grey (Rec. 601's luma), or with an alpha of 1."""
    if count == 1:
        weights = colours.new_tensor((0.299, 0.587, 0.114)).view(1, 3, 1, 1)
        return (colours * weights).sum(1, keepdim=True)
    return torch.cat([colours, torch.ones_like(colours[:, :1])], 1) if count == 4 else colours
