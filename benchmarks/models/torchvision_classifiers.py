"""torchvision's 80 classifiers: a table by name with the layer, the grid there and the smallest usual image."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from benchmarks.models.entry import Entry


class Row(NamedTuple):
    """What a family has in common; `options` are keywords of torchvision's builder."""

    names: tuple[str, ...]
    layers: tuple[str, ...]
    grid: tuple[int, int]
    image: tuple[int, int]
    why: str
    layout: str = "channels-first"
    prefix: int = 0
    options: tuple[tuple[str, Any], ...] = ()


_SWIN_WHY = "features -> norm -> permute -> avgpool: all hold the last stage's map, [B, H, W, C] up to the permute"
_VIT_WHY = "x = encoder(x); x = x[:, 0]: behind the last block's attention the class token reads no other token"
_VGG_WHY = "features ends in ReLU, MaxPool; then avgpool and the classifier"
_EFFICIENT_WHY = "features (stem, the stages, a last Conv2dNormActivation) -> avgpool -> classifier"

ROWS = (
    Row(
        ("alexnet",),
        ("features.11",),
        (7, 9),
        (127, 159),
        "features[11] is the ReLU before the last MaxPool (12): (127 - 7) // 4 + 1 = 31, 15, 7; 39, 19, 9",
    ),
    *(
        Row((name,), (f"features.{last}",), (4, 6), (64, 96), f"{_VGG_WHY} (features.{last + 1})")
        for name, last in {
            "vgg11": 19,
            "vgg11_bn": 27,
            "vgg13": 23,
            "vgg13_bn": 33,
            "vgg16": 29,
            "vgg16_bn": 42,
            "vgg19": 35,
            "vgg19_bn": 51,
        }.items()
    ),
    Row(
        (
            *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
            *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2"),
        ),
        ("layer4",),
        (4, 5),
        (128, 160),
        "x = layer4(x); x = avgpool(x): stride 32",
    ),
    Row(
        ("densenet121", "densenet161", "densenet169", "densenet201"),
        ("features.norm5", "features", "relu"),
        (4, 5),
        (128, 160),
        "features ends in norm5; F.relu(features, inplace=True) and pooling follow: the ReLU has no module",
    ),
    Row(
        ("googlenet",),
        ("inception5b",),
        (4, 5),
        (128, 160),
        "inception5b -> avgpool; aux1 and aux2 are modules that evaluation never calls",
        options=(("aux_logits", True), ("init_weights", False)),
    ),
    Row(
        ("inception_v3",),
        ("Mixed_7c",),
        (3, 4),
        (160, 192),
        "Mixed_7c -> avgpool; AuxLogits is never called in evaluation; 79, 77, 38, 36, 17, 8, 3; 95, 46, 44, 21, 10",
        options=(("aux_logits", True), ("init_weights", False)),
    ),
    Row(
        ("mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3"),
        ("layers.16", "layers"),
        (4, 5),
        (128, 160),
        "layers ends in Conv2d (14), BatchNorm2d (15), ReLU(inplace) (16); x.mean([2, 3]) follows",
    ),
    Row(
        ("mobilenet_v2",),
        ("features.18", "features"),
        (4, 5),
        (128, 160),
        "features[18] is the last Conv2dNormActivation; adaptive_avg_pool2d follows",
    ),
    Row(
        ("mobilenet_v3_large",),
        ("features.16", "features"),
        (4, 5),
        (128, 160),
        "15 blocks between the stem (0) and the last Conv2dNormActivation (16); avgpool follows",
    ),
    Row(
        ("mobilenet_v3_small",),
        ("features.12", "features"),
        (4, 5),
        (128, 160),
        "11 blocks between the stem (0) and the last Conv2dNormActivation (12); avgpool follows",
    ),
    Row(
        (*(f"efficientnet_b{i}" for i in range(8)), "efficientnet_v2_m", "efficientnet_v2_l"),
        ("features.8", "features"),
        (4, 5),
        (128, 160),
        f"{_EFFICIENT_WHY}: 7 stages, so features.8",
    ),
    Row(
        ("efficientnet_v2_s",),
        ("features.7", "features"),
        (4, 5),
        (128, 160),
        f"{_EFFICIENT_WHY}: 6 stages, so features.7",
    ),
    Row(
        tuple(f"regnet_{kind}" for kind in ("x_400mf", "x_800mf", "x_1_6gf", "x_3_2gf", "x_8gf", "x_16gf", "x_32gf"))
        + tuple(f"regnet_{kind}" for kind in ("y_400mf", "y_800mf", "y_1_6gf", "y_3_2gf", "y_8gf", "y_16gf", "y_32gf")),
        ("trunk_output.block4", "trunk_output"),
        (4, 5),
        (128, 160),
        "x = trunk_output(x), whose last child is block4; avgpool follows",
    ),
    Row(
        ("regnet_y_128gf",),
        ("trunk_output.block4", "trunk_output"),
        (2, 3),
        (64, 96),
        "x = trunk_output(x), whose last child is block4; avgpool follows (645 million weights: a small image)",
    ),
    Row(
        ("shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0"),
        ("conv5",),
        (4, 5),
        (128, 160),
        "x = conv5(x), which ends in a ReLU; x.mean([2, 3]) follows",
    ),
    Row(
        ("squeezenet1_0", "squeezenet1_1"),
        ("features.12", "features"),
        (7, 9),
        (128, 160),
        "features[12] is the last Fire; the classifier's convolution makes one map a class: no weights behind that one",
    ),
    Row(
        tuple(f"swin_{kind}" for kind in ("t", "s", "b", "v2_t", "v2_s", "v2_b")),
        ("norm", "features.7", "permute", "features"),
        (4, 5),
        (128, 160),
        _SWIN_WHY,
        layout="channels-last",
    ),
    Row(
        tuple(f"convnext_{kind}" for kind in ("tiny", "small", "base", "large")),
        ("features.7", "features"),
        (4, 5),
        (128, 160),
        "features (its last stage is 7) -> avgpool -> LayerNorm2d; layer_scale is 1e-6 at first, here 0.5",
        options=(("layer_scale", 0.5),),
    ),
    Row(
        ("maxvit_t",),
        ("blocks.3",),
        (7, 7),
        (224, 224),
        "for block in blocks: x = block(x); classifier[0] is the pooling. Partitions of 7 on four scales: 224 at least",
    ),
    *(
        Row(
            (name,),
            (f"encoder.layers.encoder_layer_{last}.ln_1", f"encoder.layers.encoder_layer_{last - 1}"),
            (4, 4),
            (4 * patch, 4 * patch),
            f"{_VIT_WHY}; heads.head is zero at first, here normal. Square by its own check",
            layout="tokens",
            prefix=1,
            options=(("image_size", 4 * patch),),
        )
        for name, last, patch in (
            ("vit_b_16", 11, 16),
            ("vit_b_32", 11, 32),
            ("vit_l_16", 23, 16),
            ("vit_l_32", 23, 32),
            ("vit_h_14", 31, 14),
        )
    ),
)

_LARGE = (
    "regnet_y_128gf",
    "regnet_y_32gf",
    "regnet_x_32gf",
    "vit_l_16",
    "vit_l_32",
    "vit_h_14",
    "convnext_large",
    *(f"vgg{kind}" for kind in ("11", "11_bn", "13", "13_bn", "16", "16_bn", "19", "19_bn")),
)


def entries() -> list[Entry]:
    """One entry for each name of the table."""
    return [_entry(row, name) for row in ROWS for name in row.names]


def _entry(row: Row, name: str) -> Entry:
    return Entry(
        f"torchvision/{name}",
        partial(make, name, dict(row.options)),
        (3, *row.image),
        row.layers,
        row.grid,
        layout=row.layout,
        prefix=row.prefix,
        why=row.why,
    )


def make(name: str, options: dict[str, Any]) -> nn.Module:
    """A classifier with random values."""
    from torchvision import models

    build: Callable[..., nn.Module] = partial(models.get_model, name, weights=None, **options)
    model = filled(build) if name in _LARGE else build()
    head = getattr(getattr(model, "heads", None), "head", None)
    if isinstance(head, nn.Linear):
        nn.init.normal_(head.weight, std=0.05)
    return model


class _Unfilled(TorchFunctionMode):
    """Inside, tensors aren't filled with random numbers: a large model is made in a second instead of a minute."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in ("normal_", "uniform_", "erfinv_", "trunc_normal_", "kaiming_normal_"):
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def filled(build: Callable[[], nn.Module]) -> nn.Module:
    """A large model, filled cheaply: weights of the usual size from a million random numbers, norms of one."""
    with _Unfilled():
        model = build()
    pool = torch.rand(999_983) * 2 - 1
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            with torch.no_grad():
                if parameter.ndim > 1:
                    for part in parameter.view(-1).split(len(pool)):
                        part.copy_(pool[: len(part)])
                    parameter.mul_((3 / parameter[0].numel()) ** 0.5)
                else:
                    parameter.fill_(1.0 if name == "weight" else 0.0)
    return model
