"""Methods that need the features alone, each for ONE image; no class and no gradient enters.

`A` is the feature map `[C, *S]`; the map comes out as `[*S]`. `S` may have one, two or three dimensions.
"""

from __future__ import annotations

from typing import Literal

import torch

from funcam.errors import FuncamError, nearest
from funcam.methods.reduce import (
    Reduce,
    at_least_single,
    centred,
    eigh,
    oriented,
    positive_sum,
    principal_map,
)

KERNELS = ("sigmoid", "rbf")


def eigen_cam(A: torch.Tensor, *, centre: bool = False) -> torch.Tensor:
    """Eigen-CAM: the features, cells x channels, projected on their first right singular vector.

    The paper's matrix is not centred; behind a ReLU the map is then nowhere negative. The package grad-cam subtracts
    each channel's mean over the cells first (`centre=True`), which gives a signed map of mean zero. A singular
    vector has no sign of its own. The rule: the map's inner product with `sum_k A_k` is not negative.

    Args:
        A: features `[C, *S]`.
        centre: whether each channel's mean is subtracted first.

    Returns:
        The map `[*S]`; signed, unless the features are not negative and not centred.

    Source:
        Muhammad and Yeasin, IJCNN 2020, arXiv:2008.00299, section III.

    Example:
        >>> eigen_cam(torch.tensor([[3.0, 0.0], [4.0, 0.0]]))
        tensor([5., 0.])
    """
    return oriented(principal_map(A, centre=centre), A.sum(0))


def kpca_cam(
    A: torch.Tensor, *, kernel: Literal["sigmoid", "rbf"] = "sigmoid", gamma: float | None = None, offset: float = 1.0
) -> torch.Tensor:
    """KPCA-CAM: the first component of a kernel PCA of the cells, each a point with C coordinates.

    Each channel is centred over the cells, as in the authors' code; then `k(x, y) = tanh(gamma x.y + offset)`
    (sigmoid) or `exp(-gamma |x - y|^2)` (rbf), and the kernel matrix is centred in turn. The sign follows Eigen-CAM's
    rule. The kernel matrix has a row and a column for each cell: for layers of some thousand cells at most.

    Args:
        A: features `[C, *S]`.
        kernel: `sigmoid` or `rbf`.
        gamma: the kernel's coefficient; None for 1 / C (sigmoid, the authors' choice) or 1 / (C var(A)) (rbf, which
            would otherwise see no neighbours where the features are large).
        offset: the sigmoid kernel's constant.

    Returns:
        The map `[*S]`, signed, with mean zero.

    Raises:
        FuncamError: an unknown kernel.

    Source:
        Karmani et al., MMSP 2024, arXiv:2410.00267, section III.

    Example:
        >>> kpca_cam(torch.tensor([[0.0, 0.0, 3.0]])).sign()
        tensor([-1., -1.,  1.])
    """
    X = centred(at_least_single(A).flatten(1).T)
    K = _kernel_matrix(X, kernel, gamma, offset)
    K = centred(centred(K).T)
    values, vectors = eigh((K + K.T) / 2)
    component = values[-1].clamp(min=0).sqrt() * vectors[:, -1]
    return oriented(component.view(A.shape[1:]).to(A.dtype), A.sum(0))


def _kernel_matrix(X: torch.Tensor, kernel: str, gamma: float | None, offset: float) -> torch.Tensor:
    products = X @ X.T
    squares = products.diagonal()
    if kernel == "sigmoid":
        return torch.tanh((1 / X.shape[1] if gamma is None else gamma) * products + offset)
    if kernel == "rbf":
        distances = (squares[:, None] + squares - 2 * products).clamp(min=0)
        spread = squares.mean()  # C var(A), the columns being centred
        return torch.exp(-distances / torch.where(spread == 0, 1.0, spread) if gamma is None else -gamma * distances)
    raise FuncamError(
        f"unknown kernel {kernel!r}; expected one of {', '.join(KERNELS)} (nearest: {nearest(kernel, KERNELS, 1)})"
    )


def fem(A: torch.Tensor, *, k: float = 2.0, reduce: Reduce = positive_sum) -> torch.Tensor:
    """FEM: channels weighted by the share of their cells that stand out, `A_k > mean(A_k) + k std(A_k)`.

    Mean and (population) standard deviation are over the channel's cells. A constant channel weighs nothing.

    Args:
        A: features `[C, *S]`.
        k: how many standard deviations a cell must stand out. No more than `1 / k^2` of the cells can.
        reduce: how the weighted channels become a map.

    Returns:
        The map `[*S]`, not negative by default.

    Source:
        Fuad et al., IPTA 2020, "Features understanding in 3D CNNs for actions recognition in video" (HAL
        hal-02963298), section III.

    Example:
        >>> fem(torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.0, 10.0]]))
        tensor([0.0000, 0.0000, 0.0000, 0.0000, 0.0000, 1.6667])
    """
    return reduce(A, stands_out(A, k))


def stands_out(A: torch.Tensor, k: float) -> torch.Tensor:
    """The share of each channel's cells that lie more than `k` (population) standard deviations above its mean.

    Example:
        >>> stands_out(torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.0, 10.0]]), 2.0)
        tensor([0.1667])
    """
    X = centred(at_least_single(A).flatten(1).T)
    return torch.gt(X, k * X.std(0, correction=0)).to(A.dtype).mean(0)


def random_cam(A: torch.Tensor, w: torch.Tensor, *, reduce: Reduce = positive_sum) -> torch.Tensor:
    """Random-CAM, a baseline: `relu(sum_k w_k A_k)` with random weights. A method worth its name beats it.

    Args:
        A: features `[C, *S]`.
        w: numbers drawn uniformly from -1..1, `[C]`.
        reduce: how the weighted channels become a map.

    Returns:
        The map `[*S]`, not negative by default.

    Source:
        The baseline of the package grad-cam (`RandomCAM`).

    Example:
        >>> random_cam(torch.ones(2, 3), torch.tensor([0.75, -0.5]))
        tensor([0.2500, 0.2500, 0.2500])
    """
    return reduce(A, w)
