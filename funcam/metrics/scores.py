"""The score of a class for many changed images, in chunks: what every faithfulness metric asks of a network."""

from __future__ import annotations

from collections.abc import Callable

import torch

from funcam.errors import FuncamError
from funcam.methods.perturbation import check_counts

Network = Callable[[torch.Tensor], torch.Tensor]
Score = Callable[[torch.Tensor], torch.Tensor]


def probabilities(logits: torch.Tensor) -> torch.Tensor:
    """The softmax over classes, the score of most faithfulness metrics: `[n, N] -> [n, N]`.

    Example:
        >>> probabilities(torch.zeros(1, 4))
        tensor([[0.2500, 0.2500, 0.2500, 0.2500]])
    """
    return logits.softmax(-1)


def identity(logits: torch.Tensor) -> torch.Tensor:
    """The logits themselves as the score: `[n, N] -> [n, N]`.

    Example:
        >>> identity(torch.ones(1, 2))
        tensor([[1., 1.]])
    """
    return logits


def class_scores(
    network: Network, rows: Callable[[slice], torch.Tensor], targets: torch.Tensor, score: Score, chunk: int
) -> torch.Tensor:
    """The score of a class for each of R rows, which are made when their turn comes; no gradients are kept.

    Args:
        network: images `[n, ...]` -> logits `[n, N]`.
        rows: a slice of the R rows -> their images `[n, ...]`; they may be overwritten by the next.
        targets: `[R]`, the class of each row.
        score: logits -> scores, both `[n, N]`.
        chunk: how many rows go through the network at a time.

    Returns:
        `[R]`, in single precision at least.

    Raises:
        FuncamError: the network gives no `[n, N]`, there is no such class, or the chunk is less than one row.
    """
    check_counts(chunk=chunk)
    found: list[torch.Tensor] = []
    with torch.no_grad():
        for first in range(0, len(targets), chunk):
            part = slice(first, min(first + chunk, len(targets)))
            logits = network(rows(part))
            if not found:
                _check_logits(logits, part.stop, targets)
            exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
            found.append(score(exact).gather(1, targets[part, None].to(exact.device))[:, 0])
    return torch.cat(found)


def _check_logits(logits: torch.Tensor, rows: int, targets: torch.Tensor) -> None:
    if logits.ndim != 2 or len(logits) != rows:
        raise FuncamError(f"the network gave {list(logits.shape)} for {rows} images; expected logits [{rows}, N]")
    if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < logits.shape[1]:
        raise FuncamError(
            f"targets go from {int(targets.min())} to {int(targets.max())}; expected classes 0 to {logits.shape[1] - 1}"
        )
