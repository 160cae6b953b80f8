"""Targets of other tasks than classification: a segmentation's class, another embedding, a number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn.functional import cosine_similarity

from funcam.errors import FuncamError
from funcam.targets.target import Output, PerImage, as_columns, logits_of


def segmentation(category: int, mask: torch.Tensor | None = None, *, output: Output = "out") -> PerImage:
    """Explain a class of a segmentation: the mean of its scores over a mask.

    Args:
        category: the class.
        mask: `[B, *size]` or `[*size]`, what to count of each image; None for the cells where the class wins.
        output: where the scores `[B, N, *size]` are in what the model returns; `"out"` is torchvision's.

    Raises:
        FuncamError: there is no such class, or the mask has another size.

    Example:
        >>> target = segmentation(1, torch.eye(4))
        >>> target({"out": torch.ones(2, 3, 4, 4)})
        tensor([1., 1.])
    """

    def score(outputs: Any, *masks: torch.Tensor) -> torch.Tensor:
        scores = logits_of(outputs, output if isinstance(outputs, Mapping) or output != "out" else None)
        if scores.ndim < 3 or not 0 <= category < scores.shape[1]:
            raise FuncamError(
                f"class {category} is not in scores of shape {list(scores.shape)}; expected [B, N, *size]"
            )
        if masks and masks[0].shape[1:] != scores.shape[2:]:
            raise FuncamError(
                f"the mask is {list(masks[0].shape[1:])}; the model's scores are {list(scores.shape[2:])}"
            )
        counted = masks[0] if masks else (scores.detach().argmax(1) == category)
        weights = counted.to(scores.dtype).flatten(1)
        return (scores[:, category].flatten(1) * weights).sum(1) / weights.sum(1).clamp(min=1)

    if mask is None:
        return PerImage(score, ())
    return PerImage(score, (mask if mask.ndim > 2 else mask[None],))


def similarity(embedding: torch.Tensor, *, output: Output = None) -> PerImage:
    """Explain how like another embedding (of an image or a text) an image's is: the cosine of their angle.

    Args:
        embedding: `[D]` the same for all images, `[B, D]` one for each, or `[B, K, D]` K for each.
        output: where the embedding `[B, D]` is in what the model returns.

    Raises:
        FuncamError: the model's embedding has another length.

    Example:
        >>> similarity(torch.tensor([1.0, 0.0]))(torch.tensor([[2.0, 0.0], [0.0, 3.0]]))
        tensor([1., 0.])
    """

    def score(outputs: Any, others: torch.Tensor) -> torch.Tensor:
        found = logits_of(outputs, output)
        if found.ndim != 2 or found.shape[1] != others.shape[-1]:
            raise FuncamError(
                f"the model's embedding has shape {list(found.shape)}, the other one {list(others.shape)}; expected "
                f"[B, {others.shape[-1]}]"
            )
        return cosine_similarity(found if others.ndim == 2 else found[:, None], others, dim=-1)

    return PerImage(score, (embedding if embedding.ndim > 1 else embedding[None],))


def regression(index: int = 0, *, output: Output = None) -> Callable[[Any], torch.Tensor]:
    """Explain a number that the model returns: `[B]`, or column `index` of `[B, N]`.

    Raises:
        FuncamError: there is no such column.

    Example:
        >>> regression(1)(torch.tensor([[1.0, 2.0]]))
        tensor([2.])
    """

    def number(outputs: Any) -> torch.Tensor:
        values = as_columns(logits_of(outputs, output))
        if values.ndim != 2 or not 0 <= index < values.shape[1]:
            raise FuncamError(f"column {index} is not in an output of shape {list(values.shape)}; expected [B, N]")
        return values[:, index]

    return number
