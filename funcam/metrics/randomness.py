"""Random numbers for the members of a series, the same whether the series is drawn whole or in parts."""

from __future__ import annotations

import torch

_STRIDE = 1_000_003  # a prime, larger than most data sets: the series of neighbouring seeds don't overlap


def generator_of(seed: int, index: int) -> torch.Generator:
    """The generator (on the CPU) of one member of the series that belongs to a seed.

    Torch's own generator on the CPU looks at the lower 32 bits of a seed only.

    Example:
        >>> torch.rand(1, generator=generator_of(0, 1)) == torch.rand(1, generator=generator_of(0, 2))
        tensor([False])
    """
    return torch.Generator().manual_seed((seed * _STRIDE + index) % 2**32)
