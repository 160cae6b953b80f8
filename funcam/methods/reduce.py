"""How weighted channels become a map: a sum, or the first principal component of the terms (eigen smoothing).

Every method that weighs channels takes one of these as `reduce=`. A reduction is given terms `A` `[C, *S]` and
weights `w` `[C]` (or None for 1) and returns `[*S]`; `torch.func.vmap` adds images and classes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from funcam.errors import FuncamError

Reduce = Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]


def positive_sum(A: torch.Tensor, w: torch.Tensor | None = None) -> torch.Tensor:
    """`relu(sum_k w_k A_k)`.

    Args:
        A: terms `[C, *S]`.
        w: channel weights `[C]`; None for 1.

    Returns:
        The map `[*S]`, not negative.

    Example:
        >>> positive_sum(torch.tensor([[1.0, 2.0], [4.0, 0.0]]), torch.tensor([1.0, -1.0]))
        tensor([0., 2.])
    """
    return signed_sum(A, w).relu()


def signed_sum(A: torch.Tensor, w: torch.Tensor | None = None) -> torch.Tensor:
    """`sum_k w_k A_k`, a matrix product, so that `vmap` over many classes never holds `w_k A_k`.

    Args:
        A: terms `[C, *S]`.
        w: channel weights `[C]`; None for 1.

    Returns:
        The map `[*S]`, signed.

    Example:
        >>> signed_sum(torch.tensor([[1.0, 2.0], [4.0, 0.0]]), torch.tensor([1.0, -1.0]))
        tensor([-3.,  2.])
    """
    return A.sum(0) if w is None else (w @ A.flatten(1)).view(A.shape[1:])


def first_component(A: torch.Tensor, w: torch.Tensor | None = None) -> torch.Tensor:
    """Eigen smoothing: the terms `w_k A_k`, centred over the cells, projected on their first principal axis.

    A principal axis has no sign of its own. The rule: the map's inner product with `signed_sum(A, w)` is not
    negative; where it is zero, the cell of largest magnitude is positive.

    Args:
        A: terms `[C, *S]`.
        w: channel weights `[C]`; None for 1.

    Returns:
        The map `[*S]`, signed, with mean zero.

    Source:
        Eigen smoothing as in the package grad-cam (`eigen_smooth=True`), whose sign is left to chance.

    Example:
        >>> first_component(torch.tensor([[0.0, 2.0], [0.0, 0.0]])).round(decimals=3)
        tensor([-1.,  1.])
    """
    terms = A if w is None else A * w.view(-1, *[1] * (A.ndim - 1))
    return oriented(principal_map(terms, centre=True), signed_sum(A, w))


def eigen_smoothed(method: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """The method with its channels reduced by `first_component`.

    Args:
        method: any method that takes `reduce`.

    Raises:
        FuncamError: the method has no weighted channels.

    Example:
        >>> from funcam.methods.gradient import grad_cam
        >>> A = torch.tensor([[0.0, 2.0]])
        >>> eigen_smoothed(grad_cam)(A, torch.ones(1, 2))
        tensor([-1.,  1.])
    """
    try:
        takes: Any = inspect.signature(method).parameters
    except (TypeError, ValueError):  # torch's own functions have no signature
        takes = ()
    if "reduce" not in takes:
        name: Any = getattr(method, "__name__", repr(method))
        raise FuncamError(
            f"{name} has no weighted channels to smooth; eigen smoothing takes a method with a `reduce` option, "
            "such as grad_cam"
        )
    return partial(method, reduce=first_component)


def principal_map(A: torch.Tensor, *, centre: bool) -> torch.Tensor:
    """The matrix cells x channels projected on its first right singular vector, `[C, *S] -> [*S]`, of either sign.

    It is the first left singular vector times its singular value, taken from the Gram matrix of the smaller side:
    49 x 49 in place of 49 x 2048.

    Example:
        >>> principal_map(torch.tensor([[3.0, 0.0], [4.0, 0.0]]), centre=False).abs()
        tensor([5., 0.])
    """
    X = at_least_single(A).flatten(1).T
    if centre:
        X = centred(X)
    scale = X.abs().amax()
    X = X / torch.where(scale == 0, 1.0, scale)  # else the squares of small gradients underflow
    if X.shape[0] <= X.shape[1]:
        values, vectors = eigh(X @ X.T)
        projection: torch.Tensor = values[-1].clamp(min=0).sqrt() * vectors[:, -1]
    else:
        projection = X @ eigh(X.T @ X)[1][:, -1]
    return (projection * scale).view(A.shape[1:]).to(A.dtype)


def eigh(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Eigenvalues and eigenvectors of a symmetric matrix; NaN where it is not finite, for which LAPACK raises.

    Example:
        >>> eigh(torch.tensor([[2.0]])), eigh(torch.tensor([[torch.inf]]))
        ((tensor([2.]), tensor([[1.]])), (tensor([nan]), tensor([[nan]])))
    """
    finite = matrix.isfinite().all()
    values, vectors = torch.linalg.eigh(torch.where(finite, matrix, 0.0))
    return torch.where(finite, values, torch.nan), torch.where(finite, vectors, torch.nan)


def oriented(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A map or its negative: the one whose inner product with `like` is positive, else with the larger maximum.

    Example:
        >>> oriented(torch.tensor([1.0, -2.0]), torch.tensor([0.0, 1.0]))
        tensor([-1.,  2.])
    """
    along = (values * like).sum()
    sign = torch.where(along == 0, values.amax() + values.amin(), along)
    return torch.where(sign < 0, -values, values)


def centred(X: torch.Tensor) -> torch.Tensor:
    """Columns less their mean. The first row goes first: what is constant becomes exactly zero, not rounding noise.

    Example:
        >>> centred(torch.tensor([[0.1, 1.0], [0.1, 3.0]]))
        tensor([[ 0., -1.],
                [ 0.,  1.]])
    """
    X = X - X[:1]
    return X - X.mean(0)


def at_least_single(tensor: torch.Tensor) -> torch.Tensor:
    """Half precision made single: factorizations don't exist for it, and sums over channels lose their digits.

    Example:
        >>> at_least_single(torch.ones(1, dtype=torch.bfloat16)).dtype
        torch.float32
    """
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
