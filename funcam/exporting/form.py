"""What goes into an exported graph and what comes out: the images, a class, and what is told of them in the file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from funcam.errors import FuncamError, finite_number
from funcam.exporting.kinds import ALL, INPUT
from funcam.methods.noise import DRAWN
from funcam.zoo.preprocessing import normalised_pixels

OUTPUTS = ("logits", "class", "map")
_TRACED_WITH = 2  # images: torch takes one for a number that never changes


@dataclass(frozen=True, eq=False)
class Form:
    """What goes into a file.

    Attributes:
        example: an image or several of the kind that the network takes.
        explained: the predicted class, one that goes in, all, or the index of one.
        classes: how many there are.
        mean: what is subtracted of the channels in 0..1; None if nobody said.
        std: what the difference is divided by.
        preprocessing: whether uint8 pixels go in, `[B, H, W, 3]`, and are normalised inside.
    """

    example: torch.Tensor
    explained: str | int
    classes: int
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    preprocessing: bool

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of what goes in."""
        image = "pixels" if self.preprocessing else "image"
        return (image, "target") if self.explained == INPUT else (image,)

    def normalised(self, given: torch.Tensor) -> torch.Tensor:
        """What the network takes, of what goes into the file."""
        if not self.preprocessing:
            return given
        assert self.mean is not None
        assert self.std is not None
        return normalised_pixels(given, self.mean, self.std)

    def sample(self, count: int = _TRACED_WITH, seed: int = 0) -> tuple[torch.Tensor, ...]:
        """Inputs of any number of images that are no photos and not flat: soft patterns, each another.

        Args:
            count: how many images.
            seed: which images, and classes.
        """
        generator = torch.Generator().manual_seed(seed)
        channels, *size = self.example.shape[1:]
        soft = torch.randn((count, channels, *[max(1, side // 16) for side in size]), generator=generator, **DRAWN)
        mode = {1: "linear", 2: "bilinear", 3: "trilinear"}.get(len(size))
        values = torch.nn.functional.interpolate(soft, size=size, mode=mode, align_corners=False) if mode else soft
        values = values + 0.3 * torch.randn(values.shape, generator=generator, **DRAWN)
        images = values.to(self.example)
        if self.preprocessing:
            images = (128 + 50 * values[:, :3].movedim(1, -1)).clamp(0, 255).to(torch.uint8).to(self.example.device)
            images = images if images.shape[-1] == 3 else images[..., :1].expand(*images.shape[:-1], 3).contiguous()
        if self.explained != INPUT:
            return (images,)
        classes = torch.randint(self.classes, (count,), generator=generator, device="cpu")
        return images, classes.to(self.example.device)

    def targets(self, classes: torch.Tensor | None) -> Any:
        """What `funcam.explain` is told to explain, where these are the classes that go in."""
        if self.explained == INPUT:
            return classes
        return None if self.explained == "predicted" else self.explained

    def told(self) -> dict[str, str]:
        """What the file says of what goes in and out."""
        size = list(self.example.shape[1:])
        expected = (
            f"pixels: uint8 RGB [batch, {size[1]}, {size[2]}, 3]"
            if self.preprocessing
            else f"image: {str(self.example.dtype).removeprefix('torch.')} [batch, {', '.join(map(str, size))}]"
        )
        numbers = {"mean": self.mean, "std": self.std}
        return {
            "input": expected + ("; target: int64 [batch], a class" if self.explained == INPUT else ""),
            "explains": str(self.explained),
            "map": "[batch, classes, *grid]" if self.explained == ALL else "[batch, *grid]",
            "normalised": "inside the graph" if self.preprocessing else "before the graph",
            **{name: json.dumps(list(value)) for name, value in numbers.items() if value is not None},
        }


def check_normalisation(
    example: torch.Tensor, mean: Sequence[float] | None, std: Sequence[float] | None, preprocessing: bool
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """The numbers of a normalisation, which fit the images.

    Raises:
        FuncamError: they don't, or pixels are to be normalised and nobody says with which.
    """
    if (mean is None) != (std is None):
        raise FuncamError("mean and std go together: give both, a number for each channel, or neither")
    if preprocessing and (example.ndim != 4 or mean is None):
        what = f"images of shape {list(example.shape)}" if example.ndim != 4 else "no mean and std"
        raise FuncamError(
            f"preprocessing takes pixels [B, H, W, 3] and normalises them by mean and std, and {what} were given; give "
            "mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225) or the network's own, or leave preprocessing out"
        )
    if mean is None or std is None:
        return None, None
    numbers = (tuple(finite_number("mean", one) for one in mean), tuple(finite_number("std", one) for one in std))
    channels = example.shape[1] if example.ndim == 4 else len(numbers[0])
    if len(numbers[0]) != channels or len(numbers[1]) != channels or 0 in numbers[1]:
        raise FuncamError(
            f"mean {list(numbers[0])} and std {list(numbers[1])} don't fit images of {channels} channels; give a "
            "number for each channel, and no std of zero"
        )
    return numbers
