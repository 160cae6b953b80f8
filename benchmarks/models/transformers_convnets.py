"""Convolutional classifiers of transformers: `[B, C, H, W]` up to the pooling."""

from __future__ import annotations

from typing import Any

from benchmarks.models.entry import Entry
from benchmarks.models.tiny import calibrated, first_component, tiny

WIDTHS: dict[str, Any] = {"hidden_sizes": [16, 24, 32, 40], "depths": [1, 1, 2, 2]}
LABELS: dict[str, Any] = {"num_labels": 5}
IMAGE, GRID = (3, 128, 160), (4, 5)  # a stride of 32


def entries() -> list[Entry]:
    """The convolutional classifiers."""
    return [*residual(), *convnext(), *mobile(), *others(), *timm()]


def pooled(
    name: str,
    layers: tuple[str, ...],
    why: str,
    *,
    image: tuple[int, ...] = IMAGE,
    grid: tuple[int, ...] = GRID,
    variant: str = "",
    output: str = "logits",
    **settings: Any,
) -> Entry:
    """An entry whose map is averaged right before the classifier."""
    return Entry(
        name=f"transformers/{name}{variant}",
        make=calibrated(tiny(name, **LABELS | settings), image),
        image=image,
        layers=layers,
        grid=grid,
        output=output,
        why=why,
    )


def residual() -> list[Entry]:
    """ResNet, RegNet, BiT."""
    stem: dict[str, Any] = {"embedding_size": 16}
    resnet, regnet = "resnet.encoder.stages.3", "regnet.encoder.stages.3"
    return [
        pooled(
            "ResNetForImageClassification",
            (resnet, f"{resnet}.layers.1", f"{resnet}.layers.1.activation"),
            "the last stage, behind its ReLU (modeling_resnet.py:321: pooler(last_hidden_state))",
            **WIDTHS | stem,
        ),
        pooled(
            "ResNetForImageClassification",
            (resnet, f"{resnet}.layers.1", f"{resnet}.layers.1.activation"),
            "the last stage, basic blocks (modeling_resnet.py:321; :134 adds the residual in place)",
            variant="-basic",
            layer_type="basic",
            **WIDTHS | stem,
        ),
        pooled(
            "RegNetForImageClassification",
            (regnet, f"{regnet}.layers.1", f"{regnet}.layers.1.activation"),
            "the last stage, behind its ReLU (modeling_regnet.py:312)",
            groups_width=8,
            **WIDTHS | stem,
        ),
        pooled(
            "BitForImageClassification",
            ("bit.norm", "bit.encoder.stages.3", "bit.encoder.stages.3.layers.1"),
            "the norm with ReLU behind the last preactivation stage (modeling_bit.py:670, :672)",
            num_groups=4,
            **WIDTHS | stem,
        ),
        pooled(
            "BitForImageClassification",
            (
                "bit.encoder.stages.3",
                "bit.norm",
                "bit.encoder.stages.3.layers.1",
                "bit.encoder.stages.3.layers.1.activation",
            ),
            "the last stage of bottlenecks; `norm` is an Identity then (modeling_bit.py:649)",
            variant="-bottleneck",
            layer_type="bottleneck",
            num_groups=4,
            **WIDTHS | stem,
        ),
    ]


def convnext() -> list[Entry]:
    """ConvNeXt, its second version, and DINOv3's."""
    found = []
    for family, source in (("ConvNext", "modeling_convnext.py:277"), ("ConvNextV2", "modeling_convnextv2.py:299")):
        stage = f"{family.lower()}.encoder.stages.3"
        found.append(
            pooled(
                f"{family}ForImageClassification",
                (stage, f"{stage}.layers.1"),
                f"the last stage; the mean comes before the norm ({source}); the first stage's downsampling is an "
                "empty ModuleList",
                **WIDTHS,
            )
        )
    dino = Entry(
        name="transformers/DINOv3ConvNextModel",
        make=tiny("DINOv3ConvNextModel", **WIDTHS),
        image=IMAGE,
        layers=("model.stages.3", "model.stages.3.layers.1"),
        grid=GRID,
        target=first_component("pooler_output"),
        kind="embedding",
        why="the last stage is averaged, and the mean stands in front of the stage's positions as a token "
        "(modeling_dinov3_convnext.py:234, :241): at the norm behind, the pooled token reads no position",
    )
    return [*found, dino]


def mobile() -> list[Entry]:
    """MobileNet, MobileViT, EfficientNet and other small ones."""
    mobilevit: dict[str, Any] = {
        "hidden_sizes": [16, 24, 32],
        "neck_hidden_sizes": [8, 8, 16, 16, 24, 24, 48],
        "image_size": 128,
        "hidden_dropout_prob": 0.0,
    }
    return [
        pooled(
            "MobileNetV1ForImageClassification",
            ("mobilenet_v1.layer.25", "mobilenet_v1.layer.25.activation"),
            "the last of 26 convolutions, behind its ReLU6 (modeling_mobilenet_v1.py:215, :218)",
            depth_multiplier=0.25,
        ),
        pooled(
            "MobileNetV2ForImageClassification",
            ("mobilenet_v2.conv_1x1", "mobilenet_v2.conv_1x1.activation"),
            "the last 1 x 1 convolution, behind its ReLU6 (modeling_mobilenet_v2.py:351, :354)",
            depth_multiplier=0.25,
        ),
        pooled(
            "MobileViTForImageClassification",
            ("mobilevit.conv_1x1_exp", "mobilevit.conv_1x1_exp.activation"),
            "the expanding 1 x 1 convolution in front of the mean (modeling_mobilevit.py:669)",
            image=(3, 128, 192),
            grid=(4, 6),
            **mobilevit,
        ),
        pooled(
            "MobileViTV2ForImageClassification",
            ("mobilevitv2.encoder.layer.4", "mobilevitv2.encoder.layer.4.conv_projection"),
            "the last stage in front of the mean (modeling_mobilevitv2.py:643); it has no activation",
            image=(3, 128, 192),
            grid=(4, 6),
            width_multiplier=0.25,
            n_attn_blocks=[1, 1, 1],
            image_size=128,
        ),
        pooled(
            "EfficientNetForImageClassification",
            ("efficientnet.encoder.top_activation",),
            "the activation behind the last convolution and norm (modeling_efficientnet.py:419), averaged (:495)",
            width_coefficient=0.25,
            depth_coefficient=0.3,
            hidden_dim=320,
            image_size=128,
        ),
        pooled(
            "SwiftFormerForImageClassification",
            ("norm", "swiftformer.encoder.network.6"),
            "BatchNorm behind the last stage, then the mean (modeling_swiftformer.py:486, :487); two heads are "
            "averaged",
            depths=[1, 1, 1, 2],
            embed_dims=[16, 24, 32, 40],
        ),
        pooled(
            "PPLCNetForImageClassification",
            ("encoder.blocks.4", "encoder.blocks.4.layers.1"),
            "the last block; the pooling comes before `last_convolution` (modeling_pp_lcnet.py:359, :361); the logits "
            "are called last_hidden_state (:368)",
            output="last_hidden_state",
            scale=0.25,
            class_expand=64,
        ),
    ]


def others() -> list[Entry]:
    """PoolFormer, TextNet, HGNet."""
    return [
        pooled(
            "PoolFormerForImageClassification",
            ("norm",),
            "the norm behind the last stage, then the mean (modeling_poolformer.py:356); blocks return tuples",
            **WIDTHS,
        ),
        pooled(
            "TextNetForImageClassification",
            ("textnet.encoder.stages.3",),
            "the last stage is averaged by `classifier` (modeling_textnet.py:320); several branches are added within "
            "a layer",
            stem_out_channels=16,
            hidden_sizes=[16, 16, 24, 32, 40],
            conv_layer_kernel_sizes=[[[3, 3]], [[3, 3], [1, 3]], [[3, 3], [3, 1]], [[3, 3], [3, 1]]],
            conv_layer_strides=[[2], [2, 1], [2, 1], [2, 1]],
        ),
        pooled(
            "HGNetV2ForImageClassification",
            ("encoder.stages.3", "encoder.stages.3.blocks.0"),
            "the last stage is averaged by `classifier` (modeling_hgnet_v2.py:455); the same pool module stands at "
            "two names",
            stem_channels=[3, 8, 16],
            stage_in_channels=[16, 24, 32, 40],
            stage_mid_channels=[8, 8, 16, 16],
            stage_out_channels=[24, 32, 40, 48],
            hidden_sizes=[24, 32, 40, 48],
            stage_num_blocks=[1, 1, 2, 1],
            stage_numb_of_layers=[2, 2, 2, 2],
        ),
    ]


def timm() -> list[Entry]:
    """A network of timm in transformers' clothes."""
    layers = ("timm_model.layer4", "timm_model.layer4.0")
    why = "timm's ResNet within (modeling_timm_wrapper.py:380: logits = timm_model(pixel_values)), its last stage"
    return [pooled("TimmWrapperForImageClassification", layers, why, architecture="resnet10t")]
