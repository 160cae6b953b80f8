"""Tensors of a model at which its code looks while it is traced: what it made of them stands in the graph for ever."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from funcam.network.tracing import untracked
from funcam.network.writes import memory_of

_SHAPES = frozenset({"__get__", "size", "dim", "numel", "stride", "__len__", "is_floating_point", "is_contiguous"})
"""Of a tensor's shape and type, which no write in place changes."""
_MOST_NUMBERS = 1024
_MOST_COMPARED = 16


class Looks(TorchFunctionMode):
    """Notes which tensors of a module are computed with where no proxy is: what comes of it is a constant.

    Args:
        module: what is traced.
        paths: takes where it holds them.

    Example:
        >>> module, paths = nn.BatchNorm1d(2), set()
        >>> with Looks(module, paths):
        ...     _ = module.running_var.sqrt()
        >>> paths
        {'running_var'}
    """

    def __init__(self, module: nn.Module, paths: set[str]) -> None:
        super().__init__()
        self.paths = paths
        self._path_at = {memory_of(tensor): path for path, tensor in tensors_of(module) if memory_of(tensor)}

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(function, "__name__", "") not in _SHAPES:
            given = pytree.tree_leaves((args, kwargs))
            if not any(isinstance(each, fx.Proxy) for each in given):
                self.paths.update(filter(None, (self._path_at.get(memory_of(each)) for each in given)))
        return function(*args, **kwargs)


class Fixed:
    """Tensors of a model, and what they were.

    Args:
        model: the model.
        paths: where it holds them.
    """

    def __init__(self, model: nn.Module, paths: Set[str]) -> None:
        held = [each for path, each in tensors_of(model) if path in paths] if paths else []
        self._tensors = [each for each in held if memory_of(each) and untracked(each) is each]
        self._counting = [each for each in self._tensors if not each.is_inference()]
        self._state = self._state_now()
        few = self._tensors if len(self._tensors) <= _MOST_COMPARED else []
        self._numbers = [
            (each, as_bytes(each)) for each in few if each.numel() <= _MOST_NUMBERS and not each.is_quantized
        ]

    def changed(self) -> bool:
        """Whether one was written into since, or has other memory; of a few numbers, whether they are others."""
        return bool(self._tensors) and (
            self._state != self._state_now()
            or not all(torch.equal(as_bytes(each), before) for each, before in self._numbers if not is_captured(each))
        )

    def _state_now(self) -> tuple[list[int], list[int]]:
        return [each._version for each in self._counting], [*map(Tensor.data_ptr, self._tensors)]


def tensors_of(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The parameters, buffers and other tensors that modules hold, with their paths."""
    for path, each in module.named_modules(remove_duplicate=False):
        for table in (each._parameters, each._buffers, vars(each)):
            for name, value in table.items():
                if isinstance(value, Tensor):
                    yield f"{path}.{name}".removeprefix("."), value


def as_bytes(tensor: Tensor) -> Tensor:
    """A copy of a tensor's numbers, in which NaN is equal to itself."""
    with torch.inference_mode(False), torch.no_grad():
        return tensor.detach().clone().contiguous().flatten().view(torch.uint8)


def is_captured(tensor: Tensor) -> bool:
    """Whether a CUDA graph is being recorded, while which nobody may look at a number."""
    return tensor.is_cuda and torch.cuda.is_current_stream_capturing()
