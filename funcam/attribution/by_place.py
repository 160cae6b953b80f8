"""A function of the caller's that knows images by their places in the batch: its scores of rows that stand for one.

Such are `lambda logits: logits[torch.arange(8), labels]` and all others that hold something for each image. Methods
that ask what is said of an image when it is changed ask of one at a time, and of many rows: a row is put in the image's
place then, beside the other images, and its own score is read.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from types import FunctionType
from typing import Any

import torch

from funcam.errors import FuncamError
from funcam.network.checks import difference
from funcam.network.outputs import mapped, unpacked
from funcam.network.random_numbers import own_random_numbers
from funcam.network.row_by_row import are_rows, compares, told_alone
from funcam.network.tracing import is_transformed
from funcam.network.wanted import why_no_derivative
from funcam.targets.concrete import is_concrete
from funcam.targets.target import PerImage, Target, Targets

_CHECKED: weakref.WeakSet[FunctionType] = weakref.WeakSet()
"""Functions whose gradient was that of each image's own score, of several images: they are called once from then on."""


def by_place(
    target: Target, targets: Targets, scores: torch.Tensor, outputs: Any, again: Callable[[], Any], gradient: bool
) -> Target:
    """The target, whose scores of one image's rows are right where a function of the caller's knows it by its place.

    Args:
        target: what is explained.
        targets: as the caller gave it.
        scores: `[B, K]`, of the batch.
        outputs: what the model returned for the batch; the function may have written into it.
        again: makes the outputs again.
        gradient: whether the gradient of all scores is taken at once.

    Raises:
        FuncamError: it is, and the scores have none, or an image's score hangs on another image.
    """
    if target.class_score is not None or isinstance(targets, PerImage | Target):
        return target
    if gradient and not (isinstance(targets, FunctionType) and targets in _CHECKED):
        _check_gradient(target, outputs, len(scores))
        if isinstance(targets, FunctionType) and len(scores) > 1:
            _CHECKED.add(targets)
    return replace(target, rows=_Rows(target, scores, again).of_image)


def _check_gradient(target: Target, outputs: Any, batch: int) -> None:
    """Refuse scores without a derivative, and such whose sum says another thing of an image than its own score does."""
    tensors, put_back = unpacked(outputs)
    if is_transformed() or not _may_be_tried(outputs, batch):
        return
    with own_random_numbers(target.indices), torch.inference_mode(False), torch.enable_grad():
        given = [t.detach().clone() for t in tensors]
        floats = [t for t in given if t.is_floating_point()]
        for t in floats:  # ours
            t.requires_grad = True
        try:
            scores = target.score(put_back([t.clone() for t in given]))  # (it may write into them)
        except RuntimeError:  # where torch has no derivative then
            return
        if not scores.requires_grad:
            raise FuncamError(why_no_derivative("the model"))
        if batch == 1:
            return
        weights = torch.linspace(1, 2, batch, device=scores.device)
        sums = scores.sum(), (scores * weights[:, None]).sum()
        alike, weighted = (torch.autograd.grad(s, floats, retain_graph=True, allow_unused=True) for s in sums)
    for one, other in zip(alike, weighted, strict=True):
        own = None if one is None else one * weights.to(one).view(-1, *[1] * (one.ndim - 1))
        if own is not None and difference([other], [own]):
            raise FuncamError(
                "the target makes an image's score of what the model returned for other images, too, so that a map of "
                "one would be a map of all; detach() what the others say, or give a function that makes each row's "
                "score of that row"
            )


def _may_be_tried(outputs: Any, batch: int) -> bool:
    return are_rows(outputs, batch) and all(map(is_concrete, unpacked(outputs)[0]))


@dataclass(eq=False)
class _Rows:
    target: Target
    scores: torch.Tensor
    again: Callable[[], Any]

    def of_image(self, index: int | slice) -> Callable[[Any], torch.Tensor]:
        """As `Target.of_image`."""
        if self._told_alone:
            return self.target
        first, last, _ = (index if isinstance(index, slice) else slice(index, index + 1)).indices(len(self.scores))
        return lambda outputs: self._among_the_others(first, last, outputs)

    @cached_property
    def _outputs(self) -> Any:
        with torch.no_grad():
            return mapped(self.again(), torch.Tensor.detach)

    @cached_property
    def _told_alone(self) -> bool:
        """Where that can't be found out a function is believed to know no image by its place.

        One that compares images has no score of an image but the one that it gives to that image alone.
        """
        outputs, score = self._outputs, self.target.score
        if not _may_be_tried(outputs, len(self.scores)):
            return True
        return told_alone(score, outputs, self.scores) or compares(score, outputs, self.scores)

    def _among_the_others(self, first: int, last: int, outputs: Any) -> torch.Tensor:
        """The scores of rows that stand for the images from `first` to `last`, or each for the only one of these."""
        tensors, put_back = unpacked(self._outputs)
        given, _ = unpacked(outputs)
        scores = []
        for start in range(0, len(given[0]), last - first):
            own = [rows[start : start + last - first] for rows in given]
            pairs = zip(tensors, own, strict=True)
            batch = put_back([torch.cat([t[:first].to(row), row, t[last:].to(row)]) for t, row in pairs])
            scores.append(self.target.score(batch)[first:last])
        return torch.cat(scores)
