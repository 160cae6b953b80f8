"""Segmentation networks of transformers."""

from __future__ import annotations

from typing import Any

from benchmarks.models.entry import Entry
from benchmarks.models.tiny import calibrated, class_over_pixels, class_over_queries, config, tiny

LABELS: dict[str, Any] = {"num_labels": 5}
MAPS: dict[str, Any] = {"hidden_sizes": [16, 24, 32, 40], "depths": [1, 1, 1, 2]}
FOUR = {"out_features": ["stage1", "stage2", "stage3", "stage4"]}


def entries() -> list[Entry]:
    """The segmentation networks."""
    return [*atrous(), *several_levels(), *upernet(), dpt(), *masks()]


def pixels(
    name: str,
    image: tuple[int, ...],
    layers: tuple[str, ...],
    grid: tuple[int, ...],
    why: str,
    *,
    variant: str = "",
    **settings: Any,
) -> Entry:
    """An entry with class 1 over all pixels as its score."""
    return Entry(
        name=f"transformers/{name}{variant}",
        make=calibrated(tiny(name, **LABELS | settings), image),
        image=image,
        layers=layers,
        grid=grid,
        target=class_over_pixels("logits"),
        kind="segmentation",
        why=why,
    )


# The first version of these lines had not looked into the head, whose last map, behind the backbone's, is as good.
HEAD = ("segmentation_head.aspp", "segmentation_head.conv_projection", "segmentation_head")


def atrous() -> list[Entry]:
    """MobileNet and MobileViT, whose DeepLab head reads the backbone's last map alone."""
    small: dict[str, Any] = {"aspp_out_channels": 16, "image_size": 128}
    return [
        pixels(
            "MobileNetV2ForSemanticSegmentation",
            (3, 128, 160),
            ("mobilenet_v2.layer.15", "mobilenet_v2.layer.15.reduce_1x1", *HEAD),
            (4, 5),
            "the head reads the last hidden state (modeling_mobilenet_v2.py:568), which is the last block's; "
            "`conv_1x1` behind it is run (:351) and read by nobody",
            depth_multiplier=0.25,
        ),
        pixels(
            "MobileViTForSemanticSegmentation",
            (3, 128, 192),
            ("mobilevit.encoder.layer.4", "mobilevit.encoder.layer.4.fusion", *HEAD),
            (4, 6),
            "the head reads the last hidden state alone (modeling_mobilevit.py:847): the last stage",
            hidden_sizes=[16, 24, 32],
            neck_hidden_sizes=[8, 8, 16, 16, 24, 24, 48],
            **small,
        ),
        pixels(
            "MobileViTV2ForSemanticSegmentation",
            (3, 128, 192),
            ("mobilevitv2.encoder.layer.4", "mobilevitv2.encoder.layer.4.conv_projection", *HEAD),
            (4, 6),
            "the head reads the last hidden state alone (modeling_mobilevitv2.py:826): the last stage",
            width_multiplier=0.25,
            n_attn_blocks=[1, 1, 1],
            **small,
        ),
    ]


def several_levels() -> list[Entry]:
    """Segformer, BEiT, Data2Vec: the head joins four levels of the backbone."""
    beit: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "image_size": 48,
        "patch_size": 8,
        "out_indices": [1, 2, 3, 4],
        "use_shared_relative_position_bias": True,
        "auxiliary_channels": 16,
    }
    joined = "the head joins four levels of the backbone in `fpn_bottleneck`, which the classifier reads ({source}); "
    "an auxiliary head isn't asked"
    entries = [
        pixels(
            "SegformerForSemanticSegmentation",
            (3, 128, 192),
            ("decode_head.activation", "decode_head.dropout"),
            (32, 48),
            "the head joins all four stages at a quarter of the size and classifies behind a ReLU "
            "(modeling_segformer.py:520, :524); the backbone's last stage alone, `segformer.stages.3`, carries a part "
            "of the score",
            decoder_hidden_size=24,
            num_attention_heads=[1, 2, 4, 5],
            mlp_ratios=[2, 2, 2, 2],
            **MAPS,
        )
    ]
    for name, source, image, grid in (
        ("Beit", "modeling_beit.py:870", (3, 32, 48), (16, 24)),
        (
            "Data2VecVision",
            "modeling_data2vec_vision.py:983, :1163: its grid is its configuration's, a square",
            (3, 48, 48),
            (24, 24),
        ),
    ):
        entries.append(
            pixels(
                f"{name}ForSemanticSegmentation",
                image,
                ("decode_head.fpn_bottleneck", "decode_head.fpn_bottleneck.activation"),
                grid,
                joined.format(source=source) + "; four times the grid of the patches",
                **beit,
            )
        )
    return entries


def upernet() -> list[Entry]:
    """UPerNet over three backbones."""
    settings: dict[str, Any] = {"hidden_size": 24, "auxiliary_channels": 16, "pool_scales": [1, 2]}
    swin = {"embed_dim": 16, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 4, 4], "window_size": 4}
    backbones = {
        "ResNet": (config("ResNetConfig", embedding_size=16, **MAPS, **FOUR), 32),
        "ConvNext": (config("ConvNextConfig", **MAPS, **FOUR), 32),
        "Swin": (config("SwinConfig", **swin, **FOUR), 64),
    }
    return [
        pixels(
            "UperNetForSemanticSegmentation",
            (3, 128, 160),
            ("decode_head.fpn_bottleneck", "decode_head.fpn_bottleneck.activation"),
            (32, 40),
            f"the head joins {backbone}'s four stages at a quarter of the size, and the classifier reads that "
            "(modeling_upernet.py:195); an auxiliary head reads the third stage and isn't asked",
            variant=f"-{backbone}",
            backbone_config=made,
            auxiliary_in_channels=third,
            **settings,
        )
        for backbone, (made, third) in backbones.items()
    ]


def dpt() -> Entry:
    """DPT: a vision transformer's tokens put together to maps and fused from the last to the first."""
    return pixels(
        "DPTForSemanticSegmentation",
        (3, 64, 64),
        ("head.head.2", "neck.fusion_stage.layers.3"),
        (32, 32),
        "the head reads the last fused map alone (modeling_dpt.py:1045) and classifies it behind a convolution with "
        "norm and ReLU; the tokens' side is taken as a square root, so it is square; an auxiliary head isn't asked",
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=64,
        image_size=64,
        patch_size=16,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[16, 16, 24, 24],
        neck_ignore_stages=[],
        fusion_hidden_size=16,
    )


def masks() -> list[Entry]:
    """MaskFormer and Mask2Former: queries with a class and a mask each."""
    resnet = config("ResNetConfig", embedding_size=16, **MAPS, **FOUR)
    decoder = {
        "d_model": 32,
        "encoder_layers": 1,
        "decoder_layers": 2,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "num_queries": 6,
    }
    last = (
        "model.pixel_level_module.encoder.encoder.stages.3",
        "model.pixel_level_module.encoder.encoder.stages.3.layers.1",
    )
    common: dict[str, Any] = {"image": (3, 128, 160), "grid": (4, 5), "kind": "segmentation"}
    return [
        Entry(
            name="transformers/MaskFormerForInstanceSegmentation",
            make=tiny(
                "MaskFormerForInstanceSegmentation",
                **LABELS,
                backbone_config=resnet,
                decoder_config=config("DetrConfig", **decoder, backbone_config={"model_type": "resnet"}),
                fpn_feature_size=32,
                mask_feature_size=32,
            ),
            layers=("model.transformer_module.input_projection", *last),
            target=class_over_queries("class_queries_logits"),
            why="the queries' classes come from the backbone's last map alone (modeling_maskformer.py:1812, :1666), "
            "projected; their masks come from the other levels too",
            **common,
        ),
        Entry(
            name="transformers/Mask2FormerForUniversalSegmentation",
            make=tiny(
                "Mask2FormerForUniversalSegmentation",
                **LABELS,
                backbone_config=resnet,
                feature_size=32,
                mask_feature_size=32,
                hidden_dim=32,
                encoder_feedforward_dim=32,
                dim_feedforward=32,
                encoder_layers=1,
                decoder_layers=3,
                num_attention_heads=4,
                num_queries=6,
            ),
            layers=(*last, "model.pixel_level_module.decoder.input_projections.0"),
            target=class_over_queries("class_queries_logits"),
            why="the queries read three levels in turn (modeling_mask2former.py:1342), so no map carries all; the "
            "last of the backbone, or its projection, which alone reads it (:1340)",
            **common,
        ),
    ]
