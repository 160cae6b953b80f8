"""The gradient methods where the gradient is uniform, the same in every cell: products of matrices for many classes.

It is uniform behind the mean over space and one linear layer. Each function is for ONE image and K scores at once: `A`
are the features `[C, *S]`, `w` is what the gradient is in every cell, `[K, C]`; the maps come out as `[K, *S]`, and no
`[K, C, *S]` is ever held. Each is the method of its name in `funcam.methods.gradient`, of `g` that is `w` everywhere.
"""

from __future__ import annotations

from collections.abc import Callable

import torch


def cam(A: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """CAM: the sum over the cells is their number times `w`."""
    return _weighted(A, w * A[0].numel())


def grad_cam(A: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Grad-CAM: the mean over the cells is `w`. HiResCAM is the same, each cell weighed by its own `w`."""
    return _weighted(A, w)


def grad_cam_pp(A: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Grad-CAM++: the same alpha in every cell, made of `sum(A_k)`."""
    positive = w.relu()
    divisor = _divisor(A, positive)
    return _weighted(A, (positive / divisor).masked_fill_(divisor == 0, 0)) * A[0].numel()


def grad_cam_pp_normalised(A: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Grad-CAM++ as in its authors' code: alphas that are all alike, divided by their sum; at a pole none."""
    positive = w.relu()
    return _weighted(A, torch.where(_divisor(A, positive) == 0, 0.0, positive))


def xgrad_cam(A: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """XGrad-CAM: the mean of `w` weighted by the features is `w`, and zero where they add up to nothing."""
    return _weighted(A, torch.where(A.flatten(1).sum(1) == 0, 0.0, w))


def layer_cam(A: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """LayerCAM: the positive part of `w`."""
    return _weighted(A, w.relu())


def element_wise_grad_cam(A: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Element-wise Grad-CAM: `relu(w A)` is `relu(w) relu(A) + relu(-w) relu(-A)`, two products."""
    return _weighted(A.relu(), w.relu()) + _weighted((-A).relu(), (-w).relu())


def finer_cam(A: torch.Tensor, w: torch.Tensor, similar_w: torch.Tensor, *, gamma: float = 0.6) -> torch.Tensor:
    """Finer-CAM: Grad-CAM of the difference; `similar_w` is `[K, m, C]`."""
    return _weighted(A, w - gamma * similar_w.mean(1))


OF_UNIFORM: dict[str, Callable[..., torch.Tensor]] = {
    "cam": cam,
    "grad-cam": grad_cam,
    "grad-cam++": grad_cam_pp,
    "grad-cam++-normalised": grad_cam_pp_normalised,
    "smooth-grad-cam++": grad_cam_pp,  # no noise changes the gradient
    "xgrad-cam": xgrad_cam,
    "hires-cam": grad_cam,
    "element-wise-grad-cam": element_wise_grad_cam,
    "layer-cam": layer_cam,
    "finer-cam": finer_cam,
}
"""By the method's name in the table."""


def _weighted(A: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """`relu(sum_k w_k A_k)` for each row of weights."""
    return (weights @ A.flatten(1)).relu().view(-1, *A.shape[1:])


def _divisor(A: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
    """What Eq. 19 divides by, divided by `g^2`; at its pole it is zero.

    (Written into in place: of a thousand rows of two thousand channels every new tensor costs more than its numbers.)
    """
    return (A.flatten(1).sum(1) * positive).add_(2)
