"""Methods that weigh the features by their gradient, each for ONE image and ONE class; ``torch.func.vmap`` adds axes.

``A`` is the feature map ``[C, *S]`` and ``g`` the gradient of the class score with respect to it, of the same shape;
the map comes out as ``[*S]``. ``S`` may have one, two or three dimensions.
"""

from __future__ import annotations

import torch
from torch.nn.functional import interpolate

_LINEAR = ("linear", "bilinear", "trilinear")


def grad_cam(A: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """Grad-CAM: ``relu(sum_k w_k A_k)`` with ``w_k`` the mean over space of ``g_k``.

    Args:
        A: features ``[C, *S]``.
        g: gradient of the class score, ``[C, *S]``.

    Returns:
        The map ``[*S]``, not negative, in units of the score.

    Source:
        Selvaraju et al., ICCV 2017, arXiv:1610.02391, Eq. 1 and 2.

    Example:
        >>> grad_cam(torch.ones(2, 3, 3), torch.ones(2, 3, 3)).unique()
        tensor([2.])
    """
    return _weighted_sum(g.flatten(1).mean(1), A)


def grad_cam_pp(A: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """Grad-CAM++: ``w_k = sum(alpha_k relu(g_k))`` with ``alpha = g^2 / (2 g^2 + sum(A) g^3)``.

    Divided by ``g^2`` that is ``w_k = sum(relu(g_k) / (2 + sum(A_k) relu(g_k)))``, which needs no small constant.
    Behind a ReLU ``sum(A_k)`` is not negative and the divisor is at least 2. Elsewhere it may vanish: the equation is
    followed as it stands, and a cell exactly at such a pole is left out. The score goes through an exponential in the
    paper; its factor ``exp(S)`` cancels in alpha and only scales the map, so it is left out.

    Args:
        A: features ``[C, *S]``.
        g: gradient of the class score, ``[C, *S]``.

    Returns:
        The map ``[*S]``, not negative.

    Source:
        Chattopadhay et al., WACV 2018, arXiv:1710.11063, Eq. 19.

    Example:
        >>> grad_cam_pp(torch.ones(1, 1, 2), torch.ones(1, 1, 2))
        tensor([[0.5000, 0.5000]])
    """
    positive = g.relu()
    return _weighted_sum((positive * _alpha(A, positive)).flatten(1).sum(1), A)


def grad_cam_pp_normalised(A: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """Grad-CAM++ as in its authors' code: each channel's alphas are divided by their sum over the cells with ``g > 0``.

    Args:
        A: features ``[C, *S]``.
        g: gradient of the class score, ``[C, *S]``.

    Returns:
        The map ``[*S]``, not negative.

    Source:
        The code published with arXiv:1710.11063 (``misc/utils.py``, ``alpha_normalization_constant``).

    Example:
        >>> grad_cam_pp_normalised(torch.ones(1, 1, 2), torch.ones(1, 1, 2))
        tensor([[1., 1.]])
    """
    positive = g.relu()
    alpha = torch.where(positive > 0, _alpha(A, positive), 0.0).flatten(1)
    total = alpha.sum(1, keepdim=True)
    alpha = alpha / torch.where(total == 0, 1.0, total)
    return _weighted_sum((positive.flatten(1) * alpha).sum(1), A)


def guided_grad_cam(gradient: torch.Tensor, cam: torch.Tensor) -> torch.Tensor:
    """Guided Grad-CAM: guided backpropagation times the map, brought bilinearly to the image's size.

    Args:
        gradient: guided backpropagation of one image and one class, ``[channels, *image size]``.
        cam: a map ``[*S]``; the paper's is Grad-CAM.

    Returns:
        ``[channels, *image size]``, signed.

    Source:
        Selvaraju et al., ICCV 2017, arXiv:1610.02391, section 3.2.

    Example:
        >>> guided_grad_cam(torch.ones(3, 4, 4), torch.tensor([[0.0, 1.0]]))[0, 0]
        tensor([0.0000, 0.2500, 0.7500, 1.0000])
    """
    size = gradient.shape[1:]
    return gradient * interpolate(cam[None, None], list(size), mode=_LINEAR[len(size) - 1], align_corners=False)[0]


def _alpha(A: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
    """Eq. 19 divided by ``g^2``, for the cells where the gradient is positive."""
    divisor = 2 + A.flatten(1).sum(1).view(-1, *[1] * (A.ndim - 1)) * positive
    return torch.where(divisor == 0, 0.0, 1 / torch.where(divisor == 0, 1.0, divisor))


def _weighted_sum(w: torch.Tensor, A: torch.Tensor) -> torch.Tensor:
    """``relu(sum_k w_k A_k)``."""
    return (w @ A.flatten(1)).relu().view(A.shape[1:])
