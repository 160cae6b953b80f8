"""What the tests of splitting share: images, and what a split is held to."""

from __future__ import annotations

import copy

import torch

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def equals_the_model(cut, model, images):
    A, head = cut(images)
    torch.testing.assert_close(head(A), copy.deepcopy(model).eval()(images))
    return A, head


def as_maps(tensor, images):
    """Independent of funcam: which axis is which in the networks above."""
    if tensor.ndim == 3:  # tokens of 8-pixel patches, behind the class and register tokens
        grid = [side // 8 for side in images.shape[2:]]
        cells = tensor[:, -grid[0] * grid[1] :]
        return cells.transpose(1, 2).unflatten(2, grid)
    height, width = images.shape[2:]
    return tensor if tensor.shape[2] * width == tensor.shape[3] * height else tensor.permute(0, 3, 1, 2)
