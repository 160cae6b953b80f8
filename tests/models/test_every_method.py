"""Every method on models from elsewhere: what each can have gives the same in a batch as alone, the rest is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torchvision
from small import state_of, tiny_swin, tiny_vit
from torch import nn
from torchvision.models.video.resnet import BasicBlock, BasicStem, Conv3DSimple, VideoResNet

import funcam
from funcam import METHODS, FuncamError

timm = pytest.importorskip("timm")
transformers = pytest.importorskip("transformers")

TRANSFORMER = {"cam", "guided-backprop", "guided-grad-cam"}  # no pooled linear head at the default layer, no ReLU
CONVNET = {"le-grad"}
FEW: dict[str, dict[str, int]] = {  # with all channels and samples they take minutes
    "score-cam": {"strongest": 8},
    "score-cam-authors": {"strongest": 8},
    "ss-cam": {"strongest": 8, "samples": 4},
    "is-cam": {"strongest": 8, "samples": 4},
    "smooth-grad": {"samples": 4},
    "smooth-grad-cam++": {"samples": 4},
}


def hugging_face_vit() -> nn.Module:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    config = transformers.ViTConfig(**sizes, image_size=32, patch_size=8, num_labels=5)
    return transformers.ViTForImageClassification(config)


def hugging_face_resnet() -> nn.Module:
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 12, 16, 24], depths=[1, 1, 1, 1], layer_type="basic", num_labels=5
    )
    return transformers.ResNetForImageClassification(config)


MODELS: dict[str, tuple[Callable[[], nn.Module], int, set[str]]] = {
    "torchvision ViT": (tiny_vit, 32, TRANSFORMER),
    "torchvision Swin": (tiny_swin, 32, TRANSFORMER | {"le-grad"}),
    "Hugging Face ViT": (hugging_face_vit, 32, TRANSFORMER),
    "Hugging Face ResNet": (hugging_face_resnet, 64, CONVNET),
    "timm ResNet": (lambda: timm.create_model("resnet10t", num_classes=5), 64, CONVNET),
    "timm ViT": (
        lambda: timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, num_classes=5, depth=2),
        32,
        TRANSFORMER,
    ),
}


# Which others are followed in the same way: by graph or by tap, of tokens or of a convnet.
ALIKE = {"Hugging Face ViT", "timm ViT", "timm ResNet"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in ALIKE else name for name in MODELS]
)
def test_every_method(name: str) -> None:
    make, size, impossible = MODELS[name]
    torch.manual_seed(0)
    model = make().eval()
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    before = state_of(model)
    for method in METHODS:
        options = FEW.get(method, {})
        if method in impossible:
            with pytest.raises(FuncamError, match="use "):
                funcam.explain(model, images, [[0, 1], [2, 3]], method=method)
            continue
        both = funcam.explain(model, images, [[0, 1], [2, 3]], method=method, **options).maps
        alone = funcam.explain(model, images[1:], 3, method=method, **options).maps[0]
        assert (both[1, 1] - alone).abs().max() <= 1e-3 * alone.abs().max(), method
    assert state_of(model) == before


def test_a_segmentation_network() -> None:
    torch.manual_seed(0)
    model = torchvision.models.segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None).eval()
    images = torch.randn(2, 3, 64, 64)
    mask = torch.zeros(64, 64)
    mask[:32] = 1
    result = funcam.explain(model, images, funcam.segmentation(5, mask), layer="backbone.16")
    want = (model(images)["out"][:, 5] * mask).sum((1, 2)) / mask.sum()
    torch.testing.assert_close(result.scores, want.detach(), rtol=1e-4, atol=1e-6)
    assert result.maps.shape[0] == 2
    for method in ("ablation-cam", "seg-eigen-cam", "gradient"):
        assert (
            funcam.explain(model, images[:1], funcam.segmentation(5, mask), layer="backbone.16", method=method)
            .maps.isfinite()
            .all()
        )


def test_a_detector() -> None:
    torch.manual_seed(0)
    model = torchvision.models.detection.fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None, weights_backbone=None, box_score_thresh=0.0, box_detections_per_img=5, min_size=96, max_size=96
    ).eval()
    images = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    found = model(list(images))[0]
    target = funcam.box_score(found["boxes"][0].detach(), int(found["labels"][0]))
    result = funcam.explain(funcam.detector(model), images, target)
    torch.testing.assert_close(result.scores, found["scores"][:1].detach(), rtol=1e-3, atol=1e-5)
    assert torch.isfinite(result.maps).all()


def test_a_video_network() -> None:
    torch.manual_seed(0)
    model = VideoResNet(BasicBlock, [Conv3DSimple] * 4, [1] * 4, BasicStem, num_classes=4).eval()
    clips = torch.randn(2, 3, 4, 24, 24)
    for method in ("grad-cam++", "layer-cam", "eigen-cam", "ablation-cam", "guided-grad-cam"):
        result = funcam.explain(model, clips, [1, 2], method=method, layer="layer3")
        assert result.maps.shape[1:] == ((3, 4, 24, 24) if method == "guided-grad-cam" else (1, 3, 3))
