"""Named calls of funcam and of its peers, each at funcam's default layer."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torchvision.models import VisionTransformer

import funcam

Run = Callable[[], object]
Case = Callable[[torch.Tensor], Run]
FORWARD = "forward (no_grad)"
PEERS = {"grad-cam": "pytorch_grad_cam", "torchcam": "torchcam", "captum": "captum"}
CLASS_GIVEN = "Grad-CAM (class given)"
FIVE_LAYERS = ("layer1", "layer2", "layer3", "layer4.0", "layer4")
# What the peers call funcam's methods.
_OF_GRAD_CAM = {
    "grad-cam": "GradCAM",
    "grad-cam++": "GradCAMPlusPlus",
    "xgrad-cam": "XGradCAM",
    "hires-cam": "HiResCAM",
    "element-wise-grad-cam": "GradCAMElementWise",
    "layer-cam": "LayerCAM",
    "shapley-cam": "ShapleyCAM",
    "finer-cam": "FinerCAM",
    "eigen-cam": "EigenCAM",
    "eigen-grad-cam": "EigenGradCAM",
    "seg-eigen-cam": "SegEigenCAM",
    "kpca-cam": "KPCA_CAM",
    "fem": "FEM",
    "ablation-cam": "AblationCAM",
    "score-cam": "ScoreCAM",
    "full-grad": "FullGrad",
    "random-cam": "RandomCAM",
}
_OF_TORCHCAM = {
    "cam": "CAM",
    "grad-cam": "GradCAM",
    "grad-cam++": "GradCAMpp",
    "smooth-grad-cam++": "SmoothGradCAMpp",
    "xgrad-cam": "XGradCAM",
    "layer-cam": "LayerCAM",
    "score-cam": "ScoreCAM",
    "ss-cam": "SSCAM",
    "is-cam": "ISCAM",
}
_OF_CAPTUM = {
    "grad-cam": "LayerGradCam",
    "gradient": "Saliency",
    "input-x-gradient": "InputXGradient",
    "guided-backprop": "GuidedBackprop",
    "guided-grad-cam": "GuidedGradCam",
}
# The image passes the network once for each channel, and in the others for each channel and sample.
SLOW = ("ablation-cam", "score-cam", "score-cam-authors")
SAMPLED = ("ss-cam", "is-cam")
LE_GRAD = "le-grad"


def forward(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """One prediction."""
    with torch.no_grad():
        result: torch.Tensor = model(images)
        return result


def there(peer: str) -> bool:
    """Whether a peer is installed."""
    return importlib.util.find_spec(PEERS[peer]) is not None


def grad_cases(model: nn.Module, layer: str, batch: int) -> dict[str, Case]:
    """Grad-CAM and Grad-CAM++ of everybody, many classes, guided backpropagation."""

    def explain(method: str, classes: int | None = None) -> Case:
        targets = None if classes is None else torch.arange(classes).expand(batch, classes)
        return lambda images: lambda: funcam.explain(model, images, targets, method=method).maps

    cases: dict[str, Case] = {
        FORWARD: lambda images: lambda: forward(model, images),
        "Grad-CAM": explain("grad-cam"),
        "Grad-CAM++": explain("grad-cam++"),
        "guided backprop": explain("guided-backprop"),
    }
    if batch == 1:
        cases |= {
            "Grad-CAM, 100 classes": explain("grad-cam", 100),
            "Grad-CAM, 1000 classes": explain("grad-cam", 1000),
        }
    named = {"Grad-CAM": "grad-cam", "Grad-CAM++": "grad-cam++"}
    for peer in filter(there, PEERS):
        for title in ("Grad-CAM", CLASS_GIVEN) if peer == "captum" else named:
            method = named.get(title, "grad-cam")
            cases[f"{peer} {title}"] = peer_case(peer, method, model, layer, class_given=title == CLASS_GIVEN)
    return cases


def method_cases(model: nn.Module, layer: str) -> dict[str, Case]:
    """Every method for convnets, each followed by the peers that have it; five layers at once; the tail's backward.

    Those of `sampled_cases` are left out.
    """
    cases: dict[str, Case] = {FORWARD: lambda images: lambda: forward(model, images)}
    for name in funcam.METHODS:
        if name in (*SAMPLED, LE_GRAD):
            continue
        cases[name] = _explaining(model, name)
        for peer, known in (("grad-cam", _OF_GRAD_CAM), ("torchcam", _OF_TORCHCAM), ("captum", _OF_CAPTUM)):
            if name in known and there(peer):
                cases[f"{peer} {name}"] = peer_case(peer, name, model, layer)
    cases["smooth-grad-cam++, torchcam's 4 samples"] = _explaining(model, "smooth-grad-cam++", samples=4)
    cases["grad-cam, five layers"] = _explaining(model, "grad-cam", layer=list(FIVE_LAYERS))
    cases["the tail's backward pass"] = lambda images: backward_of_tail(model, images)
    return cases


def le_grad_cases(model: VisionTransformer) -> dict[str, Case]:
    """LeGrad, and torchcam's."""
    cases: dict[str, Case] = {FORWARD: lambda images: lambda: forward(model, images)}
    cases[LE_GRAD] = _explaining(model, LE_GRAD)
    return cases | ({f"torchcam {LE_GRAD}": _torchcams_le_grad(model)} if there("torchcam") else {})


def _torchcams_le_grad(model: VisionTransformer) -> Case:
    def run(images: torch.Tensor) -> object:
        from torchcam.methods import LeGrad

        with LeGrad(model, list(model.encoder.layers)) as cam:
            logits = model(images)
            return cam(logits.argmax(1).tolist(), logits)

    return lambda images: lambda: run(images)


def _explaining(model: nn.Module, method: str, **options: Any) -> Case:
    return lambda images: lambda: funcam.explain(model, images, method=method, **options).maps


def backward_of_tail(model: nn.Module, images: torch.Tensor) -> Run:
    """Plain autograd from the logits back to the first of the five layers, the forward pass not counted."""
    A, head = funcam.split(model, FIVE_LAYERS[0])(images)
    A = A.detach().requires_grad_()
    score = head(A).amax(1).sum()
    return lambda: torch.autograd.grad(score, A, retain_graph=True)


def sampled_cases(model: nn.Module, layer: str, samples: int) -> dict[str, Case]:
    """The methods of a pass for each channel and sample, each followed by torchcam's."""
    cases: dict[str, Case] = {FORWARD: lambda images: lambda: forward(model, images)}
    for name in SAMPLED:
        cases[name] = _explaining(model, name, samples=samples)
        if there("torchcam"):
            cases[f"torchcam {name}"] = peer_case("torchcam", name, model, layer, num_samples=samples)
    return cases


def peer_case(
    peer: str, method: str, model: nn.Module, layer: str, *, class_given: bool = False, **options: Any
) -> Case:
    """A peer's call for the predicted classes. Its hooks are put on for the call and taken off: they'd slow others.

    Args:
        peer: which.
        method: funcam's name of it.
        model: the network.
        layer: where it looks.
        class_given: whether captum is spared the pass that finds the class.
        **options: what the peer's extractor takes besides.
    """

    def with_grad_cam(images: torch.Tensor) -> object:
        import pytorch_grad_cam

        extractor = getattr(pytorch_grad_cam, _OF_GRAD_CAM[method])
        with extractor(model, [model.get_submodule(layer)], **options) as cam:
            return cam(images, None)

    def with_torchcam(images: torch.Tensor) -> object:
        from torchcam import methods

        with getattr(methods, _OF_TORCHCAM[method])(model, model.get_submodule(layer), **options) as cam:
            logits = model(images)
            return cam(logits.argmax(1).tolist(), logits)

    def with_captum(images: torch.Tensor) -> object:
        from captum import attr

        # captum wants to be told the class: finding it is a forward pass more
        classes = 0 if class_given else forward(model, images).argmax(1)
        extractor = getattr(attr, _OF_CAPTUM[method])
        at = [model.get_submodule(layer)] if method in ("grad-cam", "guided-grad-cam") else []
        return extractor(model, *at, **options).attribute(images, target=classes)

    call = {"grad-cam": with_grad_cam, "torchcam": with_torchcam, "captum": with_captum}[peer]
    return lambda images: lambda: call(images)
