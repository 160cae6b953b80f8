"""Noisy linear imputation: missing pixels as the weighted mean of their neighbours, for many images at once.

The mean of each missing pixel's neighbours is a symmetric positive system of as many equations as pixels are missing.
It is solved by conjugate gradients on the tensors' device, all images, channels and masks together, preconditioned by
one multigrid V-cycle, so that the number of iterations hardly grows with the size of the holes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn.functional import conv2d, conv_transpose2d, max_pool2d, pad

from funcam.errors import FuncamError
from funcam.metrics.checks import as_tensor, check_images
from funcam.metrics.scalars import real

_DIRECT, _DIAGONAL = 1 / 6, 1 / 12  # the paper's weights of the neighbours
_DAMPING = 0.8
_TOLERANCE = 1e-5  # of the residual; the noise that is added is far larger than what is left
_MOST = 200


def impute(
    images: torch.Tensor,
    missing: torch.Tensor,
    *,
    noise: float = 0.01,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Replace missing pixels: each becomes the weighted mean of its 8 neighbours, then noise is added.

    Direct neighbours weigh 1/6, diagonal ones 1/12; at the rim the weights of those that are there are scaled to 1.
    Where an image is missing whole it becomes zeros (and noise).

    Args:
        images: `[n, C, H, W]`.
        missing: bool `[n, H, W]`.
        noise: the standard deviation of what is added to imputed pixels.
        generator: where the noise comes from, on the images' device; None for one of its own with seed 0. Torch's own
            random numbers are left alone.

    Returns:
        `[n, C, H, W]`; pixels that are not missing are as they were.

    Raises:
        FuncamError: the shapes don't belong together, or a value is of the wrong kind.

    Source:
        Rong et al. (ROAD), ICML 2022, arXiv:2202.00449, section 4.2 and appendix C.

    Example:
        >>> impute(torch.tensor([[[[0.0, 7.0, 1.0]]]]), torch.tensor([[[False, True, False]]]), noise=0)
        tensor([[[[0.0000, 0.5000, 1.0000]]]])
    """
    images, missing, noise = as_tensor("images", images), as_tensor("missing", missing), real("noise", noise, 0)
    if images.ndim != 4 or missing.shape != images.shape[:1] + images.shape[2:] or missing.dtype != torch.bool:
        raise FuncamError(
            f"images have shape {list(images.shape)}, missing {list(missing.shape)} ({missing.dtype}); expected "
            "[n, C, H, W] and bool [n, H, W]"
        )
    if not isinstance(generator, torch.Generator | None):
        raise FuncamError(f"generator is {generator!r}; expected a torch.Generator on {images.device}, or None")
    images = check_images(images)
    exact = images.to(torch.promote_types(images.dtype, torch.float32))
    with torch.no_grad():
        filled = _solved(exact, missing[:, None])
        if noise:
            generator = generator or torch.Generator(images.device).manual_seed(0)
            drawn = torch.empty_like(filled)
            for row in drawn:  # row by row, so that the numbers don't depend on the number of images
                row.normal_(generator=generator)
            filled = filled + noise * drawn
    return torch.where(missing[:, None], filled.to(images.dtype), images)


@dataclass(frozen=True)
class _Grid:
    """One level: where unknowns are, `[n, 1, h, w]` in 0 and 1, and the weight of each pixel's neighbours."""

    unknown: torch.Tensor
    degree: torch.Tensor

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """The system's matrix: the weighted difference to the neighbours; `x` is 0 where nothing is missing."""
        return self.unknown * (self.degree * x - _neighbours(x))


def _solved(images: torch.Tensor, missing: torch.Tensor) -> torch.Tensor:
    """The imputed planes `[n, C, H, W]`, zeros where nothing is missing."""
    height, width = images.shape[2:]
    depth = max(0, int(math.log2(min(height, width) / 4))) if min(height, width) >= 4 else 0
    rim = (0, -width % 2**depth, 0, -height % 2**depth)  # known pixels without weight, so that each level halves
    degree = pad(_neighbours(torch.ones_like(images[:1, :1])), rim, value=1.0)
    grids = [_Grid(pad(missing.to(images.dtype), rim), degree.clamp(min=_DIAGONAL))]  # one pixel has no neighbour
    for _ in range(depth):
        whole = -max_pool2d(-grids[-1].unknown, 2)  # a coarse unknown stands for four that are all missing
        grids.append(_Grid(whole, _neighbours(torch.ones_like(whole[:1]))))
    known = torch.where(grids[0].unknown > 0, 0.0, pad(images, rim))  # what is missing may be NaN
    x = _conjugate_gradients(grids, grids[0].unknown * _neighbours(known))
    return x[..., :height, :width]


def _conjugate_gradients(grids: list[_Grid], b: torch.Tensor) -> torch.Tensor:
    """Solves every plane by itself; one that has converged stays as it is."""
    x, r = torch.zeros_like(b), b
    z = p = _v_cycle(grids, r)
    rz, enough = _dot(r, z), _TOLERANCE**2 * _dot(b, b)
    for _ in range(_MOST):
        going = _dot(r, r) > enough
        if not going.any():
            break
        Ap = grids[0].apply(p)
        step = torch.where(going, rz / _dot(p, Ap), 0.0)
        x, r = x + step * p, r - step * Ap
        z = _v_cycle(grids, r)
        rz, before = _dot(r, z), rz
        p = z + torch.where(going, rz / before, 0.0) * p
    return x


def _v_cycle(grids: list[_Grid], r: torch.Tensor) -> torch.Tensor:
    """One symmetric V-cycle from zero: a damped Jacobi step before and after the correction from the coarser grid."""
    grid = grids[0]
    x = _jacobi(grid, r)
    if len(grids) > 1:
        coarse = _v_cycle(grids[1:], grids[1].unknown * _restricted(r - grid.apply(x)))
        x = x + grid.unknown * _prolonged(coarse)
    return x + _jacobi(grid, r - grid.apply(x))


def _jacobi(grid: _Grid, r: torch.Tensor) -> torch.Tensor:
    return _DAMPING * grid.unknown * r / grid.degree


def _neighbours(x: torch.Tensor) -> torch.Tensor:
    """The weighted sum of the 8 neighbours; what is outside counts as nothing."""
    line = pad(x, (1, 1, 1, 1))
    rows = line[..., :-2, :] + line[..., 2:, :]
    sides = line[..., 1:-1, :]
    across = rows[..., :-2] + rows[..., 2:]
    return _DIRECT * (rows[..., 1:-1] + sides[..., :-2] + sides[..., 2:]) + _DIAGONAL * across


def _halves(like: torch.Tensor) -> torch.Tensor:
    """Bilinear weights from a coarse cell to the 4x4 fine ones about it."""
    line = torch.tensor([0.25, 0.75, 0.75, 0.25], dtype=like.dtype, device=like.device)
    return (line[:, None] * line).view(1, 1, 4, 4)


def _restricted(r: torch.Tensor) -> torch.Tensor:
    """The transpose of `_prolonged`."""
    planes = conv2d(r.flatten(0, 1)[:, None], _halves(r), stride=2, padding=1)
    return planes.view(*r.shape[:2], *planes.shape[2:])


def _prolonged(x: torch.Tensor) -> torch.Tensor:
    planes = conv_transpose2d(x.flatten(0, 1)[:, None], _halves(x), stride=2, padding=1)
    return planes.view(*x.shape[:2], *planes.shape[2:])


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a * b).sum((2, 3), keepdim=True)
