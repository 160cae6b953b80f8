"""Whether a tensor's values may be looked at."""

from __future__ import annotations

from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor


def as_tensor(values: Any) -> torch.Tensor:
    """A tensor as it is; numbers as one on the CPU, whatever torch's default device is."""
    return values if isinstance(values, torch.Tensor) else torch.as_tensor(values, device="cpu")


def is_concrete(tensor: torch.Tensor) -> bool:
    """Whether the tensor's values may be looked at: not while it is compiled, traced, captured, or mapped over."""
    if torch.compiler.is_dynamo_compiling():
        return False
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(tensor):
        if functorch.is_batchedtensor(tensor):
            return False
        tensor = functorch.get_unwrapped(tensor)
    if tensor.is_cuda and torch.cuda.is_current_stream_capturing():  # into a CUDA graph: nothing is computed yet
        return False
    return not isinstance(tensor, FakeTensor)
