"""Code that writes into what it is lent, a model's tensors or its images, found out before anything is written."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from funcam.network.call import tensors_in
from funcam.network.tracing import untracked

_ITEM = {"__setitem__", "__iadd__", "__isub__", "__imul__", "__itruediv__", "__idiv__", "__ipow__", "__ifloordiv__"}
_HARMLESS = {"requires_grad_", "detach_", "share_memory_", "rename_", "retain_grad_"}
_RENORMING = (functional.embedding, functional.embedding_bag)
_COUNTING = {functional.batch_norm: "training", functional.instance_norm: "use_input_stats"}
_HANDED_OUT = {"numpy", "__array__", "__dlpack__"}
"""What gives a tensor's memory to code that torch sees nothing of."""


class Written(BaseException):
    """A model's code is about to write into what it is only lent: no `Exception`, which that code might catch.

    Attributes:
        own: the field of a `Manner` by which a run has that for its own.
    """

    own: str


class ParametersWritten(Written):
    """It would write into parameters."""

    own = "own_parameters"


class BuffersWritten(Written):
    """It would write into buffers, or into other tensors that the model holds."""

    own = "own_buffers"


class InputsWritten(Written):
    """It would write into the images, or into what goes in beside them."""

    own = "own_images"


class HooksRegistered(Written):
    """It would register a hook."""

    own = "own_tables"


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


class Lent(TorchFunctionMode):
    """Inside this context (and thread) code that wants to write into tensors of somebody else's is stopped before.

    What it only might write into counts: an array that shares a tensor's memory.

    Example:
        >>> import torch
        >>> images = torch.ones(2)
        >>> try:
        ...     with Lent({InputsWritten: [images]}):
        ...         images.clamp_(max=0)
        ... except InputsWritten:
        ...     print(images)
        tensor([1., 1.])
    """

    def __init__(self, tensors: Mapping[type[Written], Iterable[Tensor]], stopping: bool = True) -> None:
        """Set it up.

        Args:
            tensors: what is lent, and what is raised where it would be written.
            stopping: whether that is raised; else it is noted, in `seen`, and written.
        """
        super().__init__()
        self.tensors, self.stopping = tensors, stopping
        self.seen: set[type[Written]] = set()
        self._memory: dict[int | None, type[Written]] | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for tensor in (*_written(func, args, kwargs), *_handed_out(func, args)):
            written = self._lent().get(memory_of(tensor))
            if written is not None and self.stopping:
                raise written
            if written is not None:
                self.seen.add(written)
        return func(*args, **kwargs)

    def _lent(self) -> dict[int | None, type[Written]]:
        """What is raised for each place in memory; asked for where something is written, which is seldom."""
        if self._memory is None:
            self._memory = {memory_of(tensor): kind for kind, tensors in self.tensors.items() for tensor in tensors}
            self._memory.pop(None, None)
        return self._memory


class LentTable(OrderedDict[Any, Any]):
    """A table of hooks in which a run without hooks of its own registers none."""

    @classmethod
    def of(cls, hooks: Mapping[Any, Any]) -> LentTable:
        """One that holds some hooks already."""
        table = cls()
        for key, hook in hooks.items():
            OrderedDict.__setitem__(table, key, hook)
        return table

    def __setitem__(self, key: Any, hook: Any) -> None:
        raise HooksRegistered


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
    elif kwargs and kwargs.get(_COUNTING.get(func, "")):
        yield from tensors_in(args[1:3])
    if "out" in kwargs:
        yield from tensors_in((kwargs["out"],))


def _handed_out(func: Any, args: Sequence[Any]) -> Sequence[Any]:
    return args[:1] if getattr(func, "__name__", "") in _HANDED_OUT else ()


def memory_of(tensor: Any) -> int | None:
    """Where a tensor's numbers lie; None where it has no memory of its own."""
    if not isinstance(tensor, Tensor) or isinstance(untracked(tensor), FakeTensor):
        return None
    try:
        return untracked(tensor).untyped_storage().data_ptr() or None
    except (RuntimeError, NotImplementedError):
        return None
