"""What a model's outputs mean as probabilities: logits of a softmax or of sigmoids, or probabilities already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch.nn.functional import logsigmoid

from funcam.errors import FuncamError, nearest, shown
from funcam.recipe import SCORES, Scores
from funcam.targets.concrete import is_concrete

Ending = Callable[[], str | None]
"""What a model ends in: `softmax`, `sigmoid`, or None for anything else."""
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

    They are probabilities already where the model ends in a softmax or a sigmoid, or where no value is negative and
    every row adds up to one. One logit is that of a sigmoid.

    Args:
        logits: what the model returned for some images, `[B, N]`.
        ending: what the model ends in; it is asked only where the values leave it open.

    Example:
        >>> find_scores(torch.tensor([[2.0]]), lambda: None), find_scores(torch.tensor([[0.9]]), lambda: "sigmoid")
        ('sigmoid', 'none')
    """
    usual: Scores = "sigmoid" if logits.shape[-1] == 1 else "softmax"
    values = logits.detach()
    if is_concrete(values) and not values.is_meta:
        if not bool(((values >= 0) & (values <= 1)).all()):
            return usual
        total = values.sum(-1, dtype=torch.float64) if values.is_floating_point() else values.sum(-1)
        if len(values) and bool(((total - 1).abs() <= _ROUNDED.get(values.dtype, 1e-4)).all()):
            return "none"
    return "none" if ending() is not None else usual


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
