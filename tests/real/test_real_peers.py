"""Beside the peers at the same layer and class: where they agree with funcam, where they don't, and why."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from numpy.typing import NDArray
from photos import NETWORKS, network_input, out_of_place
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d

import funcam

captum_attr = pytest.importorskip("captum.attr")
grad_cam = pytest.importorskip("pytorch_grad_cam")
torchcam_methods = pytest.importorskip("torchcam.methods")

Network = Callable[[str], nn.Module]
CLASSES = [282, 207]  # the tiger cat of the first photo, the golden retriever of the second


@pytest.fixture(scope="module")
def images(assets: Path) -> torch.Tensor:
    return torch.cat([network_input(assets / "photos" / name) for name in ("seed/pic1.jpg", "peer/dog_cat.jfif")])


@pytest.mark.parametrize("network", NETWORKS)
def test_grad_cam_agrees_with_captum(network: str, images: torch.Tensor, real_network: Network) -> None:
    model = out_of_place(real_network(network))
    captum = captum_attr.LayerGradCam(model, model.get_submodule(NETWORKS[network]))
    theirs = captum.attribute(images, target=torch.tensor(CLASSES), relu_attributions=True)[:, 0].detach()
    ours = funcam.explain(real_network(network), images, CLASSES, layer=NETWORKS[network]).maps
    assert _difference(ours, theirs) < 1e-4


@pytest.mark.parametrize("network", NETWORKS)
def test_grad_cam_agrees_with_grad_cam(network: str, images: torch.Tensor, real_network: Network) -> None:
    theirs = _of_grad_cam("GradCAM", real_network(network), NETWORKS[network], images)
    ours = funcam.explain(real_network(network), images, CLASSES, layer=NETWORKS[network]).maps
    assert _difference(ours, theirs) < 1e-4


@pytest.mark.parametrize("network", NETWORKS)
def test_grad_cam_pp_is_equation_19(network: str, images: torch.Tensor, real_network: Network) -> None:
    ours = funcam.explain(real_network(network), images, CLASSES, layer=NETWORKS[network], method="grad-cam++").maps
    assert _difference(ours, _equation_19(real_network(network), NETWORKS[network], images)) < 1e-4


@pytest.mark.parametrize("network", NETWORKS)
def test_grad_cam_pp_in_bfloat16(network: str, images: torch.Tensor, real_network: Network) -> None:
    """bfloat16 has 8 bits of precision, so features and gradients are off by 0.4 %; the map is off by little more."""
    model = copy.deepcopy(real_network(network)).bfloat16()
    ours = funcam.explain(model, images.bfloat16(), CLASSES, layer=NETWORKS[network], method="grad-cam++").maps
    formula = _equation_19(real_network(network), NETWORKS[network], images)
    assert ours.dtype == torch.float32
    assert bool(torch.isfinite(ours).all())
    assert _difference(ours, formula) < 0.04
    for one, expected in zip(ours, formula, strict=True):
        assert np.corrcoef(one.flatten(), expected.flatten())[0, 1] > 0.999


@pytest.mark.parametrize("network", ["mobilenet_v2", "squeezenet1_1"])
def test_grad_cams_grad_cam_pp_is_not_equation_19(network: str, images: torch.Tensor, real_network: Network) -> None:
    """It adds 1e-6 to a denominator that is about as small, so the channels' weights are wrong, not only scaled."""
    theirs = _of_grad_cam("GradCAMPlusPlus", real_network(network), NETWORKS[network], images)
    formula = _equation_19(real_network(network), NETWORKS[network], images)
    assert _difference(funcam.rescale(theirs), funcam.rescale(formula)) > 0.05


@pytest.mark.parametrize("network", NETWORKS)
def test_torchcams_grad_cam_pp_is_not_equation_19(network: str, images: torch.Tensor, real_network: Network) -> None:
    """It never divides."""
    model = out_of_place(real_network(network))
    with torchcam_methods.GradCAMpp(model, model.get_submodule(NETWORKS[network])) as extractor:
        theirs = extractor(CLASSES, model(images), normalized=False)[0].detach().relu()
    formula = _equation_19(real_network(network), NETWORKS[network], images)
    assert _difference(funcam.rescale(theirs), funcam.rescale(formula)) > 0.05


@pytest.mark.parametrize("network", ["squeezenet1_1", "shufflenet_v2_x1_0"])
def test_guided_backprop_agrees_with_captum(network: str, images: torch.Tensor, real_network: Network) -> None:
    """All ReLUs of these networks are modules, each called once: hooks find them all."""
    assert _difference(_guided(real_network(network), images), _captums_guided(real_network(network), images)) < 1e-4


def test_hooks_miss_relu6(images: torch.Tensor, real_network: Network) -> None:
    """captum guides ``nn.ReLU``; MobileNetV2 has 35 ``nn.ReLU6``, which is another class."""
    model = real_network("mobilenet_v2")
    ours, oracle = _guided(model, images), _guided_by_hand(model)(images, CLASSES)
    assert len(funcam.guided(model).rewritten) == sum(isinstance(module, nn.ReLU6) for module in model.modules()) == 35
    assert _difference(ours, oracle) < 1e-4
    assert _difference(_captums_guided(model, images), oracle) > 1


def test_hooks_miss_relus_that_are_functions() -> None:
    """DenseNet's last ReLU is ``F.relu`` in its forward method: no module, nothing to hook."""
    torch.manual_seed(0)
    model = torchvision.models.densenet121(num_classes=300).eval()
    images = torch.rand(2, 3, 64, 64)
    oracle = _guided_by_hand(model, _densenet_forward)(images, CLASSES)
    assert _difference(_guided(model, images), oracle) < 1e-4
    assert _difference(_captums_guided(model, images), oracle) > 0.01


def _difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """The largest difference of a map, in maxima of the other: the worst image counts."""
    largest = theirs.abs().flatten(1).amax(1)
    return float(((ours - theirs).abs().flatten(1).amax(1) / largest).max())


def _of_grad_cam(name: str, model: nn.Module, layer: str, images: torch.Tensor) -> torch.Tensor:
    """The maps of grad-cam's class before it stretches and resizes them."""
    model = out_of_place(model)
    module = model.get_submodule(layer)
    targets = [grad_cam.utils.model_targets.ClassifierOutputTarget(index) for index in CLASSES]
    with getattr(grad_cam, name)(model, [module]) as cam:
        cam(images, targets)
        kept = cam.activations_and_grads
        A, g = kept.activations[0].numpy(), kept.gradients[0].numpy()
        return torch.tensor(cam.get_cam_image(images, module, targets, A, g, False)).relu()


def _equation_19(model: nn.Module, layer: str, images: torch.Tensor) -> torch.Tensor:
    """Grad-CAM++ as the paper writes it, in NumPy's float64 from a float64 copy of the model."""
    A, g = _features_and_gradient(out_of_place(model).double(), layer, images.double())
    square, cube = g**2, g**3
    denominator = 2 * square + A.sum((2, 3), keepdims=True) * cube
    alpha = np.divide(square, denominator, out=np.zeros_like(square), where=g > 0)
    weights = (alpha * np.maximum(g, 0)).sum((2, 3))
    return torch.tensor(np.maximum((weights[:, :, None, None] * A).sum(1), 0))


def _features_and_gradient(
    model: nn.Module, layer: str, images: torch.Tensor
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    kept: list[torch.Tensor] = []
    model.get_submodule(layer).register_forward_hook(lambda _module, _given, output: kept.append(output))
    score = model(images)[range(len(CLASSES)), CLASSES].sum()
    (gradient,) = torch.autograd.grad(score, kept[0])
    return kept[0].detach().numpy(), gradient.numpy()


def _guided(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    return funcam.explain(model, images, CLASSES, method="guided-backprop").maps


def _captums_guided(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    guided = captum_attr.GuidedBackprop(out_of_place(model))
    attributions: torch.Tensor = guided.attribute(images.clone(), target=torch.tensor(CLASSES))
    return attributions.detach()


class _ByHand(torch.autograd.Function):
    """ReLU or ReLU6 with the guided gradient, written independently of funcam's."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, ceiling: float) -> torch.Tensor:
        result = x.clamp(min=0, max=ceiling)
        ctx.save_for_backward((x > 0) & (x < ceiling))
        return result

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (passed,) = ctx.saved_tensors
        return torch.where(passed & (gradient > 0), gradient, 0), None


class _GuidedModule(nn.Module):
    def __init__(self, ceiling: float) -> None:
        super().__init__()
        self.ceiling = ceiling

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = _ByHand.apply(x, self.ceiling)
        return result


def _guided_by_hand(
    model: nn.Module, forward: Callable[[nn.Module], Callable[[torch.Tensor], torch.Tensor]] | None = None
) -> Callable[[torch.Tensor, list[int]], torch.Tensor]:
    """The gradient of a copy of the model whose ReLU modules are replaced, by its own forward method or another."""
    model = copy.deepcopy(model)
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU | nn.ReLU6):
                setattr(module, name, _GuidedModule(6.0 if isinstance(child, nn.ReLU6) else float("inf")))
    run = forward(model) if forward else model

    def gradient(images: torch.Tensor, classes: list[int]) -> torch.Tensor:
        images = images.clone().requires_grad_()
        return torch.autograd.grad(run(images)[range(len(classes)), classes].sum(), images)[0]

    return gradient


def _densenet_forward(model: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """torchvision's DenseNet.forward with its function ReLU guided."""
    guided = _GuidedModule(float("inf"))
    return lambda images: model.classifier(adaptive_avg_pool2d(guided(model.features(images)), (1, 1)).flatten(1))
