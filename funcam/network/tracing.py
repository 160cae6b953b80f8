"""Whether tensors are numbers that may be looked at, or stand for some: under `torch.compile`, `vmap`, `make_fx`."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor
from torch._functorch import pyfunctorch
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode

Given = ParamSpec("Given")
Returned = TypeVar("Returned")


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


def never_compiled(function: Callable[Given, Returned]) -> Callable[Given, Returned]:
    """As `torch.compiler.disable`, which would import the compiler."""

    @functools.cache
    def disabled() -> Callable[Given, Returned]:
        made: Callable[Given, Returned] = torch.compiler.disable(function)  # type: ignore[no-untyped-call]
        return made

    @functools.wraps(function)
    def called(*args: Given.args, **kwargs: Given.kwargs) -> Returned:
        return (disabled() if is_compiler_loaded() else function)(*args, **kwargs)

    return called


class Following(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation inside; a subclass's `__torch_dispatch__` is `never_compiled`, as torch would see to itself.

    Torch would import the compiler for that.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False
