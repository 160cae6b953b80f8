"""Detectors of torchvision's as features and a head."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torchvision.models.detection.fcos import FCOS
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.retinanet import RetinaNet
from torchvision.models.detection.ssd import SSD

from funcam.errors import FuncamError, nearest
from funcam.network.believed import structure_of
from funcam.network.cut_runs import Head
from funcam.network.cutting import split
from funcam.network.images import check_images
from funcam.network.layers import ancestors, name_of
from funcam.network.naming import LayerLike, layer_name
from funcam.network.twin import twin
from funcam.network.wrappers import unwrapped

Detections = list[dict[str, torch.Tensor]]
Rest = tuple[Any, Head, torch.Tensor]

_DETECTORS = (GeneralizedRCNN, RetinaNet, FCOS, SSD)


def detector(
    model: nn.Module, level: LayerLike | int | None = None
) -> tuple[Callable[[torch.Tensor], tuple[torch.Tensor, Rest]], Callable[[torch.Tensor, Rest], Detections]]:
    """A detector cut inside its backbone into two pure functions: `A, rest = features(images)`; `head(A, rest)`.

    What comes before the cut (resizing and normalising) and what does not depend on it (other levels of the feature
    pyramid) is closed over; all that the backbone computes from the cut onwards, and the detector's own proposals,
    heads and non-maximum suppression, are in the head. The model is explained as in evaluation mode and only read.

    Args:
        model: a detector of torchvision's (Faster, Mask and Keypoint R-CNN, RetinaNet, FCOS, SSD, SSDlite).
        level: a key of what the backbone returns (`"0"`, `"1"`, ..., `"pool"`: one level of the pyramid), or any
            layer inside the backbone (`"body.layer3"`, or the module itself). None takes a layer that every detection
            depends on: below a feature pyramid the last stage of its body, elsewhere (SSD) the last module that all
            levels come from. A level of a pyramid explains only the boxes that are read off it: for the others its
            gradient is zero.

    Returns:
        `features`: images `[B, 3, H, W]` in 0 to 1 -> `A [B, C, h, w]` and the rest; and `head`: `A` and the
        rest -> for each image a dict of `boxes [n, 4]` in pixels of the image, `labels [n]`, `scores [n]`, as
        the model returns them. Detections below the model's own score threshold are not among them: lower it
        (`box_score_thresh` or `score_thresh` where the model is made) to explain a weak one.

    Raises:
        FuncamError: the model is no such detector, or its backbone has no such level.

    Example:
        >>> import torchvision
        >>> make = torchvision.models.detection.fasterrcnn_mobilenet_v3_large_320_fpn
        >>> features, head = detector(make(weights=None, weights_backbone=None, box_score_thresh=0.0), "pool")
        >>> with torch.no_grad():
        ...     A, rest = features(torch.rand(1, 3, 64, 64))
        ...     A.shape, sorted(head(A, rest)[0])
        (torch.Size([1, 256, 5, 5]), ['boxes', 'labels', 'scores'])
    """
    whole: Any = unwrapped(model)
    if not isinstance(whole, _DETECTORS):
        raise FuncamError(
            f"{type(whole).__name__} is no detector of torchvision's (a GeneralizedRCNN, RetinaNet, FCOS or SSD); "
            "for another, give a pair of functions (features, head) of your own"
        )
    layer = _layer_of(whole, layer_name(whole.backbone, str(level) if type(level) is int else level))

    def features(images: torch.Tensor) -> tuple[torch.Tensor, Rest]:
        check_images(images)
        if images.ndim != 4:
            shape = list(getattr(images, "shape", ()))
            step = " (one image: image[None])" if len(shape) == 3 else ""
            raise FuncamError(f"images have shape {shape}; a detector takes float images [B, 3, H, W] in 0 to 1{step}")
        own: Any = twin(whole)
        tensors = own.transform(list(images))[0].tensors
        A, levels = split(whole.backbone, layer, example=tensors)(tensors)
        return A, (own, levels, images)

    def head(A: torch.Tensor, rest: Rest) -> Detections:
        own, levels, images = rest
        shell = copy.copy(own)
        shell._modules = {**own._modules, "backbone": _Given(levels(A))}
        with _DifferentiableRoIAlign():
            detections: Detections = shell(list(images))
        return detections

    return features, head


def _layer_of(model: Any, level: str | None) -> str:
    """The layer inside the backbone that a level names; for None the last that every detection depends on.

    Raises:
        FuncamError: there is no such level or layer.
    """
    if level is None and hasattr(model.backbone, "body") and hasattr(model.backbone, "fpn"):
        return f"body.{list(model.backbone.body._modules)[-1]}"
    graph = structure_of(model.backbone).graph
    returned: Any = graph.module.graph.output_node().args[0]
    levels = returned if isinstance(returned, dict) else {"0": returned}
    if level is None:
        shared = set.intersection(*({node, *ancestors(node)} for node in levels.values()))
        of_modules = shared.intersection(graph.outputs.values())
        return name_of(graph, [node for node in graph.module.graph.nodes if node in of_modules][-1])
    if level in levels:
        return name_of(graph, levels[level])
    if level in graph.outputs or level in graph.nodes:
        return level
    raise FuncamError(
        f"{type(model).__name__} has no level {level!r}: its backbone returns {', '.join(map(repr, levels))}; nearest "
        f"layer of the backbone: {nearest(level, graph.outputs)}"
    )


class _Given(nn.Module):
    """A backbone that has been run already."""

    def __init__(self, levels: Any) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, images: torch.Tensor) -> Any:
        return self.levels


class _DifferentiableRoIAlign(TorchFunctionMode):
    """Inside this context (and thread), RoIAlign can be differentiated by `torch.func`, as torchvision's can't."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.ops.torchvision.roi_align, torch.ops.torchvision.roi_align.default):
            return _RoIAlign.apply(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


class _RoIAlign(torch.autograd.Function):
    @staticmethod
    def forward(features: torch.Tensor, boxes: torch.Tensor, *settings: Any) -> Any:
        return torch.ops.torchvision.roi_align(features, boxes, *settings)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        features, boxes, *ctx.settings = inputs
        ctx.save_for_backward(boxes)
        ctx.shape = features.shape

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        return _RoIAlignGradient.apply(gradient, *ctx.saved_tensors, ctx.shape, *ctx.settings), *[None] * 6


class _RoIAlignGradient(torch.autograd.Function):
    """The gradient with respect to the features; torchvision has none with respect to the boxes."""

    @staticmethod
    def forward(gradient: torch.Tensor, boxes: torch.Tensor, shape: torch.Size, *settings: Any) -> Any:
        *pooling, samples, aligned = settings
        return torch.ops.torchvision._roi_align_backward(gradient, boxes, *pooling, *shape, samples, aligned)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        pass

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], gradient: torch.Tensor, *others: Any) -> tuple[torch.Tensor, int]:
        return torch.stack([_RoIAlignGradient.apply(part, *others) for part in gradient.movedim(in_dims[0], 0)]), 0
