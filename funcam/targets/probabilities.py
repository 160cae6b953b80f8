"""What a model's outputs mean as probabilities: logits of a softmax or of sigmoids, or probabilities already."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, cast

import torch
from torch.nn.functional import logsigmoid

from funcam.errors import FuncamError, FuncamWarning, nearest, shown
from funcam.recipe import SCORES, Scores
from funcam.targets.concrete import is_concrete

Ending = Callable[[], str | None]
"""What outputs are made of: what a `softmax`, `sigmoid`, `exponential` or a `bound` (clamp) gave, or None."""
_ROUNDED = {torch.float16: 5e-3, torch.bfloat16: 4e-2}
"""How far from one the sum of rounded probabilities may be."""


def check_scores(scores: Any) -> Scores | None:
    """What the caller says that the outputs mean.

    Raises:
        FuncamError: it is none of `SCORES` and not None.

    Example:
        >>> check_scores("sigmoid")
        'sigmoid'
    """
    if scores is None or scores in SCORES:
        return cast("Scores | None", scores)
    raise FuncamError(
        f"scores is {shown(scores)}; expected 'softmax' (one class of several), 'sigmoid' (each class by itself), "
        f"'none' (what the model returns is taken as it is) or None to find out; nearest: {nearest(scores, SCORES)}"
    )


def find_scores(logits: torch.Tensor, ending: Ending) -> Scores:
    """What outputs mean, where it is plain; else that they are the logits of a softmax.

    They are probabilities already where no value is negative and every row adds up to one, or where the model makes
    them of a softmax or a sigmoid and all are between 0 and 1. One logit is that of a sigmoid. What is made of
    probabilities and is none itself (their logarithms, scaled ones) is taken as it is, and it is said.

    Args:
        logits: what the model returned for some images, `[B, N]`.
        ending: what the model ends in; it is asked only where the values leave it open.

    Warns:
        FuncamWarning: it isn't known what they mean.

    Example:
        >>> find_scores(torch.tensor([[2.0]]), lambda: None), find_scores(torch.tensor([[0.9]]), lambda: "sigmoid")
        ('sigmoid', 'none')
    """
    usual: Scores = "sigmoid" if logits.shape[-1] == 1 else "softmax"
    values = logits.detach()
    if not is_concrete(values) or values.is_meta:
        return "none" if ending() is not None else usual
    probable = bool(((values >= 0) & (values <= 1)).all())
    if probable and _add_up(values):
        return "none"
    made = ending()
    if made is None or (usual == "softmax" and _add_up(values.exp())):
        return usual  # a softmax's logarithms are its logits, too
    if not probable:
        warnings.warn(FuncamWarning(_unknown(values, made)), stacklevel=2)
    return "none"


def _add_up(values: torch.Tensor) -> bool:
    """Whether every row adds up to one."""
    total = values.sum(-1, dtype=torch.float64) if values.is_floating_point() else values.sum(-1)
    return len(values) > 0 and bool(((total - 1).abs() <= _ROUNDED.get(values.dtype, 1e-4)).all())


def _unknown(values: torch.Tensor, made: str) -> str:
    low, high = values.min().item(), values.max().item()
    return (
        f"what the model's outputs mean isn't known: they are made of a {made}, and go from {low:.3g} to "
        f"{high:.3g}, which are no probabilities; they are taken as they are (scores='none'); say scores='softmax' or "
        "'sigmoid' if they are logits"
    )


def as_probabilities(logits: torch.Tensor, scores: Scores) -> torch.Tensor:
    """The probabilities of all classes, `[n, N]`; with `none` what the model returned.

    Example:
        >>> as_probabilities(torch.zeros(1, 2), "sigmoid")
        tensor([[0.5000, 0.5000]])
    """
    if scores == "none":
        return logits
    return logits.sigmoid() if scores == "sigmoid" else logits.softmax(-1)


def as_log_probabilities(logits: torch.Tensor, scores: Scores) -> torch.Tensor:
    """The logarithms of the probabilities of all classes, `[n, N]`.

    Raises:
        FuncamError: what the model returned is taken as it is, and is negative.

    Example:
        >>> as_log_probabilities(torch.zeros(1, 2), "sigmoid").exp()
        tensor([[0.5000, 0.5000]])
    """
    if scores == "sigmoid":
        return logsigmoid(logits)
    if scores == "softmax":
        return logits.log_softmax(-1)
    if is_concrete(logits) and not logits.is_meta and bool((logits.detach() < 0).any()):
        raise FuncamError(
            "the logarithm of a probability was asked for, and with scores='none' what the model returns is taken for "
            "probabilities, but some of it is negative; give scores='softmax' or 'sigmoid', or explain what it returns"
        )
    return logits.clamp(min=torch.finfo(logits.dtype).tiny).log()
