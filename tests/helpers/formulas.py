"""The papers' formulas in NumPy's float64, from a float64 copy of a network, and the peers' variants of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from parity_peers import Options, Scene, noise_of_images, noise_of_masks
from torch import nn

Array = NDArray[np.float64]


def features_and_gradient(
    scene: Scene, score: Callable[[torch.Tensor], torch.Tensor] | None = None, images: torch.Tensor | None = None
) -> tuple[Array, Array]:
    """A and g of the classes' logits, or of another score of the logits, by autograd and a hook."""
    model, layer = scene.double().hooked()
    kept: list[torch.Tensor] = []
    layer.register_forward_hook(lambda _module, _given, output: kept.append(output))
    logits = model((scene.images if images is None else images).double())
    total = score(logits) if score else logits[range(len(scene.classes)), scene.classes].sum()
    (gradient,) = torch.autograd.grad(total, kept[0])
    return kept[0].detach().numpy(), gradient.numpy()


def positive_sum(weights: Array, A: Array) -> Array:
    return np.maximum((weights[:, :, None, None] * A).sum(1), 0)


def equation_19(scene: Scene, _options: Options, *, added: float = 0, divided: bool = True) -> Array:
    """Grad-CAM++; in grad-cam something is added to the divisor, in torchcam nothing is divided."""
    A, g = features_and_gradient(scene)
    below = 2 * g**2 + A.sum((2, 3), keepdims=True) * g**3 + added
    alpha = np.divide(g**2, below, out=np.zeros_like(g), where=g > 0) if divided else g**2
    return positive_sum((alpha * np.maximum(g, 0)).sum((2, 3)), A)


def smooth_grad_cam_pp(scene: Scene, options: Options, *, as_torchcam: bool = False) -> Array:
    """In torchcam another sum in the divisor, plus 1e-8, and features and gradient of the last noisy copy."""
    A, _ = features_and_gradient(scene)
    noisy = scene.images + noise_of_images(scene.images, options)
    copies, gradients = zip(*(features_and_gradient(scene, images=images) for images in noisy), strict=True)
    D1, D2, D3 = (np.mean(np.power(gradients, p), 0) for p in (1, 2, 3))
    if as_torchcam:
        below, D1 = 2 * D2 + (A * D3).sum((2, 3), keepdims=True) + 1e-8, gradients[-1]
        return positive_sum((D2 / below * np.maximum(D1, 0)).sum((2, 3)), copies[-1])
    below = 2 * D2 + A.sum((2, 3), keepdims=True) * D3
    alpha = np.divide(D2, below, out=np.zeros_like(D2), where=below != 0)
    return positive_sum((alpha * np.maximum(D1, 0)).sum((2, 3)), A)


def finer_cam(scene: Scene, options: Options, *, weighted: bool = False) -> Array:
    """In grad-cam the similar classes are weighted by their probability, through which it differentiates."""

    def score(logits: torch.Tensor) -> torch.Tensor:
        total = logits.new_zeros(())
        for row, index in zip(logits, scene.classes, strict=True):
            nearest = np.argsort(np.abs((row - row[index]).detach().numpy()))[1 : options["similar"] + 1].tolist()
            weights = row.softmax(0)[nearest] if weighted else torch.ones(len(nearest))
            others = (weights * row[nearest]).sum() / weights.sum()
            total = total + row[index] - options["gamma"] * others
        return total

    A, g = features_and_gradient(scene, score)
    return positive_sum(g.mean((2, 3)), A)


def eigen_cam(scene: Scene, _options: Options, *, centred: bool = False) -> Array:
    """In grad-cam the features are centred."""
    A, _ = features_and_gradient(scene)
    cells = A.reshape(*A.shape[:2], -1).transpose(0, 2, 1)
    if centred:
        cells = cells - cells.mean(1, keepdims=True)
    vectors = np.linalg.svd(cells, full_matrices=False)[2][:, 0]
    found = np.einsum("bsc,bc->bs", cells, vectors).reshape(len(A), *A.shape[2:])
    return found if centred else np.abs(found)  # behind a ReLU it has one sign, either


def ablation_cam(scene: Scene, _options: Options, *, far_below: bool = False) -> Array:
    """In grad-cam a channel is set far below the least value instead of zero, further for each one of a batch of 32."""
    A, _ = features_and_gradient(scene)
    model, layer = scene.double().hooked()
    kept = iter(torch.cat([torch.ones(1, A.shape[1]), 1 - torch.eye(A.shape[1])]).double())  # first all of them
    least = iter([0.0, *(A.min() - 1e7 * (k % 32 + 1) for k in range(A.shape[1]))])

    def ablated(_module: nn.Module, _given: object, output: torch.Tensor) -> torch.Tensor:
        keep, value = next(kept)[:, None, None], next(least)
        return output * keep + (1 - keep) * (value if far_below else 0)

    layer.register_forward_hook(ablated)
    with torch.no_grad():
        scores = [float(model(scene.images.double())[0, scene.classes[0]]) for _ in range(A.shape[1] + 1)]
    return positive_sum((scores[0] - np.array([scores[1:]])) / scores[0], A)


def _masked(
    scene: Scene, change: Callable[[Array], list[Array]], *, corners: bool = False, unit_first: bool = False
) -> Array:
    """Score-CAM and its kin: softmax over channels of the mean score behind each channel's changed masks.

    In grad-cam the corners are aligned, in torchcam a mask is brought to 0..1 before it is upsampled.
    """
    A, _ = features_and_gradient(scene)
    sizes = zip(A.shape[2:], scene.images.shape[2:], strict=True)
    rows, columns = (upsampling(small, large, corners=corners) for small, large in sizes)
    masks = _unit(A[0]) if unit_first else A[0]
    masks = np.einsum("yi,kij,xj->kyx", rows, masks, columns)
    masks = masks if unit_first else _unit(masks)
    model, _ = scene.double().hooked()
    with torch.no_grad():
        behind = (torch.as_tensor(changed)[:, None] * scene.images.double() for changed in change(masks))
        scores = np.mean([model(images)[:, scene.classes[0]].numpy() for images in behind], 0)
    scores = np.where(A[0].max((1, 2)) > A[0].min((1, 2)), scores, -np.inf)  # a constant channel has no mask
    weights = np.exp(scores - scores.max())
    return positive_sum(weights[None] / weights.sum(), A)


def _unit(masks: Array) -> Array:
    low, high = masks.min((1, 2), keepdims=True), masks.max((1, 2), keepdims=True)
    return np.divide(masks - low, high - low, out=np.zeros_like(masks), where=high > low)


def upsampling(small: int, large: int, *, corners: bool = False) -> Array:
    """Linear upsampling as a matrix ``[large, small]``, with the cells' centres aligned or their corners."""
    at = np.clip((np.arange(large) + 0.5) * small / large - 0.5, 0, small - 1)
    at = np.linspace(0, small - 1, large) if corners else at
    return np.maximum(1 - np.abs(at[:, None] - np.arange(small)), 0)


def score_cam(scene: Scene, _options: Options, *, corners: bool = False, unit_first: bool = False) -> Array:
    return _masked(scene, lambda masks: [masks], corners=corners, unit_first=unit_first)


def is_cam(scene: Scene, options: Options, *, as_torchcam: bool = False) -> Array:
    """In torchcam the steps are added up."""
    steps = np.arange(1, options["samples"] + 1) / options["samples"]
    steps = np.cumsum(steps) if as_torchcam else steps
    return _masked(scene, lambda masks: [masks * step for step in steps], unit_first=as_torchcam)


def ss_cam(scene: Scene, options: Options, *, unit_first: bool = False) -> Array:
    A, _ = features_and_gradient(scene)
    noise = noise_of_masks(torch.as_tensor(A[0]), scene.images.shape[2:], options).double().numpy()
    return _masked(scene, lambda masks: [masks + one for one in noise], unit_first=unit_first)


def full_grad(scene: Scene, _options: Options, *, per_channel: bool = False) -> Array:
    """For a network whose only biases are those of convolutions. In grad-cam each channel is rescaled alone."""
    model, _ = scene.double().hooked()
    kept: list[tuple[torch.Tensor, torch.Tensor]] = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            module.register_forward_hook(lambda conv, _given, output: kept.append((conv.bias, output)))
    images = scene.images.double().clone().requires_grad_()
    score = model(images)[0, scene.classes[0]]
    at_image, *gradients = torch.autograd.grad(score, [images, *(output for _, output in kept)])
    terms = [images[0] * at_image[0]]
    terms += [bias[:, None, None] * gradient[0] for (bias, _), gradient in zip(kept, gradients, strict=True)]
    total = np.zeros(images.shape[2:])
    for term in terms:
        strength = np.abs(term.detach().numpy())
        over = (1, 2) if per_channel else (0, 1, 2)
        strength = strength - strength.min(over, keepdims=True)
        strength = strength / (strength.max(over, keepdims=True) + (1e-7 if per_channel else 0))
        sizes = zip(strength.shape[1:], total.shape, strict=True)
        rows, columns = (upsampling(small, large) for small, large in sizes)
        total = total + rows @ strength.sum(0) @ columns.T
    return total[None]


def guided_backprop(scene: Scene, _options: Options, *, plain: bool = False) -> Array:
    """The gradient of the image, with ReLU6's gradient cut at zero by hooks; the peers leave ReLU6 alone."""
    model, _ = scene.double().hooked()
    for module in model.modules():
        if isinstance(module, nn.ReLU6) and not plain:
            module.register_full_backward_hook(lambda _module, found, given: (found[0] * (given[0] > 0),))
    images = scene.images.double().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(images)[range(len(scene.classes)), scene.classes].sum(), images)
    return gradient.numpy()


def guided_grad_cam(scene: Scene, options: Options, *, plain: bool = False) -> Array:
    A, g = features_and_gradient(scene)
    maps = positive_sum(g.mean((2, 3)), A)
    sizes = zip(maps.shape[1:], scene.images.shape[2:], strict=True)
    rows, columns = (upsampling(small, large) for small, large in sizes)
    mask = np.einsum("yi,bij,xj->byx", rows, maps, columns)[:, None]
    return guided_backprop(scene, options, plain=plain) * mask
