"""Maps that are numbers, and say something: where one is NaN, infinite or zero everywhere, its image is named."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch

from funcam.attribution.batch_run import BatchRun
from funcam.errors import FuncamError, FuncamWarning
from funcam.network.casting import type_now
from funcam.network.tracing import is_compiled
from funcam.targets.concrete import is_concrete


def check_finite(run: BatchRun, result: Any) -> None:
    """Refuse an explanation of which an image's map, score or features are not finite.

    Args:
        run: the batch run, before it was explained.
        result: what came of it.

    Raises:
        FuncamError: some are not; their images are named.
    """
    if not is_concrete(result.maps) or bool(add_up(result.maps, run.scores, *run.features)):
        return
    wrong = _rows_with(~result.maps.isfinite()) | _rows_with(run.scores.isnan())
    for A in run.features:
        wrong |= _rows_with(~A.isfinite())
    if not bool(wrong.any()):
        return
    where = "" if bool(wrong.all()) else f" for {_images(wrong)}"
    holding = wrong & _rows_with(~run.images.isfinite())
    if bool(holding.any()):
        way = f"{_images(holding)} hold{_s(holding)} some; leave out what does, or give torch.nan_to_num(images)"
    else:
        way = f"look for NaN in the weights, or use a wider type than {type_now(run.images)}"
    raise FuncamError(f"{result.method} at {result.layer!r} is not finite (NaN or infinity){where}: {way}")


def add_up(*tensors: torch.Tensor) -> torch.Tensor:
    """Whether the numbers add up to one that is finite; then each of them is, and they needn't be looked at."""
    return total(*tensors).isfinite()


def total(*tensors: torch.Tensor) -> torch.Tensor:
    """What the numbers add up to, in single precision at least: it is past float16's largest."""
    wide = (torch.promote_types(tensor.dtype, torch.float32) for tensor in tensors)
    sums = [tensor.detach().sum(dtype=dtype) for tensor, dtype in zip(tensors, wide, strict=True)]
    return torch.stack(sums).sum()


_LEFT: ContextVar[list[str] | None] = ContextVar("what was left out, where the caller tells it", default=None)


@contextmanager
def without_warnings() -> Iterator[list[str]]:
    """Inside, and in this thread, nothing is warned of: the caller tells it in another way.

    Yields:
        What was left out, a sentence each, as it comes. Zero maps are in the results.
    """
    outer = _LEFT.get()
    told: list[str] = [] if outer is None else outer
    token = _LEFT.set(told)
    try:
        yield told
    finally:
        _LEFT.reset(token)


def warn_of_left(left: Sequence[str]) -> None:
    """Tell which layers of several were left out, and why."""
    for message in left:
        tell(message, 5)


def tell(message: str, stacklevel: int) -> None:
    """Warn of something, or put it where the caller tells it.

    Args:
        message: a sentence.
        stacklevel: of the caller's code, counted from here, as `warnings.warn` counts.
    """
    told = _LEFT.get()
    if told is None:
        warnings.warn(FuncamWarning(message), stacklevel=stacklevel)
    else:
        told.append(message)


def warn_of_zeros(results: Sequence[Any]) -> None:
    """Tell which maps are zero everywhere: they are drawn as nothing, and are right all the same."""
    for result in [] if is_compiled() or _LEFT.get() is not None else results:
        zero = _zeros(result.maps, result.targets)
        if zero:
            image, target = zero[0]
            more = f" (and {len(zero) - 1} more maps)" if len(zero) > 1 else ""
            message = (
                f"{result.method} at {result.layer!r} is zero everywhere for image {image}, class or score {target}"
                f"{more}: nothing at that layer speaks for it; look at an earlier layer, or at another class"
            )
            warnings.warn(FuncamWarning(message), stacklevel=3)


def _zeros(maps: torch.Tensor, targets: torch.Tensor) -> list[tuple[int, int]]:
    """Image and target of each map that is zero everywhere."""
    if not is_concrete(maps) or maps.is_meta or not maps.numel():
        return []
    empty = ~maps.flatten(targets.ndim).any(targets.ndim)
    if not bool(empty.any()):
        return []
    places: list[list[int]] = empty.nonzero().tolist()
    return [(place[0], int(targets[tuple(place)])) for place in places]


@contextmanager
def naming_images(images: torch.Tensor) -> Iterator[None]:
    """Errors inside name the images that hold NaN or infinity: a model's code may take another way for them."""
    try:
        yield
    except FuncamError as error:
        holding = _holding(images)
        if holding is None:
            raise
        raise FuncamError(f"{error} ({_images(holding)} hold{_s(holding)} NaN or infinity)") from error


def _holding(images: Any) -> torch.Tensor | None:
    """Which images hold NaN or infinity; None where none does, or nobody can look."""
    if not isinstance(images, torch.Tensor) or images.ndim < 2 or images.is_meta or not is_concrete(images):
        return None
    holding = _rows_with(~images.isfinite())
    return holding if bool(holding.any()) else None


def _rows_with(flags: torch.Tensor) -> torch.Tensor:
    return flags.flatten(1).any(1)


def _images(flags: torch.Tensor) -> str:
    numbers: Sequence[int] = flags.nonzero().flatten().tolist()
    shown = ", ".join(map(str, numbers[:8])) + ", ..." * (len(numbers) > 8)
    return f"image{'s' * (len(numbers) > 1)} {shown}"


def _s(flags: torch.Tensor) -> str:
    return "s" * (int(flags.sum()) == 1)
