"""Detectors of transformers: what all class scores come from."""

from __future__ import annotations

from typing import Any

from benchmarks.models.entry import Entry
from benchmarks.models.tiny import class_over_queries, config, tiny

IMAGE, GRID = (3, 128, 160), (4, 5)  # a stride of 32
MAPS: dict[str, Any] = {"embedding_size": 16, "hidden_sizes": [16, 24, 32, 40], "depths": [1, 1, 1, 1]}
LAST = {"out_features": ["stage4"]}
THREE = {"out_features": ["stage2", "stage3", "stage4"]}
TRANSFORMER: dict[str, Any] = {
    "num_labels": 5,
    "num_queries": 6,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
}


def entries() -> list[Entry]:
    """The detectors."""
    return [*detr(), *deformable(), *rt_detr(), yolos()]


def queries(name: str, why: str, *, variant: str = "", **fields: Any) -> Entry:
    """An entry with class 1 over all queries as its score."""
    return Entry(
        name=f"transformers/{name}{variant}",
        target=class_over_queries("logits"),
        kind="detection",
        why=why,
        **fields,
    )


def detr() -> list[Entry]:
    """DETR and its relatives: an encoder over the backbone's last map."""
    read = "the queries read the tokens behind the encoder's last block alone ({source}): it, or, as a map, "
    "`input_projection` before the encoder"
    return [
        queries(
            name,
            read.format(source=source),
            make=tiny(name, **TRANSFORMER, backbone_config=config("ResNetConfig", **MAPS, **LAST)),
            image=IMAGE,
            layers=("model.encoder.layers.1", "model.encoder.layers.1.final_layer_norm"),
            grid=GRID,
            layout="tokens",
        )
        for name, source in (
            ("DetrForObjectDetection", "modeling_detr.py:1242, :1261"),
            ("ConditionalDetrForObjectDetection", "modeling_conditional_detr.py:1450, :1472"),
        )
    ]


def deformable() -> list[Entry]:
    """Deformable DETR with one level and with four."""
    name, source = "DeformableDetrForObjectDetection", "modeling_deformable_detr.py:1437, :1487"
    return [
        queries(
            name,
            f"with one level the queries sample the tokens behind the encoder's last block alone ({source})",
            variant="-one-level",
            make=tiny(
                name, **TRANSFORMER, num_feature_levels=1, backbone_config=config("ResNetConfig", **MAPS, **LAST)
            ),
            image=IMAGE,
            layers=("model.encoder.layers.1", "model.encoder.layers.1.final_layer_norm"),
            grid=GRID,
            layout="tokens",
        ),
        queries(
            name,
            "four levels stand one after the other in the encoder's tokens (modeling_deformable_detr.py:1428), which "
            "are no one grid: the backbone's last stage, from which two levels are made (:1394)",
            variant="-four-levels",
            make=tiny(name, **TRANSFORMER, backbone_config=config("ResNetConfig", **MAPS, **THREE)),
            image=IMAGE,
            layers=("model.backbone.model.encoder.stages.3", "model.backbone.model.encoder.stages.3.layers.0"),
            grid=GRID,
        ),
    ]


def rt_detr() -> list[Entry]:
    """RT-DETR: attention on the last level, then two ways through three levels."""
    settings = {key: value for key, value in TRANSFORMER.items() if key != "encoder_layers"} | {
        "encoder_layers": 1,
        "encoder_hidden_dim": 32,
        "encoder_in_channels": [24, 32, 40],
        "decoder_in_channels": [32, 32, 32],
        "decoder_n_points": 2,
    }
    return [
        queries(
            name,
            f"the encoder's three maps stand one after the other behind {source}, which are no one grid: the last "
            "level behind its attention, from which the other two take their upper part, or as it leaves the "
            "backbone",
            make=tiny(name, **settings, backbone_config=config("RTDetrResNetConfig", **MAPS, **THREE)),
            image=IMAGE,
            layers=("model.encoder.aifi.0", "model.backbone.model.encoder.stages.3"),
            grid=GRID,
        )
        for name, source in (
            ("RTDetrForObjectDetection", "modeling_rt_detr.py:1639"),
            ("RTDetrV2ForObjectDetection", "modeling_rt_detr_v2.py:1557"),
        )
    ]


def yolos() -> Entry:
    """YOLOS: detection tokens behind the patches."""
    return queries(
        "YolosForObjectDetection",
        "the last six tokens are read off behind the last norm (modeling_yolos.py:609): the norm in front of the last "
        "attention, or the block before; a class token stands in front, the detection tokens behind (:106)",
        make=tiny(
            "YolosForObjectDetection",
            num_labels=5,
            hidden_size=32,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=64,
            image_size=[32, 48],
            patch_size=8,
            num_detection_tokens=6,
        ),
        image=(3, 32, 48),
        layers=("vit.encoder.layer.2.layernorm_before", "vit.encoder.layer.1"),
        grid=(4, 6),
        layout="tokens",
        prefix=1,
        suffix=6,
    )
