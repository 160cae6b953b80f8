"""Methods that read the whole network, not one layer, each for ONE image and ONE class; `torch.func.vmap` adds axes.

Their inputs are made in `funcam.network.rewrites`, by `attention` (LeGrad) and `biases` (FullGrad).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import interpolate

_LINEAR = ("linear", "bilinear", "trilinear")


def le_grad(gradients: Sequence[torch.Tensor]) -> torch.Tensor:
    """LeGrad: the positive part of the gradient of each attention map, its mean over heads, queries and layers.

    The paper rescales the map to 0 to 1 at the end; here it keeps its values.

    Args:
        gradients: for each layer `[heads, T, *S]`, the gradient of the layer's own score with respect to its
            attention map: T query tokens (all of them, class token included), key tokens on the grid S.

    Returns:
        The map `[*S]`, not negative, in units of the score.

    Source:
        Bousselham et al., arXiv:2404.03214, section 3.

    Example:
        >>> le_grad([torch.tensor([[[2.0, -2.0]]]), torch.tensor([[[0.0, 1.0]]])])
        tensor([1.0000, 0.5000])
    """
    layers = [gradient.relu().flatten(0, 1).mean(0) for gradient in gradients]
    return torch.stack(layers).mean(0)


def full_grad(image_term: torch.Tensor, bias_terms: Sequence[torch.Tensor]) -> torch.Tensor:
    """FullGrad: `psi(x * dS/dx) + sum over layers l and channels c of psi(b_l * dS/db_l)_c`.

    `psi` takes the absolute value, rescales it to 0 to 1 and brings it to the image's size, linearly. As in the
    authors' code, it is rescaled over all channels and cells of a layer together, so a layer's channels keep their
    proportions, and the terms of layers without spatial extent (fully connected ones) are left out. Unlike there, a
    constant term gives zeros without a small number in the divisor, and corners are not aligned in resizing.

    Args:
        image_term: `[channels, *size]`, the image times its gradient.
        bias_terms: for each layer `[C_l, *S_l]`, its bias times the gradient there; `[C_l]` is left out.

    Returns:
        The map `[*size]`, not negative.

    Source:
        Srinivas and Fleuret, NeurIPS 2019, arXiv:1905.00780, section 4; the rescaling is that of the code published
        with it (`saliency/fullgrad.py`).

    Example:
        >>> full_grad(torch.tensor([[0.0, 0.0, 1.0, -2.0]]), [torch.tensor([[0.0, 3.0]]), torch.tensor([5.0])])
        tensor([0.0000, 0.2500, 1.2500, 2.0000])
    """
    size = image_term.shape[1:]
    total = _rescaled(image_term).sum(0)
    for term in bias_terms:
        if term.ndim == image_term.ndim:
            channels = _rescaled(term).sum(0)  # resizing is linear: the sum over channels may come first
            resized = interpolate(channels[None, None], list(size), mode=_LINEAR[len(size) - 1], align_corners=False)
            total = total + resized[0, 0]
    return total


def _rescaled(term: torch.Tensor) -> torch.Tensor:
    """The absolute value, rescaled to 0 to 1 over all channels and cells; zeros where it is constant."""
    strength = term.abs()
    strength = strength - strength.amin()
    top = strength.amax()
    return strength / torch.where(top > 0, top, 1.0)
