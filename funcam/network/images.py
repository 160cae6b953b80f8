"""Images as a model takes them: what is wrong with those that were given, and which one step makes them right."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from funcam.errors import FuncamError

Shape = Sequence[int]


WITHOUT_CHANNELS = " (one grey image: image[None, None])"


def check_images(images: Any, least: int = 3) -> None:
    """Refuse what can be no model's images.

    Args:
        images: what was given.
        least: how many axes they have at least; 2 where waveforms `[B, T]` may be meant.

    Raises:
        FuncamError: it is no float tensor of so many axes; the message says how to make one of it.
    """
    if isinstance(images, torch.Tensor):
        refuse_unlike(images)
        if images.ndim >= least and images.is_floating_point():
            return
    shape = list(getattr(images, "shape", ()))
    of_shape = f"shape {shape} and " if hasattr(images, "shape") else ""
    kind = getattr(images, "dtype", type(images).__name__)
    raise FuncamError(
        f"images have {of_shape}type {kind}; expected a float tensor [B, channels, *size]{_as_tensor(images, shape)}"
    )


def refuse_unlike(images: torch.Tensor) -> None:
    """Refuse tensors that hold their numbers in another way than models take.

    Raises:
        FuncamError: they are nested, sparse, quantised, or of eight bits; the message says what makes a plain one.
    """
    if images.is_nested:
        said, way = "a nested tensor", "torch.stack(list(images.unbind())) where they are of one size"
    elif images.is_quantized:
        said, way = f"quantised, {images.dtype}", "images.dequantize()"
    elif images.layout is not torch.strided:
        said, way = f"held as {images.layout}", "images.to_dense()"
    elif images.is_floating_point() and images.element_size() < 2:
        said, way = f"of type {images.dtype}, in which torch computes next to nothing", "images.float()"
    else:
        return
    raise FuncamError(f"images are {said}; expected a plain float tensor [B, channels, *size]: give {way}")


def _as_tensor(images: Any, shape: Shape) -> str:
    """What makes a float tensor of images of another kind."""
    if isinstance(images, list | tuple) and images and all(isinstance(image, torch.Tensor) for image in images):
        return " (of images of one size: torch.stack(images))"
    if type(images).__module__ == "numpy":
        return " (torch.from_numpy(images), with the channels in front, normalised as the model expects)"
    if type(images).__module__.startswith("PIL."):
        return " (torchvision's weights.transforms()(image)[None], or to_tensor(image)[None] and normalised)"
    if isinstance(images, str | os.PathLike):
        return " (a network takes pictures: funcam.explain(funcam.own_net(model), 'dog.jpg'))"
    if not isinstance(images, torch.Tensor):
        return ""
    if images.is_complex():
        return " (torch.view_as_real(images) has the parts as an axis)"
    if not images.is_floating_point():
        return (
            " (bytes: images.float() where the model scales them itself; else images / 255, normalised as it expects)"
        )
    return WITHOUT_CHANNELS if len(shape) == 2 else ""


def hint_of(model: nn.Module, shape: Shape) -> str:
    """What may help images that a model failed on: by its first convolution in module order, if there is any."""
    conv = next((module for module in model.modules() if isinstance(module, _ConvNd) and module.in_channels), None)
    if conv is None:
        return " (if it is one image: image[None])" if len(shape) == 3 else ""
    return hint(conv, shape)


def hint(conv: _ConvNd, shape: Shape) -> str:
    """`: give image[None]`, or whichever one step brings images of a shape before a convolution; else nothing.

    Example:
        >>> hint(nn.Conv2d(3, 8, 3), (2, 32, 32, 3))
        ': give images.permute(0, 3, 1, 2)'
        >>> hint(nn.Conv3d(1, 8, 3), (1, 16, 32, 32))
        ': give image[None] (one image), or images[:, None] (a batch without channels)'
    """
    axes, channels = len(conv.kernel_size), conv.in_channels
    missing = axes + 2 - len(shape)
    steps = []
    if missing == 1:
        if shape[0] == channels:
            steps.append("image[None] (one image)")
        elif shape[-1] == channels:
            steps.append(f"image.permute({axes}, {', '.join(map(str, range(axes)))})[None]")
        if channels == 1:
            steps.append("images[:, None] (a batch without channels)")
    elif missing == 2 and channels == 1:
        steps.append("image[None, None]")
    elif missing == 0 and shape[1] != channels:
        steps += _with_channels(shape, channels)
    elif missing == -1 and channels == shape[2]:
        steps.append("images.flatten(0, 1)")
    return f": give {', or '.join(steps)}" if steps else ""


def _with_channels(shape: Shape, channels: int) -> list[str]:
    """How images with as many axes as it takes come by the right number of channels."""
    last = len(shape) - 1
    for axis in (last, *range(2, last)):
        if shape[axis] == channels:
            others = [other for other in range(1, len(shape)) if other != axis]
            return [f"images.permute({', '.join(map(str, (0, axis, *others)))})"]
    if shape[1] == 1:
        return [f"images.expand(-1, {channels}, {', '.join(['-1'] * (len(shape) - 2))})"]
    if shape[0] == channels:
        return ["images.transpose(0, 1)"]
    return ["images[:, :3] (without alpha)"] if (shape[1], channels) == (4, 3) else []
