"""Methods that weigh the features by their gradient, each for ONE image and ONE class; `torch.func.vmap` adds axes.

`A` is the feature map `[C, *S]` and `g` the gradient of the class score with respect to it, of the same shape;
the map comes out as `[*S]`. `S` may have one, two or three dimensions. `reduce` says how the weighted channels
become a map: `funcam.methods.reduce.positive_sum` unless said.
"""

from __future__ import annotations

import torch
from torch.nn.functional import interpolate

from funcam.methods.reduce import Reduce, oriented, positive_sum, principal_map

_LINEAR = ("linear", "bilinear", "trilinear")


def cam(A: torch.Tensor, g: torch.Tensor, *, reduce: Reduce = positive_sum) -> torch.Tensor:
    """CAM: `relu(sum_k w_k A_k)` with `w_k` the sum over space of `g_k`.

    Where the head is mean pooling and one linear layer, and only there, that sum is the class's row of the layer. The
    paper's own map keeps its sign: `reduce=signed_sum`; its mean is then the logit less the bias.

    Args:
        A: features `[C, *S]`.
        g: gradient of the class score, `[C, *S]`.
        reduce: how the weighted channels become a map.

    Returns:
        The map `[*S]`, not negative by default.

    Source:
        Zhou et al., CVPR 2016, arXiv:1512.04150, Eq. 2.

    Example:
        >>> cam(torch.ones(2, 3), torch.ones(2, 3) / 3)
        tensor([2., 2., 2.])
    """
    return reduce(A, g.flatten(1).sum(1))


def grad_cam(A: torch.Tensor, g: torch.Tensor, *, reduce: Reduce = positive_sum) -> torch.Tensor:
    """Grad-CAM: `relu(sum_k w_k A_k)` with `w_k` the mean over space of `g_k`.

    Args:
        A: features `[C, *S]`.
        g: gradient of the class score, `[C, *S]`.
        reduce: how the weighted channels become a map.

    Returns:
        The map `[*S]`, not negative by default, in units of the score.

    Source:
        Selvaraju et al., ICCV 2017, arXiv:1610.02391, Eq. 1 and 2.

    Example:
        >>> grad_cam(torch.ones(2, 3, 3), torch.ones(2, 3, 3)).unique()
        tensor([2.])
    """
    return reduce(A, g.flatten(1).mean(1))


def grad_cam_pp(A: torch.Tensor, g: torch.Tensor, *, reduce: Reduce = positive_sum) -> torch.Tensor:
    """Grad-CAM++: `w_k = sum(alpha_k relu(g_k))` with `alpha = g^2 / (2 g^2 + sum(A) g^3)`.

    Divided by `g^2` that is `w_k = sum(relu(g_k) / (2 + sum(A_k) relu(g_k)))`, which needs no small constant.
    Behind a ReLU `sum(A_k)` is not negative and the divisor is at least 2. Elsewhere it may vanish: the equation is
    followed as it stands, and a cell exactly at such a pole is left out. The score goes through an exponential in the
    paper; its factor `exp(S)` cancels in alpha and only scales the map, so it is left out.

    Args:
        A: features `[C, *S]`.
        g: gradient of the class score, `[C, *S]`.
        reduce: how the weighted channels become a map.

    Returns:
        The map `[*S]`, not negative by default.

    Source:
        Chattopadhay et al., WACV 2018, arXiv:1710.11063, Eq. 19.

    Example:
        >>> grad_cam_pp(torch.ones(1, 1, 2), torch.ones(1, 1, 2))
        tensor([[0.5000, 0.5000]])
    """
    positive = g.relu()
    return reduce(A, (positive * _alpha(A, positive)).flatten(1).sum(1))


def grad_cam_pp_normalised(A: torch.Tensor, g: torch.Tensor, *, reduce: Reduce = positive_sum) -> torch.Tensor:
    """Grad-CAM++ as in its authors' code: each channel's alphas are divided by their sum over the cells with `g > 0`.

    Args:
        A: features `[C, *S]`.
        g: gradient of the class score, `[C, *S]`.
        reduce: how the weighted channels become a map.

    Returns:
        The map `[*S]`, not negative by default.

    Source:
        The code published with arXiv:1710.11063 (`misc/utils.py`, `alpha_normalization_constant`).

    Example:
        >>> grad_cam_pp_normalised(torch.ones(1, 1, 2), torch.ones(1, 1, 2))
        tensor([[1., 1.]])
    """
    positive = g.relu()
    alpha = torch.where(positive > 0, _alpha(A, positive), 0.0).flatten(1)
    return reduce(A, (positive.flatten(1) * _ratio(alpha, alpha.sum(1, keepdim=True))).sum(1))


def smooth_grad_cam_pp(A: torch.Tensor, noisy_g: torch.Tensor, *, reduce: Reduce = positive_sum) -> torch.Tensor:
    """Smooth Grad-CAM++: `w_k = sum(alpha_k relu(D1_k))`, `alpha = D2 / (2 D2 + sum(A) D3)`, `Dp` the mean of
    `g^p` over noisy copies of the image.

    The mean of cubes may be negative where the mean gradient is positive, so that alpha has poles even behind a ReLU:
    the equation is followed as it stands, and a cell exactly at a pole is left out. With one copy it is Grad-CAM++.

    Args:
        A: features of the image itself, `[C, *S]`.
        noisy_g: gradient of the class score for each noisy copy, `[n, C, *S]`.
        reduce: how the weighted channels become a map.

    Returns:
        The map `[*S]`, not negative by default.

    Source:
        Omeiza et al., 2019, arXiv:1908.01224, section 3. Its alpha is printed with `D1` above the fraction line;
        `D2` is what makes it Grad-CAM++'s Eq. 19.

    Example:
        >>> smooth_grad_cam_pp(torch.ones(1, 1, 2), torch.ones(3, 1, 1, 2))
        tensor([[0.5000, 0.5000]])
    """
    scale = noisy_g.abs().amax()
    unit = noisy_g / torch.where(scale == 0, 1.0, scale)  # else the cubes of small gradients underflow
    D1, D2, D3 = (unit.pow(p).mean(0) for p in (1, 2, 3))
    alpha = _ratio(D2, 2 * D2 + _per_channel(A.flatten(1).sum(1), A) * scale * D3)
    return reduce(A, (alpha * D1.relu() * scale).flatten(1).sum(1))


def xgrad_cam(A: torch.Tensor, g: torch.Tensor, *, reduce: Reduce = positive_sum) -> torch.Tensor:
    """XGrad-CAM: `relu(sum_k w_k A_k)` with `w_k = sum(g_k A_k) / sum(A_k)`.

    A channel whose sum is zero weighs nothing. Before a ReLU the sum may be negative or close to zero: the equation is
    followed as it stands.

    Args:
        A: features `[C, *S]`.
        g: gradient of the class score, `[C, *S]`.
        reduce: how the weighted channels become a map.

    Returns:
        The map `[*S]`, not negative by default.

    Source:
        Fu et al., BMVC 2020, arXiv:2008.02312, Eq. 8.

    Example:
        >>> xgrad_cam(torch.tensor([[1.0, 3.0]]), torch.tensor([[1.0, 2.0]]))
        tensor([1.7500, 5.2500])
    """
    return reduce(A, _ratio((g * A).flatten(1).sum(1), A.flatten(1).sum(1)))


def hires_cam(A: torch.Tensor, g: torch.Tensor, *, reduce: Reduce = positive_sum) -> torch.Tensor:
    """HiResCAM: `relu(sum_k g_k A_k)`, each cell weighed by its own gradient.

    Args:
        A: features `[C, *S]`.
        g: gradient of the class score, `[C, *S]`.
        reduce: how the channels become a map.

    Returns:
        The map `[*S]`, not negative by default.

    Source:
        Draelos and Carin, 2020, arXiv:2011.08891, Eq. 5.

    Example:
        >>> hires_cam(torch.tensor([[1.0, 3.0]]), torch.tensor([[1.0, -2.0]]))
        tensor([1., 0.])
    """
    return reduce(g * A, None)


def element_wise_grad_cam(A: torch.Tensor, g: torch.Tensor, *, reduce: Reduce = positive_sum) -> torch.Tensor:
    """Element-wise Grad-CAM: `sum_k relu(g_k A_k)`, so that no channel takes away what another one gives.

    Args:
        A: features `[C, *S]`.
        g: gradient of the class score, `[C, *S]`.
        reduce: how the channels become a map.

    Returns:
        The map `[*S]`, not negative by default.

    Source:
        The package grad-cam (`GradCAMElementWise`); there is no paper.

    Example:
        >>> element_wise_grad_cam(torch.tensor([[2.0], [1.0]]), torch.tensor([[1.0], [-1.0]]))
        tensor([2.])
    """
    return reduce((g * A).relu(), None)


def layer_cam(A: torch.Tensor, g: torch.Tensor, *, reduce: Reduce = positive_sum) -> torch.Tensor:
    """LayerCAM: `relu(sum_k relu(g_k) A_k)`, each cell weighed by its own positive gradient; good for early layers.

    Args:
        A: features `[C, *S]`.
        g: gradient of the class score, `[C, *S]`.
        reduce: how the channels become a map.

    Returns:
        The map `[*S]`, not negative by default.

    Source:
        Jiang et al., IEEE Transactions on Image Processing 2021, doi:10.1109/TIP.2021.3089943, Eq. 5 to 7.

    Example:
        >>> layer_cam(torch.tensor([[2.0], [1.0]]), torch.tensor([[1.0], [-1.0]]))
        tensor([2.])
    """
    return reduce(g.relu() * A, None)


def shapley_cam(A: torch.Tensor, g: torch.Tensor, h: torch.Tensor, *, reduce: Reduce = positive_sum) -> torch.Tensor:
    """ShapleyCAM: `relu(sum_k w_k A_k)` with `w_k` the mean over space of `g_k - h_k / 2`, `h = H A`.

    `H` is the score's second derivative; the product comes from one forward-over-reverse pass,
    `jvp(grad(score), (A,), (A,))`. For logits behind pooling and a linear layer it is zero and the map is Grad-CAM's.
    The paper's score is the logit plus its log-softmax (ReST), for which it is not.

    Args:
        A: features `[C, *S]`.
        g: gradient of the class score, `[C, *S]`.
        h: second derivative of the class score, applied to `A`: `[C, *S]`.
        reduce: how the weighted channels become a map.

    Returns:
        The map `[*S]`, not negative by default.

    Source:
        Cai, 2025, arXiv:2501.06261.

    Example:
        >>> shapley_cam(torch.ones(1, 2), torch.ones(1, 2), torch.ones(1, 2))
        tensor([0.5000, 0.5000])
    """
    return reduce(A, (g - h / 2).flatten(1).mean(1))


def finer_cam(
    A: torch.Tensor, g: torch.Tensor, similar_g: torch.Tensor, *, gamma: float = 0.6, reduce: Reduce = positive_sum
) -> torch.Tensor:
    """Finer-CAM: Grad-CAM of the score less `gamma` times the mean score of similar classes.

    What the class shares with them goes; what sets it apart stays. With one similar class it is the contrast
    `S_c - gamma S_d`. The mean keeps the strength of the comparison the same for any number of classes; the package
    torchcam takes it too, the package grad-cam weighs the similar classes by their probability, with `gamma` 1.

    Args:
        A: features `[C, *S]`.
        g: gradient of the class score, `[C, *S]`.
        similar_g: gradient of the score of each similar class, `[m, C, *S]`.
        gamma: how strong the comparison is; 0 is Grad-CAM.
        reduce: how the weighted channels become a map.

    Returns:
        The map `[*S]`, not negative by default.

    Source:
        Zhang et al., CVPR 2025, arXiv:2501.11309, section 3.

    Example:
        >>> finer_cam(torch.ones(1, 2), torch.ones(1, 2), torch.ones(3, 1, 2), gamma=0.5)
        tensor([0.5000, 0.5000])
    """
    return grad_cam(A, g - gamma * similar_g.mean(0), reduce=reduce)


def eigen_grad_cam(A: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """EigenGrad-CAM: `g A`, cells x channels and centred over the cells, on its first right singular vector.

    A singular vector has no sign of its own. The rule: the map's inner product with `sum_k g_k A_k` is not negative,
    so that it is bright where the score comes from.

    Args:
        A: features `[C, *S]`.
        g: gradient of the class score, `[C, *S]`.

    Returns:
        The map `[*S]`, signed, with mean zero.

    Source:
        The package grad-cam (`EigenGradCAM`), after Muhammad and Yeasin, IJCNN 2020, arXiv:2008.00299.

    Example:
        >>> eigen_grad_cam(torch.tensor([[0.0, 2.0]]), torch.ones(1, 2))
        tensor([-1.,  1.])
    """
    return oriented(principal_map(g * A, centre=True), (g * A).sum(0))


def seg_eigen_cam(A: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """Seg-Eigen-CAM: `|g| A`, cells x channels and centred over the cells, on its first right singular vector.

    The sign is the paper's: the map is flipped where its minimum is larger in magnitude than its maximum.

    Args:
        A: features `[C, *S]`.
        g: gradient of the class score, `[C, *S]`.

    Returns:
        The map `[*S]`, signed, with mean zero.

    Source:
        Chung and Ying, Applied Sciences 2025, 15(13), 7562, Eq. 10 to 13.

    Example:
        >>> seg_eigen_cam(torch.tensor([[0.0, 0.0, 3.0]]), torch.tensor([[1.0, 1.0, -1.0]]))
        tensor([-1., -1.,  2.])
    """
    component = principal_map(g.abs() * A, centre=True)
    return torch.where(component.amin().abs() > component.amax().abs(), -component, component)


def guided_grad_cam(gradient: torch.Tensor, cam: torch.Tensor) -> torch.Tensor:
    """Guided Grad-CAM: guided backpropagation times the map, brought bilinearly to the image's size.

    Args:
        gradient: guided backpropagation of one image and one class, `[channels, *image size]`.
        cam: a map `[*S]`; the paper's is Grad-CAM.

    Returns:
        `[channels, *image size]`, signed.

    Source:
        Selvaraju et al., ICCV 2017, arXiv:1610.02391, section 3.2.

    Example:
        >>> guided_grad_cam(torch.ones(3, 4, 4), torch.tensor([[0.0, 1.0]]))[0, 0]
        tensor([0.0000, 0.2500, 0.7500, 1.0000])
    """
    size = gradient.shape[1:]
    return gradient * interpolate(cam[None, None], list(size), mode=_LINEAR[len(size) - 1], align_corners=False)[0]


def _alpha(A: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
    """Eq. 19 divided by `g^2`, for the cells where the gradient is positive."""
    divisor = 2 + _per_channel(A.flatten(1).sum(1), A) * positive
    return _ratio(torch.ones_like(divisor), divisor)


def _per_channel(values: torch.Tensor, A: torch.Tensor) -> torch.Tensor:
    """One value for each channel, `[C]`, beside the features: `[C, 1, ...]`."""
    return values.view(-1, *[1] * (A.ndim - 1))


def _ratio(above: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
    """`above / below`, and zero where it has a pole; its derivative is finite there as well."""
    return torch.where(below == 0, 0.0, above / torch.where(below == 0, 1.0, below))
