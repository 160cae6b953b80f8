"""Gaussian noise that is the same whatever the chunk, the type and the device, and leaves torch's own state alone."""

from __future__ import annotations

from typing import Any

import torch

DRAWN: Any = {"dtype": torch.float32, "device": "cpu"}
"""How seeded numbers are drawn, whatever torch's defaults are: the same on every machine."""


def gaussian(generator: torch.Generator, like: torch.Tensor) -> torch.Tensor:
    """Standard normal numbers of a tensor's shape, drawn row by row in float32 on the CPU.

    Args:
        generator: a generator on the CPU; it moves on.
        like: `[n, ...]`, for shape, type and device.

    Example:
        >>> first = gaussian(torch.Generator().manual_seed(0), torch.empty(3, 2))
        >>> generator = torch.Generator().manual_seed(0)
        >>> parts = [gaussian(generator, torch.empty(2, 2)), gaussian(generator, torch.empty(1, 2))]
        >>> torch.equal(first, torch.cat(parts))
        True
    """
    rows = [torch.randn(like.shape[1:], generator=generator, **DRAWN) for _ in range(len(like))]
    return torch.stack(rows).to(like)
