"""Code that writes into a model's parameters, found out before anything is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from funcam.network.call import tensors_in
from funcam.network.tracing import untracked

_ITEM = {"__setitem__", "__iadd__", "__isub__", "__imul__", "__itruediv__", "__idiv__", "__ipow__", "__ifloordiv__"}
_HARMLESS = {"requires_grad_", "detach_", "share_memory_", "rename_", "retain_grad_"}
_RENORMING = (functional.embedding, functional.embedding_bag)


class ParametersWritten(BaseException):
    """A model's code is about to write into its parameters: no `Exception`, which that code might catch."""


class Unwritten(TorchFunctionMode):
    """Inside this context (and thread) nothing is written into some tensors: code that wants to is stopped before.

    Example:
        >>> import torch
        >>> weight = torch.ones(2)
        >>> try:
        ...     with Unwritten([weight]):
        ...         weight.detach().mul_(2)
        ... except ParametersWritten:
        ...     print(weight)
        tensor([1., 1.])
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        super().__init__()
        self.memory = {memory_of(tensor) for tensor in tensors} - {None}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if any(memory_of(tensor) in self.memory for tensor in _written(func, args, kwargs)):
            raise ParametersWritten
        return func(*args, **kwargs)


@contextmanager
def kept_flags(tensors: Sequence[Tensor]) -> Iterator[None]:
    """What is made inside of the `requires_grad` of tensors lasts no longer: they may be the caller's."""
    asked = [tensor.requires_grad for tensor in tensors]
    try:
        yield
    finally:
        for tensor, flag in zip(tensors, asked, strict=True):
            if tensor.is_leaf and tensor.requires_grad != flag:
                tensor.requires_grad = flag


def _written(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[Tensor]:
    """The tensors that a call of one of torch's functions writes into, as its name and arguments tell."""
    name = getattr(func, "__name__", "")
    first = args[0] if args else next(iter(kwargs.values()), None)
    if name == "__set__":
        if func == Tensor.data.__set__ and memory_of(args[0]) != memory_of(args[1]):  # type: ignore[attr-defined]
            yield from tensors_in((first,))
    elif (name[-1:] == "_" and name[-2:] != "__" and name not in _HARMLESS) or name in _ITEM or kwargs.get("inplace"):
        yield from tensors_in((first,))
    elif func in _RENORMING and kwargs.get("max_norm") is not None:
        yield from tensors_in((args[1] if len(args) > 1 else kwargs.get("weight"),))
    yield from tensors_in((kwargs.get("out"),))


def memory_of(tensor: Any) -> int | None:
    """Where a tensor's numbers lie; None where it has no memory of its own."""
    if not isinstance(tensor, Tensor):
        return None
    try:
        return untracked(tensor).untyped_storage().data_ptr() or None
    except (RuntimeError, NotImplementedError):
        return None
