"""Prototype CAM: what looks like the object, and what looks like the rest, by the image's own features."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from funcam.maps import upsample
from funcam.methods.features import stands_out
from funcam.methods.reduce import at_least_single, positive_sum

_TINY = 1e-12


def prototype_cam(
    A: torch.Tensor, g: torch.Tensor, M: torch.Tensor, *, k: float = 2.0, slope: float = 5.0, floor: float = 0.3
) -> torch.Tensor:
    """Prototype CAM: how much more each cell looks like the object than like the rest of the image.

    A seed map (channels weighted by Grad-CAM's positive weight times FEM's share of cells that stand out) says roughly
    where the object is. The mean direction of the features there is the object's prototype, that of the others the
    rest's; each cell is compared with both, at the layer and at the last layer of the next larger grid.

        s    = relu(sum_k fem_k relu(mean g_k) A_k) / max
        f(x) = unit(sqrt(relu(F(x))))                                      for F = A and F = M
        d_F  = <f(x), unit(sum_x s^2 f) - unit(sum_x (1 - s)^2 f)>
        p    = sigmoid(slope (d_A + d_M std(d_A) / std(d_M)) / 2)
        map  = relu(p - floor) / (1 - floor)

    Boxes round it are much tighter than round any weighted sum of channels (see `docs/comparison.md`), most of all
    when the network is given the image at twice its size.

    Args:
        A: features `[C, *S]`.
        g: gradient of the score there, `[C, *S]`.
        M: features of a finer layer, `[D, *T]`; without channels (`D` 0) the layer stands alone.
        k: how many standard deviations a cell must stand out for the seed.
        slope: of the sigmoid; p is a half where a cell is as much like the object as like the rest.
        floor: the p of a cell that surely is the rest's.

    Returns:
        The map `[*T]` (`[*S]` where the layer stands alone), in 0..1. Zeros where nothing speaks for the class.

    Source:
        funcam. The parts: FEM (Fuad et al., IPTA 2020), Grad-CAM (Selvaraju et al., arXiv:1610.02391); prototypes of
        object and rest as in CREAM (Xu et al., CVPR 2022, arXiv:2205.13922), there learnt from a data set.

    Example:
        >>> A = torch.tensor([[4.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
        >>> prototype_cam(A, torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]), A[:0], k=1.0).round(decimals=2)
        tensor([0.9900, 0.0000, 0.0000])
    """
    A, M = at_least_single(A), at_least_single(M)
    weights = stands_out(A, k) * at_least_single(g).flatten(1).mean(1).relu()
    seed = _unit_peak(positive_sum(A, weights))
    likeness = _contrast(A, seed)
    if M.shape[0]:
        finer, likeness = _contrast(M, _resized(seed, M)), _resized(likeness, M)
        likeness = (likeness + finer * likeness.std() / finer.std().clamp(min=_TINY)) / 2
    raised = (torch.sigmoid(slope * likeness) - floor).relu() / (1 - floor)
    return torch.where(seed.amax() > 0, raised, 0.0)


def _contrast(F: torch.Tensor, seed: torch.Tensor) -> torch.Tensor:
    """How much more each cell is like the seed's prototype than like the rest's, in -1..1, `[*S]`."""
    f = normalize(F.relu().sqrt().flatten(1), dim=0)
    weights = _unit_peak(seed).flatten()
    object_, rest = (normalize((f * w**2).sum(1), dim=0) for w in (weights, 1 - weights))
    likeness: torch.Tensor = (object_ - rest) @ f
    return likeness.view(F.shape[1:])


def _resized(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return upsample(values[None], like.shape[1:])[0]


def _unit_peak(values: torch.Tensor) -> torch.Tensor:
    return values / values.amax().clamp(min=_TINY)
