"""Targets of other tasks than classification: a segmentation's class, another embedding, a number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch.nn.functional import cosine_similarity

from funcam.errors import FuncamError, shown, whole_number
from funcam.recipe import Scores
from funcam.targets.concrete import as_tensor
from funcam.targets.probabilities import check_scores
from funcam.targets.target import Output, PerImage, as_columns, check_output, logits_of


def segmentation(
    category: int,
    mask: torch.Tensor | Sequence[Any] | None = None,
    *,
    output: Output = "out",
    scores: Scores | None = None,
) -> PerImage:
    """Explain a class of a segmentation: the mean of its scores over a mask.

    Args:
        category: the class.
        mask: `[B, *size]` or `[*size]`, what to count of each image; None for the cells where the class wins (of a
            single class: where it is likelier than not).
        output: where the scores `[B, N, *size]` are in what the model returns; `"out"` is torchvision's, unless
            `explain` is told another.
        scores: of a single class without a mask, whether its scores are logits (`sigmoid`) or probabilities (`none`);
            None for probabilities where all of them lie in 0..1.

    Raises:
        FuncamError: there is no such class, or the mask has another size or is none.

    Example:
        >>> target = segmentation(1, torch.eye(4))
        >>> target({"out": torch.ones(2, 3, 4, 4)})
        tensor([1., 1.])
    """
    category = whole_number("category", category, 0)
    check_output(output)
    said = check_scores(scores)

    def score(outputs: Any, *masks: torch.Tensor) -> torch.Tensor:
        scores = logits_of(outputs, output if isinstance(outputs, Mapping) or output != "out" else None)
        if scores.ndim == 3 and not masks:
            raise FuncamError(
                f"the scores have shape {list(scores.shape)}: without an axis of classes give it one, [B, 1, H, W]: "
                "funcam.segmentation(0, output=lambda out: out[:, None]); of a signal, [B, N, T], give a mask [T]"
            )
        if scores.ndim < 3 or not 0 <= category < scores.shape[1]:
            raise FuncamError(
                f"class {category} is not in scores of shape {list(scores.shape)}; expected [B, N, *size]"
            )
        if masks and (masks[0].shape[1:] != scores.shape[2:] or len(masks[0]) not in (1, len(scores))):
            raise FuncamError(
                f"the mask is {list(masks[0].shape[1:])}; the model's scores are {list(scores.shape[2:])}, and masks "
                f"come one for each of the {len(scores)} images or one for all ({len(masks[0])} were given)"
            )
        counted = masks[0] if masks else _predicted(scores.detach(), category, said)
        weights = counted.to(scores.dtype).flatten(1)
        return (scores[:, category].flatten(1) * weights).sum(1) / weights.sum(1).clamp(min=1)

    at = None if output != "out" else lambda place: segmentation(category, mask, output=place, scores=scores)
    if mask is None:
        return PerImage(score, (), at, f"segmentation of class {category}")
    masks = _as_tensor("mask", mask)
    if masks.ndim < 2:
        raise FuncamError(f"the mask has shape {list(masks.shape)}; expected [B, *size] or [*size]")
    return PerImage(score, (masks if masks.ndim > 2 else masks[None],), at, f"segmentation of class {category}")


def _predicted(scores: torch.Tensor, category: int, said: Scores | None) -> torch.Tensor:
    """The cells where a class wins against the others, `[B, *size]`; a single one against its absence."""
    if scores.shape[1] > 1:
        return scores.argmax(1) == category
    half, likely = scores > 0.5, scores > 0
    if said is None:
        probabilities = ((scores >= 0) & (scores <= 1)).flatten(1).all(1).view(-1, *[1] * (scores.ndim - 1))
        return torch.where(probabilities, half, likely)[:, 0]
    return (half if said == "none" else likely)[:, 0]


def similarity(embedding: torch.Tensor | Sequence[Any], *, output: Output = None) -> PerImage:
    """Explain how like another embedding (of an image or a text) an image's is: the cosine of their angle.

    Args:
        embedding: `[D]` the same for all images, `[B, D]` one for each, or `[B, K, D]` K for each; as the model's, with
            axes of one cell behind them where it was pooled.
        output: where the embedding `[B, D]` is in what the model returns.

    Raises:
        FuncamError: it is no embedding, or the model's has another length.

    Example:
        >>> similarity(torch.tensor([1.0, 0.0]))(torch.tensor([[2.0, 0.0], [0.0, 3.0]]))
        tensor([1., 0.])
    """

    def score(outputs: Any, others: torch.Tensor) -> torch.Tensor:
        own = logits_of(outputs, output)
        own = own.flatten(1) if own.ndim > 2 and own.shape[2:].numel() == 1 else own  # pooled, and left at that
        if own.ndim != 2 or own.shape[1] != others.shape[-1] or len(others) not in (1, len(own)):
            raise FuncamError(
                f"the model's embedding has shape {list(own.shape)}, the other one {list(others.shape)}; expected "
                f"[B, {others.shape[-1]}], and of the other ones one for each image or one for all"
            )
        return cosine_similarity(own if others.ndim == 2 else own[:, None], others, dim=-1)

    check_output(output)
    others = _as_tensor("embedding", embedding)
    if others.ndim > 3 and others.shape[2:].numel() == 1:
        others = others.flatten(1)
    if others.ndim == 3 and others.shape[1:].numel() == 1:
        others = others.flatten()
    if not 1 <= others.ndim <= 3 or others.dtype == torch.bool:
        raise FuncamError(
            f"the embedding has shape {list(others.shape)} and type {others.dtype}; expected numbers, [D], [B, D] or "
            "[B, K, D]"
        )
    others = others if others.is_floating_point() else others.float()
    at = None if output is not None else lambda place: similarity(embedding, output=place)
    return PerImage(score, (others if others.ndim > 1 else others[None],), at, "similarity")


def regression(index: int = 0, *, output: Output = None) -> Callable[[Any], torch.Tensor]:
    """Explain a number that the model returns: `[B]`, or column `index` of `[B, N]`.

    Args:
        index: the column.
        output: where the numbers are in what the model returns.

    Raises:
        FuncamError: there is no such column.

    Example:
        >>> regression(1)(torch.tensor([[1.0, 2.0]]))
        tensor([2.])
    """
    index = whole_number("index", index, 0)
    check_output(output)

    def number(outputs: Any) -> torch.Tensor:
        values = as_columns(logits_of(outputs, output))
        if values.ndim != 2 or not 0 <= index < values.shape[1]:
            raise FuncamError(f"column {index} is not in an output of shape {list(values.shape)}; expected [B, N]")
        return values[:, index]

    at = None if output is not None else lambda place: cast("PerImage", regression(index, output=place))
    return PerImage(number, (), at, f"output {index}")


def _as_tensor(what: str, values: Any) -> torch.Tensor:
    try:
        tensor = as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise FuncamError(f"the {what} is {shown(values)}; expected a tensor, an array or lists of numbers") from error
    if tensor.is_complex():
        raise FuncamError(f"the {what} has type {tensor.dtype}; expected real numbers")
    return tensor
