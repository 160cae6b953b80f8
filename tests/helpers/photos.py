"""Photos as a network takes them, and copies of a network for the peers' hooks."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import nn

from funcam.imaging.fit import fit_image
from funcam.imaging.reading import read_image

NETWORKS = {"shufflenet_v2_x1_0": "conv5", "mobilenet_v2": "features.18", "squeezenet1_1": "features.12"}
"""The assets' networks and their last feature maps."""


def network_input(path: Path) -> torch.Tensor:
    """The photo in a file, squashed to 224 and normalised, ``[1, 3, 224, 224]``."""
    pixels, _ = fit_image(read_image(path), 224, "squash")
    return normalised(torch.tensor(pixels).permute(2, 0, 1) / 255)[None]


def normalised(images: torch.Tensor) -> torch.Tensor:
    """0..1 to what ImageNet's networks take."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (images - mean[:, None, None]) / std[:, None, None]


def out_of_place(model: nn.Module) -> nn.Module:
    """A copy of a model whose modules don't work in place: hooks keep what was computed, not what overwrote it."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # type: ignore[assignment]
    return model
