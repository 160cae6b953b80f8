"""Whether tensors are numbers that may be looked at, or stand for some: under `torch.compile`, `vmap`, `make_fx`."""

from __future__ import annotations

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor


def is_compiled() -> bool:
    """Whether `torch.compile` is following this very code.

    `torch.compiler.is_compiling()` is true in all threads while one of them exports: that is somebody else's affair.
    """
    return torch.compiler.is_dynamo_compiling()


def is_batched(tensor: Tensor) -> bool:
    """Whether a tensor stands for several or for none: inside `torch.func.vmap`, or while somebody traces.

    Example:
        >>> is_batched(torch.zeros(2))
        False
    """
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(tensor):
        if functorch.is_batchedtensor(tensor):
            return True
        tensor = functorch.get_unwrapped(tensor)
    return isinstance(tensor, FakeTensor) or tensor.is_meta
