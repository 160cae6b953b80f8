"""Whether tensors are numbers that may be looked at, or stand for some: under `torch.compile`, `vmap`, `make_fx`."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

import torch
from torch import Tensor
from torch._functorch import pyfunctorch
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode


def is_compiled() -> bool:
    """Whether `torch.compile` is following this very code.

    `torch.compiler.is_compiling()` is true in all threads while one of them exports: that is somebody else's affair.
    """
    return torch.compiler.is_dynamo_compiling()


def is_compiler_loaded() -> bool:
    """Whether torch's compiler was imported, which takes a second; where it wasn't, nothing was compiled."""
    return is_compiled() or "torch._dynamo" in sys.modules


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


def untracked(tensor: Tensor) -> Tensor:
    """The tensor itself that `torch.func` differentiates by or maps over.

    Example:
        >>> untracked(torch.ones(1))
        tensor([1.])
    """
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(tensor):
        tensor = functorch.get_unwrapped(tensor)
    return tensor


def is_transformed() -> bool:
    """Whether a transformation of `torch.func`'s is under way in this thread."""
    return transformations() > 0


def transformations() -> int:
    """How many transformations of `torch.func` are under way in this thread, one inside another."""
    return len(torch._C._functorch.get_interpreter_stack() or ())


def untransformed() -> AbstractContextManager[Any]:
    """Inside this context (and thread) the transformations of `torch.func` around it see nothing of what is done."""
    return pyfunctorch.temporarily_clear_interpreter_stack()


def uncompiled() -> AbstractContextManager[Any]:
    """Inside this context (and thread) what `torch.compile` made runs as it was before, where this PyTorch knows how.

    Compiled code can't be tapped, followed or differentiated by `torch.func`.
    """
    frames = sys.modules.get("torch._dynamo.eval_frame")
    eager = getattr(frames, "_use_eager_on_nested_compile", nullcontext)
    return eager()


class Following(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation inside. What a subclass does with it is never compiled: torch sees to that when the subclass
    is made, and imports the compiler; here it is seen to when there is one.
    """

    _is_left_alone = False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __enter__(self) -> Self:
        if is_compiler_loaded():
            self.leave_alone()
        return super().__enter__()  # type: ignore[no-any-return, no-untyped-call]

    @classmethod
    def leave_alone(cls) -> None:
        """Import the compiler, and tell it; to be called before it is asked to compile inside."""
        if not cls._is_left_alone:
            cls._is_left_alone = True
            cls.__torch_dispatch__ = torch.compiler.disable(cls.__torch_dispatch__)  # type: ignore[method-assign, no-untyped-call]
