"""The network that knows the scenes: a small torchvision RegNet, its weights in the package."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models import RegNet
from torchvision.models.regnet import BlockParams

from funcam.scenes.shapes import CLASSES

WEIGHTS = Path(__file__).with_name("weights.pth")
"""The state dict, float16; written by `benchmarks/train_scenes.py`."""

INPUT_SIZE = 128
"""Side of the network's input in pixels."""

MEAN = (0.5, 0.5, 0.5)
STD = (0.25, 0.25, 0.25)
"""Mean and deviation with which an RGB image in 0..1 is normalised."""


def architecture() -> RegNet:
    """The network without trained weights: plain ReLUs, a last map of 16 x 16, its mean, one linear layer."""
    blocks = BlockParams(
        depths=[1, 2, 4],
        widths=[32, 64, 144],
        group_widths=[16, 16, 16],
        bottleneck_multipliers=[1.0, 1.0, 1.0],
        strides=[2, 2, 1],
    )
    return RegNet(blocks, num_classes=len(CLASSES), stem_width=32, activation=nn.ReLU)


def network() -> RegNet:
    """The trained network, in eval mode, float32 on the CPU: `[B, 3, 128, 128]` -> logits `[B, 10]`.

    The maps are read at `trunk_output`, `[B, 144, 16, 16]`, the last features before the pooling.

    Example:
        >>> from funcam.scenes import scene
        >>> logits = network()(inputs([scene(7, labels=["star"]).image]))
        >>> CLASSES[int(logits.argmax())]
        'star'
    """
    model = architecture()
    model.load_state_dict(torch.load(WEIGHTS, weights_only=True, map_location="cpu"))
    return model.eval()


def inputs(images: Sequence[NDArray[np.uint8]]) -> Tensor:
    """RGB uint8 images `[H, W, 3]` of any sizes as the network's input: float32 `[B, 3, 128, 128]`, normalised.

    Raises:
        ValueError: there is no image, or one is not uint8 `[H, W, 3]`.

    Example:
        >>> inputs([np.zeros((200, 300, 3), np.uint8)]).shape
        torch.Size([1, 3, 128, 128])
    """
    if not images:
        raise ValueError("inputs needs one image or more, got none")
    for image in images:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"an image must be uint8 [H, W, 3], got {image.dtype} {list(image.shape)}")
    resized = [cv2.resize(image, (INPUT_SIZE, INPUT_SIZE), interpolation=cv2.INTER_AREA) for image in images]
    batch = torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).float() / 255
    return (batch - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
