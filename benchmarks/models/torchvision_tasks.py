"""torchvision's segmentation and video models."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from benchmarks.models.entry import Entry


def entries() -> list[Entry]:
    """Every segmentation and every video model of torchvision's."""
    return _segmentation() + _video()


def _segmentation() -> list[Entry]:
    resnets, deeplab = ("resnet50", "resnet101"), "classifier[0] is the ASPP, 3 its last ReLU, 4 the scores"
    return [
        *(
            _dense(
                f"fcn_{body}",
                ("backbone.layer4", "classifier.2"),
                (8, 12),
                f"x = classifier(features['out']), out is layer4; aux reads layer3. {fcn}",
                aux=True,
            )
            for body in resnets
            for fcn in ("classifier[2] is the last ReLU, 4 the scores. Dilated: stride 8",)
        ),
        *(
            _dense(
                f"deeplabv3_{body}",
                ("backbone.layer4", "classifier.0", "classifier.3"),
                (8, 12),
                f"x = classifier(features['out']), out is layer4; aux reads layer3. {deeplab}. Dilated: stride 8",
                aux=True,
            )
            for body in resnets
        ),
        _dense(
            "deeplabv3_mobilenet_v3_large",
            ("backbone.16", "classifier.0", "classifier.3"),
            (4, 6),
            f"out is features.16, aux is C2's block; {deeplab}. Dilated in C4: stride 16",
            aux=True,
        ),
        _dense(
            "lraspp_mobilenet_v3_large",
            ("backbone.16", "backbone.4"),
            (4, 6),
            "high is backbone.16, low is backbone.4 (C2, stride 8), from which high comes: low_classifier(low) + "
            "high_classifier(cbr(high) * scale(high))",
            aux=False,
        ),
    ]


def _dense(name: str, layers: tuple[str, ...], grid: tuple[int, int], why: str, *, aux: bool) -> Entry:
    options: dict[str, Any] = {"weights": None, "weights_backbone": None, "num_classes": 5}
    return Entry(
        f"torchvision/{name}",
        partial(make, name, options | ({"aux_loss": True} if aux else {})),
        (3, 64, 96),
        layers,
        grid,
        target=mean_of_class_1,
        output="out",
        kind="segmentation",
        why=why,
    )


def mean_of_class_1(outputs: Any) -> Tensor:
    """The mean of class 1's scores over the image, of what the main head returned."""
    scores: Tensor = outputs["out"][:, 1].mean((1, 2))
    return scores


def make(name: str, options: dict[str, Any]) -> nn.Module:
    from torchvision import models

    build: Callable[..., nn.Module] = models.get_model_builder(name)
    return build(**options)


def _video() -> list[Entry]:
    stages = "stem (1, 2, 2), layer1 1"
    mvit = (
        "x = norm(x); x = x[:, 0]: behind the last block's attention the class token reads no other. The builder wants "
        "16 x 224 x 224: the same class with 5 blocks, proj (2, 4, 4), q strides (1, 2, 2) in blocks 1 and 3"
    )
    swin = (
        "patch_embed [B, T, H, W, C] -> features (its last stage is 6) -> norm -> permute -> avgpool; patches (2, 4, 4)"
    )
    return [
        _clip("r3d_18", (16, 48, 64), ("layer4",), (2, 3, 4), f"layer4 -> avgpool; {stages}, then 2 in all three axes"),
        _clip("mc3_18", (4, 64, 80), ("layer4",), (4, 4, 5), f"layer4 -> avgpool; {stages}, no stride over time"),
        _clip("r2plus1d_18", (16, 48, 64), ("layer4",), (2, 3, 4), f"layer4 -> avgpool; {stages}, then 2 everywhere"),
        _clip(
            "s3d",
            (16, 96, 128),
            ("features.15", "features"),
            (2, 3, 4),
            "features[15] is the last inception block; AvgPool3d((2, 7, 7)) follows, here (2, 3, 4) for a smaller clip",
            make_clip=make_s3d,
        ),
        *(
            _clip(name, (8, 128, 96), ("blocks.4.norm1",), (4, 8, 6), mvit, "tokens", 1, make_mvit)
            for name in ("mvit_v1_b", "mvit_v2_s")
        ),
        *(
            _clip(name, (4, 96, 128), ("norm", "features.6", "features"), (2, 3, 4), swin, "channels-last")
            for name in ("swin3d_t", "swin3d_s", "swin3d_b")
        ),
    ]


def _clip(
    name: str,
    size: tuple[int, int, int],
    layers: tuple[str, ...],
    grid: tuple[int, int, int],
    why: str,
    layout: str = "channels-first",
    prefix: int = 0,
    make_clip: Callable[[str], nn.Module] | None = None,
) -> Entry:
    return Entry(
        f"torchvision/{name}",
        partial(make_clip, name) if make_clip else partial(make, name, {"weights": None}),
        (3, *size),
        layers,
        grid,
        layout=layout,
        prefix=prefix,
        kind="video",
        why=why,
    )


def make_s3d(name: str) -> nn.Module:
    model: Any = make(name, {"weights": None})
    model.avgpool.kernel_size = (2, 3, 4)
    return model  # type: ignore[no-any-return]


def make_mvit(name: str) -> nn.Module:
    """Five blocks of the first or the second version, of a clip of 8 x 128 x 96."""
    from torchvision.models.video.mvit import MSBlockConfig, MViT

    second = name == "mvit_v2_s"
    widths = [32, 32, 64, 64, 128, 128] if second else [32, 64, 64, 128, 128, 128]
    pooled = [[], [1, 2, 2], [], [1, 2, 2], []]
    blocks = [
        MSBlockConfig(
            num_heads=(1, 2, 2, 4, 4)[i],
            input_channels=widths[i],
            output_channels=widths[i + 1],
            kernel_q=[3, 3, 3] if second or pooled[i] else [],
            kernel_kv=[3, 3, 3],
            stride_q=pooled[i] or ([1, 1, 1] if second else []),
            stride_kv=[1, 4 // 2 ** (i // 2), 4 // 2 ** (i // 2)],
        )
        for i in range(5)
    ]
    return MViT(
        spatial_size=(128, 96),
        temporal_size=8,
        block_setting=blocks,
        residual_pool=second,
        residual_with_cls_embed=False,
        rel_pos_embed=second,
        proj_after_attn=second,
        num_classes=10,
    )
