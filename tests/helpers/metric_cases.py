"""What the tests of the metrics share: maps with objects, and a small network with its answer written out in NumPy."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

torch.set_num_threads(1)

# Values in steps, so that ties and exact thresholds occur; sixteenths are exact in float32.
_values = st.integers(0, 16).map(lambda step: step / 16)


@st.composite
def located(draw, most: int = 3, side: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Maps ``[B, H, W]`` in 0..1 and masks ``[B, M, H, W]``, with empty ones among both."""
    images, objects = draw(st.integers(1, most)), draw(st.integers(1, most))
    height, width = draw(st.integers(1, side)), draw(st.integers(1, side))
    maps = draw(hnp.arrays(np.float32, (images, height, width), elements=_values))
    masks = draw(hnp.arrays(np.bool_, (images, objects, height, width)))
    masks &= draw(hnp.arrays(np.bool_, (images, objects, 1, 1)))
    return maps, masks


def photos(count: int = 2, side: int = 8, channels: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Images ``[B, C, H, W]`` and maps ``[B, H, W]`` without ties."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, channels, side, side, generator=generator)
    order = [torch.randperm(side * side, generator=generator) for _ in range(count)]
    return images, (torch.stack(order).view(count, side, side) + 1.0) / side**2


class Bend(torch.nn.Module):
    """A network whose logits are tanh of linear functions of the image."""

    def __init__(self, inputs: int, classes: int = 5) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.weight = torch.nn.Parameter(torch.randn(classes, inputs, generator=generator) / inputs**0.5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 3 * torch.tanh(images.flatten(1) @ self.weight.T)

    def in_numpy(self, image: np.ndarray) -> np.ndarray:
        """The logits of one image, in double precision."""
        return 3 * np.tanh(self.weight.detach().numpy().astype(np.float64) @ image.astype(np.float64).ravel())


def softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max())
    return shifted / shifted.sum()
