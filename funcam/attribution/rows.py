"""Functions of one row applied to many, and the precision that sums over them need."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.func import vmap

from funcam.network.tracing import is_compiled


def one_by_one_where_vmap_fails(one: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    """A function of one row as a function of many: by `vmap`, else row by row (`.item()`, writing in place)."""

    def rows(tensor: torch.Tensor) -> torch.Tensor:
        try:
            mapped: torch.Tensor = vmap(one)(tensor)
            return mapped
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError) or is_compiled():
                raise
            return torch.stack([one(row) for row in tensor])

    return rows


def full_precision(tensor: torch.Tensor) -> torch.Tensor:
    """Sums over half-precision cells lose their digits: methods compute in float32 at least."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def unit_cotangents(columns: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Cotangents that pick one score of every image: columns `[k]` of K scores `like [B, K]`, `[k, B, K]`.

    (A comparison: it can be traced.)

    Example:
        >>> unit_cotangents(torch.tensor([1]), torch.zeros(1, 3))
        tensor([[[0., 1., 0.]]])
    """
    one = columns[:, None] == torch.arange(like.shape[1], device=like.device)
    return one[:, None].to(like.dtype).expand(-1, *like.shape)
