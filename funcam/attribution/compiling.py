"""Explaining compiled: as one graph, with the weights in it, in a mode of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from types import FunctionType
from typing import Any

import torch

from funcam.attribution.explanation import Explanation
from funcam.attribution.finite import total
from funcam.attribution.prepared import Explain, Run
from funcam.errors import FuncamError, shown
from funcam.network.alone import alone
from funcam.network.outputs import unpacked


@contextmanager
def mode(device: torch.device, dtype: torch.dtype | None = None) -> Iterator[None]:
    """Whatever the caller's: no inference mode, nothing recorded, autocast to a type or none.

    Args:
        device: where the images are.
        dtype: a type of half the bytes; None for no autocast.
    """
    cast = torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)
    with torch.inference_mode(False), torch.no_grad(), cast:
        yield


def check_backend(backend: Any) -> None:
    """Refuse what `torch.compile` knows no backend by.

    Raises:
        FuncamError: which there are.
    """
    if backend is None or callable(backend) or backend == "inductor":
        return
    names = torch.compiler.list_backends(exclude_tags=())  # torch's own of debugging, too
    if not isinstance(backend, str) or backend not in names:
        raise FuncamError(
            f"backend is {shown(backend)}; expected a function as torch.compile takes, None, or one of "
            f"{', '.join(names)}"
        )


def as_it_is(explained: Explain) -> Run:
    """`explained`, which has looked at its numbers itself."""
    return lambda images, classes: (explained(images, classes), torch.zeros((), device=images.device))


def compiled(explained: Explain, like: Explanation, device: torch.device, dynamic: bool, backend: Any) -> Run:
    """`explained` as one compiled graph; what it returns is the caller's own memory.

    Args:
        explained: images and classes -> their explanation.
        like: one that it returns: layer, method and output are the same in all.
        device: where the images are.
        dynamic: whether the number of images may change.
        backend: as in `torch.compile`.
    """

    def tensors(images: torch.Tensor, classes: torch.Tensor | None) -> tuple[Any, ...]:
        result = explained(images, classes)
        return result.maps, result.outputs, result.targets, result.scores, total(result.maps, result.scores)

    graphs, compiled_for = backend == "inductor" and device.type == "cuda" and not dynamic, set[int]()
    function = torch.compile(
        _with_own_code(tensors),
        fullgraph=True,
        dynamic=None if dynamic else False,
        backend=backend,
        mode="reduce-overhead" if graphs else None,
    )

    def run(images: torch.Tensor, classes: torch.Tensor | None) -> tuple[Explanation, torch.Tensor]:
        if not len(images):
            return as_it_is(explained)(images, classes)
        if dynamic and len(images) > 1:
            torch._dynamo.maybe_mark_dynamic(images, 0)
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        with nullcontext() if len(images) in compiled_for else _compiling(backend):
            maps, outputs, targets, scores, numbers = owned(function(images, classes))
        compiled_for.add(len(images))
        return replace(like, maps=maps, outputs=outputs, targets=targets, scores=scores), numbers

    return run


def owned(value: Any) -> Any:
    """Tensors within anything in memory of their own: what CUDA graphs return is written over by the next call.

    Example:
        >>> mine = torch.ones(2)
        >>> maps, _ = owned((mine, torch.zeros(3)))
        >>> mine.zero_(), maps
        (tensor([0., 0.]), tensor([1., 1.]))
    """
    tensors, rest = unpacked(value)
    return rest([tensor.clone() for tensor in tensors])


def _with_own_code(function: Callable[..., Any]) -> Callable[..., Any]:
    """torch keeps what it compiled by a function's code, and of one code little: each prepared function has its own."""
    assert isinstance(function, FunctionType)
    return FunctionType(function.__code__.replace(), function.__globals__, closure=function.__closure__)


@contextmanager
def _compiling(backend: Any) -> Iterator[None]:
    """Alone; and to torch's own compiler the weights are constants, which it lays out as its kernels read them.

    The setting is read while it compiles. Torch 2.11 has one for all threads: nobody else compiles meanwhile.
    """
    with alone():
        if backend != "inductor":
            yield
            return
        from torch._dynamo.convert_frame import compile_lock
        from torch._inductor import config  # takes a while

        with compile_lock, config.patch(freezing=True):
            yield
