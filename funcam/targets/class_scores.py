"""What of a class is explained instead of its logit: its probability, or how it differs from other classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from funcam.errors import FuncamError, finite_number, shown, whole_number
from funcam.recipe import Scores
from funcam.targets.concrete import is_concrete
from funcam.targets.probabilities import as_log_probabilities, as_probabilities
from funcam.targets.target import Classes, ClassScore, Score, class_targets, take
from funcam.targets.wording import Wording


def as_probability(scores: Scores) -> Score:
    """The probability of classes, `(logits [n, N], classes [n or 1, K]) -> [n, K]`."""
    return lambda logits, classes: take(as_probabilities(logits, scores), classes)


def as_log_probability(scores: Scores) -> Score:
    """The logarithm of the probability of classes."""
    return lambda logits, classes: take(as_log_probabilities(logits, scores), classes)


def as_residual_softmax(scores: Scores) -> Score:
    """Logit plus log-probability of classes: the residual softmax of arXiv:2501.06261."""
    log_probability = as_log_probability(scores)
    return lambda logits, classes: take(logits, classes) + log_probability(logits, classes)


def probability(classes: Classes = None) -> ClassScore:
    """Explain the probability of classes instead of their logit.

    It is the softmax over classes, the sigmoid of each, or what the model returns, as `scores` of `explain` says.

    Args:
        classes: as in `class_targets`.

    Example:
        >>> from funcam.targets.target import bind
        >>> bind(probability(1), torch.zeros(1, 4), 1)(torch.zeros(1, 4))
        tensor([[0.2500]])
    """
    return ClassScore(
        classes, as_probability("softmax"), by=as_probability, wording=Wording("probability of ", probable=True)
    )


def log_probability(classes: Classes = None) -> ClassScore:
    """Explain the logarithm of the probability of classes instead of their logit.

    Args:
        classes: as in `class_targets`.

    Example:
        >>> from funcam.targets.target import bind
        >>> bind(log_probability(1), torch.zeros(1, 4), 1)(torch.zeros(1, 4)).exp()
        tensor([[0.2500]])
    """
    return ClassScore(
        classes, as_log_probability("softmax"), by=as_log_probability, wording=Wording("log-probability of ")
    )


def counterfactual(classes: Classes = None) -> ClassScore:
    """Explain what speaks against classes: `-S_c`. Of a model with one logit that is the other class.

    Args:
        classes: the classes c, as in `class_targets`.

    Source:
        Counterfactual explanations, Selvaraju et al., ICCV 2017, section 7: the gradient with its sign changed.

    Example:
        >>> from funcam.targets.target import bind
        >>> bind(counterfactual(0), torch.tensor([[3.0]]), 1)(torch.tensor([[3.0]]))
        tensor([[-3.]])
    """
    return ClassScore(classes, lambda logits, classes: -take(logits, classes), wording=Wording("not "))


def contrast(
    classes: Classes = None,
    against: int | str | Sequence[int] | torch.Tensor = "runner-up",
    *,
    similar: int = 0,
    gamma: float = 1.0,
) -> ClassScore:
    """Explain why a class and not another: `S_c - gamma S_d`, with the mean over several d.

    Args:
        classes: the classes c, as in `class_targets`.
        against: the class d by its index (or a list of them, one for each image), or `"runner-up"`: the likeliest
            class besides c.
        similar: instead of `against`, the k classes whose logits are nearest to that of c; 0 for none.
        gamma: the weight of what is contrasted with.

    Raises:
        FuncamError: d is no class, there are not that many, both `against` and `similar` are given, or `gamma` is no
            number.

    Example:
        >>> from funcam.targets.target import bind
        >>> logits = torch.tensor([[3.0, 1.0, 2.0]])
        >>> bind(contrast(0, 1), logits, 1)(logits), bind(contrast(), logits, 1)(logits)
        (tensor([[2.]]), tensor([[1.]]))
    """
    similar = whole_number("similar", similar, 0)
    finite_number("gamma", gamma)
    _check_against(against, similar)

    def fix(logits: torch.Tensor, chosen: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if similar:
            return (similar_classes(logits, chosen, similar),)
        if isinstance(against, str):
            return (_runner_up(logits, chosen),)
        others = class_targets(against, logits)
        if others.ndim != 1:
            raise FuncamError(
                f"contrast against classes of shape {list(others.shape)}; expected one class, or one for each image"
            )
        others = others[:, None, None].expand(*chosen.shape, 1)
        if is_concrete(chosen) and bool((chosen == others[..., 0]).any()):
            raise FuncamError(f"class {shown(against)} is contrasted with itself; contrast it with another class")
        return (others,)

    def score(logits: torch.Tensor, chosen: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        picked = take(logits, others.flatten(1)).view(logits.shape[0], *others.shape[1:])
        return take(logits, chosen) - gamma * picked.mean(-1)

    other = f"{similar} similar classes" if similar else against
    said = Wording(against=other, after="" if gamma == 1 else f" (gamma {gamma:g})")
    return ClassScore(classes, score, fix, wording=said)


def _check_against(against: Any, similar: int) -> None:
    if isinstance(against, str):
        if against != "runner-up":
            raise FuncamError(f"contrast against {against!r} is not known; expected a class index or 'runner-up'")
        return
    if similar:
        raise FuncamError(
            f"contrast against {shown(against)} and similar={similar} exclude each other; give one of them"
        )
    if not isinstance(against, list | tuple) and getattr(against, "ndim", 0) == 0:
        whole_number("contrast against", against)


def similar_classes(logits: torch.Tensor, classes: torch.Tensor, count: int) -> torch.Tensor:
    """The classes whose logits are nearest to those of `classes [B, K]`, the nearest first, `[B, K, count]`.

    Of classes that are equally near the one with the smaller number comes first, on every device.

    Raises:
        FuncamError: there are not that many other classes.

    Example:
        >>> similar_classes(torch.tensor([[3.0, 0.0, 2.0, 1.0]]), torch.tensor([[0]]), 2)
        tensor([[[2, 3]]])
    """
    if not 0 < count < logits.shape[1]:
        raise FuncamError(f"{count} similar classes were asked for; the model has {logits.shape[1] - 1} others")
    distance = (logits[:, None, :] - take(logits, classes)[..., None]).abs()
    return _without(distance, classes, torch.inf).argsort(dim=-1, stable=True)[..., :count]  # topk's ties are anyone's


def _runner_up(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    if logits.shape[1] < 2:
        raise FuncamError("a contrast needs two classes; the model has one")
    return _without(logits[:, None, :].expand(-1, classes.shape[1], -1), classes, -torch.inf).argmax(-1, keepdim=True)


def _without(values: torch.Tensor, classes: torch.Tensor, filling: float) -> torch.Tensor:
    """`values [B, K, N]` with each row's own class out of the running."""
    own = torch.arange(values.shape[-1], device=values.device) == classes[..., None]
    return torch.where(own, filling, values)
