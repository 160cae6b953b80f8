"""Whether a file says what `explain` says: on other images than it was traced with, and other numbers of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from funcam.attribution.explanation import Explanation
from funcam.errors import FuncamError
from funcam.exporting.files import Run
from funcam.exporting.form import Form
from funcam.exporting.kinds import ALL, PREDICTED

MOST = 1e-4
"""How far a map may be from `explain`'s, as a share of its largest value, and logits from the largest logit."""
_BATCHES = (1, 3)


@dataclass(frozen=True)
class Agreement:
    """How far what a file says is from what `explain` says.

    Attributes:
        maps: the largest difference of a map, as a share of that map's largest value.
        logits: the largest difference of the logits, as a share of an image's largest.
        images: how many were compared.
        empty: how many of their maps are zero everywhere.
        count: how many maps there were.
    """

    maps: float
    logits: float
    images: int
    empty: int
    count: int


def verified(run: Run, eager: Callable[..., Explanation], form: Form) -> Agreement:
    """Compare a file with `explain`.

    Args:
        run: what the file computes.
        eager: images and targets -> their explanation.
        form: what goes in.

    Raises:
        FuncamError: they differ by more than `MOST`, or in the class.
    """
    largest = [0.0, 0.0]
    empty = count = 0
    for seed, batch in enumerate(_BATCHES, start=1):
        inputs = form.sample(batch, seed)
        logits, classes, maps = (each.cpu() for each in run(*inputs))
        targets = classes.to(inputs[0].device) if form.explained == PREDICTED else form.targets(inputs[-1])
        exact = eager(form.normalised(inputs[0]), targets)  # (of classes that tie either may be the predicted one)
        _check_class(logits, classes, exact, form)
        dims = 2 if form.explained == ALL else 1
        gaps, zero = _gaps(maps.flatten(dims).flatten(0, dims - 1), exact.maps.cpu().flatten(dims).flatten(0, dims - 1))
        of_logits, _ = _gaps(logits, exact.logits.cpu())
        largest = [max(largest[0], gaps.max().item()), max(largest[1], of_logits.max().item())]
        empty, count = empty + int(zero.sum()), count + len(zero)
    agreement = Agreement(largest[0], largest[1], sum(_BATCHES), empty, count)
    _refuse(agreement)
    return agreement


def _gaps(one: torch.Tensor, exact: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each row the largest difference as a share of the exact one's largest value, and whether that is zero."""
    if one.shape != exact.shape:
        raise FuncamError(f"the file gives {list(one.shape)} where explain gives {list(exact.shape)}; no file is left")
    largest = exact.double().abs().amax(1)
    gap = (one.double() - exact.double()).abs().amax(1)
    return (gap / largest.where(largest > 0, torch.ones_like(largest))).nan_to_num(torch.inf), largest == 0


def _check_class(logits: torch.Tensor, classes: torch.Tensor, exact: Explanation, form: Form) -> None:
    expected = logits.argmax(1) if form.explained in (PREDICTED, ALL) else exact.targets.cpu()
    if not torch.equal(classes, expected):
        raise FuncamError(
            f"the file explains {classes.tolist()} where {expected.tolist()} were expected; no file is left"
        )


def _refuse(agreement: Agreement) -> None:
    if agreement.maps <= MOST and agreement.logits <= MOST:
        return
    raise FuncamError(
        f"the file's maps differ from explain's by {agreement.maps:.1e} of the map's maximum and its logits by "
        f"{agreement.logits:.1e} of the largest (at most {MOST:.0e}), no file is left; take another layer or "
        "method, or a model of a wider type"
    )
