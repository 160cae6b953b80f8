"""torchvision's detectors: explained through the pair of functions that `funcam.detector` makes."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.models.entry import Entry

_FPN = "the pyramid adds what it makes of the body's last stage to every other level, so that all boxes depend on it"
_SMALL: dict[str, Any] = {"min_size": 128, "max_size": 160}
_TWO_STAGE = {
    **_SMALL,
    "rpn_post_nms_top_n_test": 50,
    "rpn_score_thresh": 0.0,
    "box_score_thresh": 0.0,
    "box_detections_per_img": 10,
}
_ONE_STAGE = {**_SMALL, "score_thresh": 0.0, "detections_per_img": 10, "topk_candidates": 50}
_SSD = {"score_thresh": 0.0, "detections_per_img": 10, "topk_candidates": 50, "image_std": (1.0, 1.0, 1.0)}

_STAGE4, _BLOCK16 = ("backbone.body.layer4",), ("backbone.body.16",)
# name: (layer, grid, options, why); images are 128 x 160, which SSD makes 300 x 300 and SSDlite 320 x 320
_ROWS: dict[str, tuple[tuple[str, ...], tuple[int, int], dict[str, Any], str]] = {
    "fasterrcnn_resnet50_fpn": (_STAGE4, (4, 5), _TWO_STAGE, _FPN),
    "fasterrcnn_resnet50_fpn_v2": (_STAGE4, (4, 5), _TWO_STAGE, _FPN),
    "fasterrcnn_mobilenet_v3_large_fpn": (_BLOCK16, (4, 5), _TWO_STAGE, _FPN),
    "fasterrcnn_mobilenet_v3_large_320_fpn": (_BLOCK16, (4, 5), _TWO_STAGE, _FPN),
    "maskrcnn_resnet50_fpn": (_STAGE4, (4, 5), _TWO_STAGE, _FPN),
    "maskrcnn_resnet50_fpn_v2": (_STAGE4, (4, 5), _TWO_STAGE, _FPN),
    "keypointrcnn_resnet50_fpn": (_STAGE4, (4, 5), _TWO_STAGE, _FPN),
    "retinanet_resnet50_fpn": (_STAGE4, (4, 5), _ONE_STAGE, f"{_FPN}; P6 and P7 come from P5"),
    "retinanet_resnet50_fpn_v2": (_STAGE4, (4, 5), _ONE_STAGE, f"{_FPN}; P6 and P7 come from layer4 itself"),
    "fcos_resnet50_fpn": (_STAGE4, (4, 5), _ONE_STAGE, _FPN),
    "ssd300_vgg16": (
        ("backbone.features", "backbone.features.22"),
        (38, 38),
        _SSD,
        "x = features(x) (up to conv4_3's ReLU): the first level is read off it, all others come from it",
    ),
    "ssdlite320_mobilenet_v3_large": (
        ("backbone.features.0",),
        (20, 20),
        _SSD,
        "for block in features, extra: x = block(x); output.append(x): all levels come from the first, stride 16",
    ),
}


def entries() -> list[Entry]:
    """Every detector of torchvision's."""
    return [
        Entry(
            f"torchvision/{name}",
            partial(make, name, options),
            (3, 128, 160),
            layers,
            grid,
            target=sum_of_scores,
            kind="detection",
            why=f"{why}. No thresholds and few boxes: a random network is sure of nothing",
        )
        for name, (layers, grid, options, why) in _ROWS.items()
    ]


def sum_of_scores(detections: list[dict[str, Tensor]]) -> Tensor:
    """The sum of the scores of an image's detections, `[B]`."""
    return torch.stack([found["scores"].sum() for found in detections])


def make(name: str, options: dict[str, Any]) -> nn.Module:
    """A detector whose class scores depend on the image.

    The norms take the statistics of a random image, since a ResNet without them makes scores of exactly 1; RetinaNet's
    and FCOS's class heads, which are nearly constant at first, get weights of the usual size.
    """
    from torchvision import models

    model = models.get_model_builder(name)(weights=None, weights_backbone=None, num_classes=5, **options)
    head = getattr(getattr(model, "head", None), "classification_head", None)
    if hasattr(head, "conv"):
        for module in head.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
        nn.init.normal_(head.cls_logits.weight, std=0.1 * head.cls_logits.weight[0].numel() ** -0.5)
    settle(model, torch.randn(4, 3, 128, 160))
    return model


def settle(model: Any, images: Tensor) -> None:
    """Give the backbone's norms the statistics of some images."""
    norms = [module for module in model.backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model.backbone.train()(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
