"""Pictures in whatever form people have them, as one batch for a network, with what is needed to draw on them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from funcam.errors import FuncamError, shown
from funcam.imaging.fit import View
from funcam.imaging.given import Picture, as_images, numbers_in
from funcam.imaging.reading import Pixels
from funcam.network.images import refuse_unlike
from funcam.zoo.net import Net
from funcam.zoo.preprocessing import fitted, normalised

_BEYOND = 0.1  # how far outside of 0..1 resizing a normalised tensor may bring its pixels


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures as a network takes them. Made by `fit_images`.

    Attributes:
        net: the network.
        tensor: `[B, *net.image_shape]`, normalised, where the network is.
        images: the pictures themselves, uint8 RGB `[H, W, 3]` each.
        views: which part of each the network sees.
    """

    net: Net
    tensor: torch.Tensor
    images: tuple[Pixels, ...]
    views: tuple[View, ...]

    def __repr__(self) -> str:
        return f"Batch({len(self)} for {self.net.name}, tensor {list(self.tensor.shape)})"

    def __len__(self) -> int:
        return len(self.images)


def fit_images(net: Net, images: Picture | Iterable[Picture], fit: str = "squash") -> Batch:
    """Put pictures before a network: read, converted, brought to its size and normalised as it expects.

    Args:
        net: the network (`load_net`, `own_net`).
        images: one picture or several in any form that `as_image` takes; or a float tensor that is normalised for this
            network already, `[B, *net.image_shape]`, told by its values beyond 0..1, which stays as it is.
        fit: `squash` (the whole picture, its aspect changed), `crop` (torchvision's preprocessing), `pad` (the whole
            picture, its aspect kept) or `native` (its own size; several are of one size then).

    Returns:
        The batch, which `explain` takes; its `tensor` is what any model takes.

    Raises:
        FuncamError: the network is none that says how it takes pictures, there is no picture, one can't be read, an
            unknown fit, or values that could be anything.

    Example:
        >>> from funcam.zoo import build_net
        >>> fit_images(build_net("resnet18"), [np.zeros((40, 60, 3), np.uint8)] * 2, "crop").tensor.shape
        torch.Size([2, 3, 224, 224])
    """
    if not isinstance(net, Net):
        raise FuncamError(
            f"{shown(net)} does not say how it takes pictures; give funcam.load_net(...) or funcam.own_net(model)"
        )
    device = next((values.device for values in net.model.parameters()), torch.device("cpu"))
    images = numbers_in(images)
    ready = _ready(images)
    if ready is not None:
        return _as_it_is(net, ready.to(device))
    pictures = as_images(images)
    parts = [fitted(net, picture, fit) for picture in pictures]
    if len({pixels.shape for pixels, _ in parts}) > 1:
        raise FuncamError("pictures of several sizes can't be one batch with fit='native'; use squash, crop or pad")
    tensor = normalised(net, [pixels for pixels, _ in parts], device)
    return Batch(net, tensor, tuple(pictures), tuple(view for _, view in parts))


def _ready(images: Any) -> torch.Tensor | None:
    """Images as a tensor, where their values say that they are normalised; None for pictures."""
    if isinstance(images, torch.Tensor):
        refuse_unlike(images)
    several = isinstance(images, Sequence) and images and all(isinstance(each, torch.Tensor) for each in images)
    if several and len({each.shape for each in images}) == 1:
        images = torch.stack([*images])
    tensor = isinstance(images, torch.Tensor)
    if isinstance(images, np.ndarray) and images.dtype.kind == "f":
        images = torch.from_numpy(images).float()
    if not isinstance(images, torch.Tensor) or not images.is_floating_point() or not images.numel():
        return None
    low, high = (float(end) for end in images.detach().aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise FuncamError(
            "the images hold values that are not finite (NaN or infinity), which are no floats in 0..1; leave out what "
            f"does, or give {'torch' if tensor else 'np'}.nan_to_num(images, posinf=1, neginf=0)"
        )
    if low >= 0 and high <= 1:
        if images.requires_grad:
            raise FuncamError(
                "a picture that asks for gradients would lose them on its way to the network; normalise it yourself "
                "and explain net.model"
            )
        return None
    return images


def _as_it_is(net: Net, tensor: torch.Tensor) -> Batch:
    """A batch of what is normalised already, and the pictures in it."""
    expected = list(net.image_shape)
    tensor = tensor[None] if tensor.ndim == len(expected) else tensor
    if tensor.ndim != len(expected) + 1 or tensor.shape[1:-2] != net.image_shape[:-2]:
        raise FuncamError(
            f"images of shape {list(tensor.shape)} have values beyond 0..1, as a normalised batch has, and {net.name} "
            f"takes [B, {', '.join(map(str, expected))}]; give that, or pictures: bytes, or floats in 0..1"
        )
    mean, std = (tensor.new_tensor(numbers).view(-1, 1, 1) for numbers in (net.mean, net.std))
    pixels = tensor.detach() * std + mean
    low, high = (float(end) for end in pixels.aminmax())
    if not (low >= -_BEYOND and high <= 1 + _BEYOND):
        ends = [float(end) for end in tensor.detach().aminmax()]
        raise FuncamError(
            f"images with values from {ends[0]:.3g} to {ends[1]:.3g} are no floats in 0..1, and not normalised as "
            f"{net.name} expects (mean {net.mean}, std {net.std}); give bytes (uint8), or explain net.model, which "
            "takes them as they are"
        )
    frames = pixels if net.frames is None else pixels[:, net.frames // 2]
    colours = (frames if frames.shape[1] == 1 else frames[:, :3]).clamp(0, 1)
    pictures = tuple(as_images(colours.cpu()))
    height, width = tensor.shape[-2:]
    view = View((height, width), (height, width), (0.0, 0.0, float(width), float(height)))
    return Batch(net, tensor, pictures, (view,) * len(pictures))
