"""Deep Feature Factorization: features as a sum of a few non-negative concepts, each with a map for each image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from funcam.methods.perturbation import check_counts
from funcam.methods.reduce import at_least_single, eigh


@dataclass(frozen=True, eq=False)
class Factors:
    """`A[b, c] = sum_f maps[b, f] concepts[f, c]`, approximately. Made by `deep_feature_factorization`.

    Attributes:
        maps: where each concept is, `[B, F, *S]`, not negative; they carry the magnitude.
        concepts: which channels it is made of, `[F, C]`, not negative, each of length 1 (or zero), strongest first.
    """

    maps: torch.Tensor
    concepts: torch.Tensor


def deep_feature_factorization(A: torch.Tensor, *, factors: int = 5, iterations: int = 100) -> Factors:
    """Non-negative factors of the features of one or many images: what the images share, and where it is.

    `relu(A)`, a matrix of cells x channels, is factorized so that the squared error is small: it starts from the
    singular vectors (NNDSVD), so it needs no random numbers, and each step is the best one for one factor (HALS), so
    the error never grows. Factors beyond the rank of the features are zero.

    Args:
        A: features `[B, C, *S]`; negative values are taken for zero.
        factors: how many concepts.
        iterations: how often every factor is improved.

    Returns:
        The maps and the concepts.

    Raises:
        FuncamError: no factor is asked for.

    Source:
        Collins, Achanta and Süsstrunk, ECCV 2018, arXiv:1806.10206, section 3; HALS by Cichocki and Phan, 2009;
        NNDSVD by Boutsidis and Gallopoulos, 2008.

    Example:
        >>> A = torch.tensor([[[0.0, 0.0, 2.0], [1.0, 0.0, 0.0]]])  # two channels that are never active together
        >>> parts = deep_feature_factorization(A, factors=2)
        >>> parts.maps[0].round(decimals=3)
        tensor([[0., 0., 2.],
                [1., 0., 0.]])
        >>> parts.concepts.round(decimals=3)
        tensor([[1., 0.],
                [0., 1.]])
    """
    check_counts(factors=factors)
    cells = at_least_single(A).relu().movedim(1, -1)
    V = cells.flatten(0, -2)
    scale = V.amax()
    V = V / torch.where(scale == 0, 1.0, scale)
    H, W = _singular_start(V, factors)
    for _ in range(iterations):
        W = _improved(W, H @ V, H @ H.T)
        H = _improved(H, W @ V.T, W @ W.T)
    length = W.norm(dim=1, keepdim=True)
    H, W = H * length * scale, W / torch.where(length == 0, 1.0, length)
    order = H.norm(dim=1).argsort(descending=True)
    return Factors(H[order].unflatten(1, cells.shape[:-1]).transpose(0, 1), W[order])


def dff(
    head: Callable[[torch.Tensor], torch.Tensor],
    A: torch.Tensor,
    *,
    factors: int = 5,
    iterations: int = 100,
    chunk: int = 32,
) -> torch.Tensor:
    """For each class the map of the concept that, on its own, gives the class its highest score.

    The image's features are factorized; each factor alone is made into features again, `maps[f] concepts[f]`, and
    the head says which classes it speaks for. Several classes may share a map.

    Args:
        head: the rest of the network, `[n, C, *S]` -> scores `[n, K]`.
        A: features of one image, `[C, *S]`.
        factors: how many concepts.
        iterations: how often every factor is improved.
        chunk: the number of rows for one call of the head.

    Returns:
        `[K, *S]`, not negative.

    Raises:
        FuncamError: no factor, or a chunk of less than one row, is asked for.

    Source:
        Collins, Achanta and Süsstrunk, ECCV 2018, arXiv:1806.10206; the package grad-cam labels concepts with the
        classifier in the same way.

    Example:
        >>> A = torch.tensor([[0.0, 0.0, 2.0], [1.0, 0.0, 0.0]])
        >>> dff(lambda rows: rows.sum(2), A, factors=2).round(decimals=3)
        tensor([[0., 0., 2.],
                [1., 0., 0.]])
    """
    check_counts(chunk=chunk)
    shared = deep_feature_factorization(A[None], factors=factors, iterations=iterations)
    maps, concepts = shared.maps[0], shared.concepts.view(factors, -1, *[1] * (A.ndim - 1))
    parts = zip(torch.split(maps, chunk), torch.split(concepts, chunk), strict=True)
    scores = torch.cat([head((H[:, None] * W).to(A.dtype)) for H, W in parts])
    empty = maps.flatten(1).amax(1) == 0
    return maps[torch.where(empty[:, None], -torch.inf, scores).argmax(0)]


def _singular_start(V: torch.Tensor, factors: int) -> tuple[torch.Tensor, torch.Tensor]:
    """NNDSVD: of each singular pair of `V` `[n, C]` its positive or its negative part, the one that holds more.

    Returns `[F, n]` and `[F, C]`, zero beyond the rank.
    """
    wide = V if V.shape[0] <= V.shape[1] else V.T
    values, vectors = eigh(wide @ wide.T)
    sigma = values.flip(0)[:factors].clamp(min=0).sqrt()
    u = vectors.T.flip(0)[:factors]
    u = torch.where(sigma[:, None] > sigma[0] * 1e-4, u, 0.0)  # what is smaller is rounding
    v = u @ wide / torch.where(sigma == 0, 1.0, sigma)[:, None]
    parts = [(side * u).relu() for side in (1, -1)], [(side * v).relu() for side in (1, -1)]
    held = torch.stack([a.norm(dim=1) * b.norm(dim=1) for a, b in zip(*parts, strict=True)])
    positive = (held[0] >= held[1])[:, None]
    size = (sigma * held.amax(0)).sqrt()[:, None]
    starts = []
    for part in parts:
        chosen = torch.where(positive, part[0], part[1])
        length = chosen.norm(dim=1, keepdim=True)
        start = size * chosen / torch.where(length == 0, 1.0, length)
        starts.append(torch.cat([start, start.new_zeros(factors - len(start), start.shape[1])]))
    return (starts[0], starts[1]) if wide is V else (starts[1], starts[0])


def _improved(X: torch.Tensor, target: torch.Tensor, gram: torch.Tensor) -> torch.Tensor:
    """HALS: each row of `X` in turn the best non-negative one, the others held, for `gram X` against `target`."""
    rows = list(X)
    for f in range(len(rows)):
        own = gram[f, f]
        step = (target[f] - gram[f] @ torch.stack(rows)) / torch.where(own == 0, 1.0, own)
        rows[f] = torch.where(own == 0, rows[f], (rows[f] + step).relu())
    return torch.stack(rows)
