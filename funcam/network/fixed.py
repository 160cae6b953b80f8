"""Tensors of a model at which its code looks while it is traced: what it made of them stands in the graph for ever."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from funcam.network.tracing import untracked
from funcam.network.writes import memory_of

_SHAPES = frozenset({"__get__", "size", "dim", "numel", "stride", "__len__", "is_floating_point", "is_contiguous"})
"""Of a tensor's shape and type, which no write in place changes."""
_MOST_BYTES = 2**20
"""So many are compared of all tensors together, which takes a tenth of a millisecond."""


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
        self._read = _read_again(self._tensors)
        self._numbers = self._numbers_now()

    def changed(self) -> bool:
        """Whether one was written into since, or has other memory, or holds others of the numbers that are compared."""
        if not self._tensors:
            return False
        if self._state != self._state_now():
            return True
        if any(is_captured(views[0]) for views in self._read):
            return False
        return not all(map(torch.equal, self._numbers_now(), self._numbers))

    def _numbers_now(self) -> list[Tensor]:
        with torch.inference_mode(False), torch.no_grad():
            return [torch.cat(views).view(torch.int64) for views in self._read]

    def _state_now(self) -> tuple[list[int], list[int]]:
        return [each._version for each in self._counting], [*map(Tensor.data_ptr, self._tensors)]


def _read_again(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
    """The bytes of tensors, as views, by device: all where they are few, else as many of each of the larger ones."""
    flat = [each.detach().view(-1).view(torch.uint8) for each in tensors if _is_plain(each)]
    left = _MOST_BYTES
    views: dict[torch.device, list[Tensor]] = {}
    for number, each in enumerate(sorted(flat, key=Tensor.numel)):
        share = max(1, left // (len(flat) - number))
        some = each[:: -(-each.numel() // share) | 1]  # odd, so that each byte of a number comes in turn
        views.setdefault(each.device, []).append(some)
        left -= some.numel()
    return [[*some, _to_eights(some)] for some in views.values()]


def _to_eights(views: Sequence[Tensor]) -> Tensor:
    """What is missing of a whole number of eight bytes, which are compared seven times as fast as single ones."""
    return torch.zeros(-sum(map(Tensor.numel, views)) % 8, dtype=torch.uint8, device=views[0].device)


def _is_plain(tensor: Tensor) -> bool:
    return tensor.is_contiguous() and not (tensor.is_quantized or tensor.is_conj() or tensor.is_neg())


def tensors_of(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The parameters, buffers and other tensors that modules hold, with their paths."""
    for path, each in module.named_modules(remove_duplicate=False):
        for table in (each._parameters, each._buffers, vars(each)):
            for name, value in table.items():
                if isinstance(value, Tensor):
                    yield f"{path}.{name}".removeprefix("."), value


def is_captured(tensor: Tensor) -> bool:
    """Whether a CUDA graph is being recorded, while which nobody may look at a number."""
    return tensor.is_cuda and torch.cuda.is_current_stream_capturing()
