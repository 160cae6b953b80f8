"""Whether a tensor's values may be looked at."""

from __future__ import annotations

import torch
from torch._subclasses.fake_tensor import FakeTensor


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
