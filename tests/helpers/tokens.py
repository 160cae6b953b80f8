"""Tokens of a small grid, for tests of where a tensor has the image's axes."""

from __future__ import annotations

from torch import Tensor

H, W = 4, 6


def cells(y: Tensor) -> Tensor:
    """The cells of a feature map, one after the other, the channels last."""
    return y.flatten(2).transpose(1, 2)
