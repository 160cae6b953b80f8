"""Models of other libraries and other tasks: cut at a layer they are the model, and their gradient is autograd's."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torchvision
from small import randomised, state_of
from torch import nn
from torch.func import vjp, vmap
from torchvision.models.resnet import Bottleneck
from torchvision.models.segmentation import lraspp_mobilenet_v3_large
from torchvision.models.video.resnet import BasicBlock, BasicStem, Conv3DSimple, VideoResNet

import funcam
from funcam.network.tap import Inputs


def timm(name: str, **options: Any) -> nn.Module:
    return pytest.importorskip("timm").create_model(name, num_classes=5, **options)


def hf_resnet() -> nn.Module:
    hf = pytest.importorskip("transformers")
    sizes = {"embedding_size": 8, "hidden_sizes": [8, 12], "depths": [1, 2]}
    return hf.ResNetForImageClassification(hf.ResNetConfig(**sizes, layer_type="basic", num_labels=5))


def hf_vit() -> nn.Module:
    hf = pytest.importorskip("transformers")
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    return hf.ViTForImageClassification(hf.ViTConfig(**sizes, image_size=32, patch_size=8, num_labels=5))


def video() -> nn.Module:
    """A quarter of R3D-18: a block in each stage."""
    return VideoResNet(BasicBlock, [Conv3DSimple] * 4, [1] * 4, BasicStem, num_classes=5)


def audio() -> nn.Module:
    blocks = [nn.Conv1d(2, 6, 5, stride=2), nn.BatchNorm1d(6), nn.ReLU(inplace=True), nn.Conv1d(6, 8, 3), nn.ReLU()]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 5))


TINY_SWIN = {"img_size": 32, "window_size": 4, "embed_dim": 8, "depths": (2, 2), "num_heads": (2, 2)}
TINY_CONVNEXT = {"depths": (1, 1, 2, 1), "dims": (8, 16, 24, 32)}
VIT = torchvision.models.VisionTransformer


@dataclass
class Case:
    make: Callable[[], nn.Module]
    images: tuple[int, ...]
    default: str
    other: str  # another layer: what skips it is closed over
    skips: bool  # whether anything but the batch skips one of the two
    via: str = "fx"
    batches: tuple[int, ...] = (1, 2, 3)


CASES = {
    "timm convnet": Case(lambda: timm("resnet10t"), (3, 64, 64), "layer4", "layer4.0.conv1", True),
    "timm mobilenet": Case(lambda: timm("mobilenetv3_small_050"), (3, 64, 64), "blocks", "blocks.3.1.conv_pw", True),
    "timm convnext": Case(
        lambda: timm("convnext_atto", **TINY_CONVNEXT), (3, 64, 64), "stages", "stages.2.blocks.1.conv_dw", True
    ),
    "timm vit": Case(
        lambda: timm("vit_tiny_patch16_224", img_size=64, depth=2, embed_dim=48),
        (3, 64, 64),
        "blocks.1.norm1",
        "blocks.0",
        True,
    ),
    "timm swin": Case(
        lambda: timm("swin_tiny_patch4_window7_224", **TINY_SWIN),
        (3, 32, 32),
        "layers.1.blocks.1.norm1",
        "layers.0.blocks.1.norm2",
        True,
    ),
    "torchvision vit": Case(
        lambda: VIT(32, 8, 2, 2, 16, 32, num_classes=5),
        (3, 32, 32),
        "encoder.layers.encoder_layer_1.ln_1",
        "encoder.layers.encoder_layer_0",
        True,
    ),
    "hf resnet": Case(
        hf_resnet, (3, 64, 64), "resnet.encoder.stages.1", "resnet.encoder.stages.1.layers.0.layer.1.convolution",
        True, "export",
    ),
    "hf vit": Case(hf_vit, (3, 32, 32), "vit.layers.1.layernorm_before", "vit.layers.0", True, "export"),
    "segmentation": Case(
        lambda: lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=5),
        (3, 64, 64),
        "classifier.interpolate",
        "backbone.12",
        True,
        batches=(2,),
    ),
    "video": Case(video, (3, 4, 32, 32), "layer4", "layer4.0.conv2.0", True, batches=(2,)),
    "1-D": Case(audio, (2, 40), "4", "1", False),
}  # fmt: skip
BOTH = [
    *((name, None) for name in CASES),
    ("1-D", "export"),
    *(pytest.param(name, "export", marks=pytest.mark.slow) for name in ("torchvision vit", "timm vit", "timm swin")),
]


def values_of(outputs: Any) -> torch.Tensor:
    """The logits in what a model returns."""
    if isinstance(outputs, torch.Tensor):
        return outputs
    key = "out" if "out" in outputs else "logits"
    return outputs[key]


def by_hand(model: nn.Module, layer: str, images: torch.Tensor, seed: int) -> tuple[torch.Tensor, ...]:
    """What a module returned, and the gradient there of a random mix of the outputs, by a hook and plain autograd."""
    model = copy.deepcopy(model).requires_grad_(False)
    seen: dict[str, torch.Tensor] = {}

    def add_delta(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        seen["A"] = output.clone()
        seen["delta"] = torch.zeros_like(output, requires_grad=True)
        return output + seen["delta"]

    model.get_submodule(layer).register_forward_hook(add_delta)
    outputs = values_of(model(images))
    (g,) = torch.autograd.grad((outputs * weights_like(outputs, seed)).sum(), seen["delta"])
    return seen["A"], g


def weights_like(outputs: torch.Tensor, seed: int) -> torch.Tensor:
    return torch.randn(outputs.shape, generator=torch.Generator().manual_seed(seed), dtype=outputs.dtype)


def as_map(tensor: torch.Tensor, A: torch.Tensor) -> torch.Tensor:
    """Tokens and channels-last in the shape of ``A``: the last tokens are the grid, row by row."""
    if tensor.ndim == 3 and A.ndim == 4:
        return tensor[:, -A.shape[2:].numel() :].transpose(1, 2).reshape(A.shape)
    return tensor if tensor.shape == A.shape else tensor.movedim(-1, 1)


@pytest.mark.parametrize(("name", "via"), BOTH)
def test_a_split_is_the_model_and_its_gradient_is_autograds(name: str, via: str | None) -> None:
    case = CASES[name]
    torch.manual_seed(0)
    model = randomised(case.make()).eval().double()
    images = torch.randn(2, *case.images, dtype=torch.float64)
    before = state_of(model)
    cut = funcam.split(model, example=images, via=via)
    assert cut.layer == case.default
    for layer in (case.default, case.other):
        cut = funcam.split(model, layer, example=images, via=via)
        for batch in case.batches:
            check(model, cut, torch.randn(batch, *case.images, dtype=torch.float64))
        check_rows(cut, images[:1], crossed=case.skips)
    layers = funcam.list_layers(model, images.shape)
    assert [layer.name for layer in layers if layer.default] == [case.default]
    assert state_of(model) == before


def check(model: nn.Module, cut: funcam.Split, images: torch.Tensor) -> None:
    want = model(images)
    A, head = cut(images)
    outputs, pullback = vjp(lambda A: values_of(head(A)), A.detach())
    assert isinstance(head(A), dict) if isinstance(want, dict) else type(head(A)) is type(want)
    torch.testing.assert_close(outputs, values_of(want))
    modules = dict(model.named_modules())
    if cut.layer in modules:
        raw, g = by_hand(model, cut.layer, images, 1)
        torch.testing.assert_close(A.detach(), as_map(raw, A))
        torch.testing.assert_close(pullback(weights_like(outputs, 1))[0], as_map(g, A), rtol=1e-6, atol=1e-10)


def check_rows(cut: funcam.Split, image: torch.Tensor, *, crossed: bool) -> None:
    """Changed features of one image, many at once: what the perturbation methods do."""
    A, head = cut(image)
    rows = A.detach() * torch.rand(4, A.shape[1], *[1] * (A.ndim - 2), dtype=A.dtype)
    want = torch.stack([values_of(head(row[None]))[0] for row in rows])
    got = vmap(lambda row: values_of(head(row[None]))[0])(rows)
    torch.testing.assert_close(got, want)
    assert (want - want[:1]).abs().max() > 0
    if not crossed:
        assert len(cut.settled(Inputs(image)).cut.names) == 1
        torch.testing.assert_close(values_of(head(rows)), want)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name == "hf resnet" else name
        for name, case in CASES.items()
        if case.via == "export"
    ],
)
@pytest.mark.parametrize(("via", "way"), [(None, "tap"), pytest.param("export", "export", marks=pytest.mark.slow)])
def test_a_model_that_fx_cannot_follow_is_tapped_and_exported_if_asked(name: str, via: str | None, way: str) -> None:
    case = CASES[name]
    model = randomised(case.make()).eval()
    images = torch.randn(2, *case.images)
    with pytest.raises(funcam.FuncamError, match="can't be traced"):
        funcam.split(model, case.default, example=images, via="fx")
    with pytest.raises(funcam.FuncamError, match=r"can't be traced.*\.py:\d+ in .*list_layers\(model, images\)"):
        funcam.list_layers(model)
    cut = funcam.split(model, case.default, via=via)
    A, head = cut(images)
    assert cut.way == way
    assert type(head(A)) is type(model(images))
    torch.testing.assert_close(head(A).logits, model(images).logits)


@pytest.mark.parametrize("via", ["fx", pytest.param("export", marks=pytest.mark.slow)])
def test_a_skip_connection_across_the_cut_of_a_resnet_under_vmap(via: str) -> None:
    model = torchvision.models.ResNet(Bottleneck, [1, 1, 1, 2], num_classes=5).eval()
    image = torch.rand(1, 3, 64, 64)
    cut = funcam.split(model, "layer4.1.conv3", example=image, via=via)
    assert len(cut.settled(Inputs(image)).cut.names) == 2
    check_rows(cut, image, crossed=True)
