"""Maps that are numbers: where one holds NaN or infinity, the image is named and what may be done about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from funcam.attribution.batch_run import BatchRun
from funcam.errors import FuncamError
from funcam.targets.target import is_concrete


def check_finite(run: BatchRun, result: Any) -> None:
    """Refuse an explanation of which an image's map, score or features are not finite.

    Args:
        run: the batch run, before it was explained.
        result: what came of it.

    Raises:
        FuncamError: some are not; their images are named.
    """
    if not is_concrete(result.maps):
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
        way = f"look for NaN in the weights, or use a wider type than {run.images.dtype}"
    raise FuncamError(f"{result.method} at {result.layer!r} is not finite (NaN or infinity){where}: {way}")


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
