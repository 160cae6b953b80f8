"""timm's transformers in stages (windows, pyramids, several branches); the rule stands in `timm_resnets.py`."""

from __future__ import annotations

from benchmarks.models.entry import Entry
from benchmarks.models.small_timm import timm_entry

WIDE = (3, 128, 160)  # patches of 4, then three strides of two: 4 x 5
SIZED = {"img_size": WIDE[1:]}


def entries() -> list[Entry]:
    """The entries of this family.

    Returns:
        One entry a model.
    """
    return [*_windows(), *_maps(), *_hierarchies(), *_tokens(), *_branches()]


def _windows() -> list[Entry]:
    swin = "norm follows the stages, the head pools it; [B, H, W, C] from the patches on"
    return [
        timm_entry(
            "swin_tiny_patch4_window7_224",
            WIDE,
            "norm layers.3 layers",
            (4, 5),
            f"swin_transformer.py:1142-1143: {swin}",
            args=SIZED,
            layout="channels-last",
        ),
        timm_entry(
            "swin_s3_tiny_224",
            WIDE,
            "norm layers.3 layers",
            (4, 5),
            f"swin_transformer.py:1142-1143: {swin}; windows of another size in each stage",
            args=SIZED,
            layout="channels-last",
        ),
        timm_entry(
            "swinv2_tiny_window8_256",
            WIDE,
            "norm layers.3 layers",
            (4, 5),
            f"swin_transformer_v2.py:1109-1110: {swin}",
            args=SIZED,
            layout="channels-last",
        ),
        timm_entry(
            "swinv2_cr_tiny_224",
            WIDE,
            "stages.3 stages",
            (4, 5),
            "swin_transformer_v2_cr.py:1044: a stage turns [B, C, H, W] to [B, H, W, C] inside and back at its end",
            args=SIZED,
        ),
        timm_entry(
            "gcvit_xxtiny",
            (3, 224, 288),
            "stages.3 stages",
            (7, 9),
            "gcvit.py:602: a stage ends with its norm and goes back to [B, C, H, W]; windows need the image's size",
            args={"img_size": (224, 288)},
        ),
        timm_entry(
            "test_maxvit",
            (3, 128, 192),
            "norm stages.3 stages",
            (4, 6),
            "maxxvit.py:1713-1714: norm (LayerNorm2d) behind the stages; windows and grids divide the map",
            args={"img_size": (128, 192)},
        ),
        timm_entry(
            "test_coatnet",
            WIDE,
            "norm stages.3 stages",
            (4, 5),
            "maxxvit.py:1713-1714: norm (LayerNorm2d) behind the stages",
            args=SIZED,
        ),
        timm_entry(
            "tiny_vit_5m_224",
            WIDE,
            "stages.3 stages",
            (4, 5),
            "tiny_vit.py:726: the last stage's blocks see [B, H, W, C], the stage returns [B, C, H, W]; the head"
            " pools, then norms",
        ),
        timm_entry(
            "nest_tiny",
            (3, 128, 128),
            "norm levels.2 levels",
            (8, 8),
            "nest.py:551-553: norm sees [B, H, W, C] (permuted there and back); levels.2 returns [B, C, H, W]; square",
            args={"img_size": 128},
            layout="channels-last",
        ),
    ]


def _maps() -> list[Entry]:
    return [
        timm_entry(
            "davit_tiny",
            WIDE,
            "stages.3 stages norm_pre",
            (4, 5),
            "davit.py:788-789: norm_pre is an Identity; the head norms",
        ),
        timm_entry(
            "focalnet_tiny_srf", WIDE, "norm", (4, 5), "focalnet.py:565-566: norm (LayerNorm2d), pooled by the head"
        ),
        timm_entry("nextvit_small", WIDE, "norm", (4, 5), "nextvit.py:714-715: norm (BatchNorm2d), pooled by the head"),
        timm_entry(
            "pvt_v2_b0",
            WIDE,
            "stages.3 stages",
            (4, 5),
            "pvt_v2.py:488-493: a stage norms tokens and returns [B, C, H, W]; the mean over it",
        ),
        timm_entry(
            "visformer_tiny",
            WIDE,
            "norm",
            (4, 5),
            "visformer.py:577-583: stage3 is a map (attention by 1 x 1 convolutions), norm (BatchNorm2d), the pool",
            args=SIZED,
        ),
        timm_entry(
            "sequencer2d_s",
            (3, 112, 140),
            "norm stages.3 stages",
            (8, 10),
            "sequencer.py:546-551: LSTMs along rows and columns of [B, H, W, C]; norm, pooled by the head; patches"
            " of 7, then 2",
            layout="channels-last",
        ),
    ]


def _hierarchies() -> list[Entry]:
    return [
        timm_entry(
            "hiera_tiny_224",
            (3, 128, 192),
            "blocks.11",
            (4, 6),
            "hiera.py:839, 850, 133: tokens are unrolled by units, but three poolings use the whole schedule up: in"
            " the last stage"
            " they are in order; the head's mean over them, then its norm",
            args={"img_size": (128, 192)},
            layout="tokens",
        ),
        timm_entry(
            "sam2_hiera_tiny",
            (3, 128, 192),
            "blocks.11",
            (4, 6),
            "hieradet_sam2.py:566-573: [B, H, W, C] from patch_embed on; the head pools, then norms",
            layout="channels-last",
        ),
        timm_entry(
            "mvitv2_tiny",
            (3, 128, 128),
            "norm",
            (4, 4),
            "mvitv2.py:971-979: stages return (tokens, size); no class token, the mean over norm's tokens; square by"
            " an assert",
            args={"img_size": 128},
            layout="tokens",
        ),
        timm_entry(
            "mvitv2_small_cls",
            (3, 128, 128),
            "stages.3.blocks.1.norm1",
            (4, 4),
            "mvitv2.py:964-981: the class token alone is read, so the norm before the last attention is the last"
            " map; pooling of"
            " the keys and queries keeps it in front; that block's attention does not stride",
            args={"img_size": 128},
            layout="tokens",
            prefix=1,
        ),
    ]


def _tokens() -> list[Entry]:
    twins = "the last stage stays tokens (no class token); norm, the mean over them"
    return [
        timm_entry("twins_svt_small", WIDE, "norm blocks.3.3", (4, 5), f"twins.py:552-562: {twins}", layout="tokens"),
        timm_entry("twins_pcpvt_small", WIDE, "norm blocks.3.2", (4, 5), f"twins.py:552-562: {twins}", layout="tokens"),
        timm_entry(
            "pit_ti_224",
            (3, 112, 144),
            "transformers.2.blocks.3.norm1 transformers.2.blocks.2",
            (4, 5),
            "pit.py:365-386: the class token travels beside the map, joins it inside a Transformer (line 77 of its"
            " class) and is"
            " read alone: the norm before its last attention; 13 x 17, 7 x 9, 4 x 5",
            args={"img_size": (112, 144)},
            layout="tokens",
            prefix=1,
        ),
        timm_entry(
            "pit_ti_distilled_224",
            (3, 112, 144),
            "transformers.2.blocks.3.norm1 transformers.2.blocks.2",
            (4, 5),
            "pit.py:370-383: as above with a distillation token, both in front, both read",
            args={"img_size": (112, 144)},
            layout="tokens",
            prefix=2,
        ),
        timm_entry(
            "coat_lite_tiny",
            (3, 128, 160),
            "serial_blocks4.1.norm1 serial_blocks4.0",
            (4, 5),
            "coat.py:786-788, 806-808, 846: serial blocks only; the last scale's class token alone is read",
            args=SIZED,
            layout="tokens",
            prefix=1,
        ),
    ]


def _branches() -> list[Entry]:
    """Networks in which no late layer carries everything."""
    return [
        timm_entry(
            "coat_tiny",
            WIDE,
            "serial_blocks2.1 serial_blocks4.1",
            (16, 20),
            "coat.py:768-844: from scale 2 on, three scales go side by side and their class tokens are joined at the"
            " very end: the"
            " last map that all pass is the end of scale 2; serial_blocks4.1 (4 x 5) is the deepest of one scale",
            args=SIZED,
            layout="tokens",
            prefix=1,
        ),
        timm_entry(
            "crossvit_tiny_240",
            (3, 240, 240),
            "blocks.2.blocks.1 blocks.2.blocks.0",
            (14, 14),
            "crossvit.py:579-592 and MultiScaleBlock.forward: two branches from the image on, only class tokens"
            " cross: no layer"
            " carries both; the patches of each are read last by the other's fusion, from what blocks.2.blocks.N"
            " return",
            layout="tokens",
            prefix=1,
        ),
    ]
