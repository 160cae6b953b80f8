"""timm's transformers of one resolution, and mixers; the rule stands in `timm_resnets.py`."""

from __future__ import annotations

from typing import Any

from benchmarks.models.entry import Entry
from benchmarks.models.small_timm import timm_entry

IMAGE = (3, 64, 96)  # patches of 16: 4 x 6
FOURTEENS = (3, 56, 84)  # patches of 14: 4 x 6
GRID = (4, 6)
NARROW: dict[str, Any] = {"embed_dim": 128, "num_heads": 4}
TOKEN = "only tokens in front are read behind the last block, so the norm before its attention is the last map"


def entries() -> list[Entry]:
    """The entries of this family.

    Returns:
        One entry a model.
    """
    return [*_class_tokens(), *_means(), *_other_readings(), *_class_attention(), *_multimodal(), *_mixers()]


def _read_at_the_end(
    model: str, why: str, depth: int, prefix: int = 1, image: tuple[int, ...] = IMAGE, **args: Any
) -> Entry:
    """A transformer whose class token is read behind the last block."""
    return timm_entry(
        model,
        image,
        f"blocks.{depth - 1}.norm1 blocks.{depth - 2}",
        GRID,
        why,
        args={"img_size": image[1:], "depth": depth, **args},
        layout="tokens",
        prefix=prefix,
    )


def _mean(model: str, layers: str, why: str, prefix: int = 0, image: tuple[int, ...] = IMAGE, **args: Any) -> Entry:
    """A transformer whose patch tokens are averaged."""
    return timm_entry(
        model, image, layers, GRID, why, args={"img_size": image[1:], **args}, layout="tokens", prefix=prefix
    )


def _class_tokens() -> list[Entry]:
    vit = "vision_transformer.py:1300, 1321-1342, global_pool='token'"
    return [
        _read_at_the_end("test_vit", f"{vit}: {TOKEN}", 6),
        _read_at_the_end("vit_tiny_patch16_224", f"{vit}: {TOKEN}", 4),
        _read_at_the_end("vit_base_patch16_clip_224", f"{vit}, norm_pre: {TOKEN}", 3, **NARROW),
        _read_at_the_end(
            "vit_small_patch14_reg4_dinov2",
            f"{vit}, reg_tokens=4 (line 4212): class token and four registers in front; LayerScale (1e-5) is woken:"
            f" {TOKEN}",
            3,
            prefix=5,
            image=FOURTEENS,
        ),
        _read_at_the_end("deit_tiny_patch16_224", f"deit.py builds a VisionTransformer, {vit}: {TOKEN}", 4),
        _read_at_the_end(
            "deit_tiny_distilled_patch16_224",
            f"deit.py:118-130: class and distillation token, both in front, both read: {TOKEN}",
            4,
            prefix=2,
        ),
        _read_at_the_end(
            "deit3_small_patch16_224",
            f"{vit}, no position for the class token, LayerScale (1e-6) is woken: {TOKEN}",
            4,
        ),
        timm_entry(
            "vit_tiny_r_s16_p8_224",
            (3, 128, 160),
            "blocks.3.norm1 blocks.2",
            (4, 5),
            f"vision_transformer_hybrid.py: a ResNet stem (stride 4) under patches of 8; {vit}: {TOKEN}",
            args={"img_size": (128, 160), "depth": 4},
            layout="tokens",
            prefix=1,
        ),
        timm_entry(
            "convit_tiny",
            (3, 64, 64),
            "blocks.11.norm1 blocks.10",
            (4, 4),
            f"convit.py:497-506: the class token joins only before block 10 (local_up_to_layer): {TOKEN}; square",
            args={"img_size": 64},
            layout="tokens",
            prefix=1,
        ),
        timm_entry(
            "tnt_s_legacy_patch16_224",
            IMAGE,
            "blocks.3.norm_out",
            GRID,
            f"tnt.py Block.forward: pixel tokens flow into the patch tokens before norm_out, attn_out follows: {TOKEN};"
            " a block returns (pixels [B * T, 16, C], patches [B, 1 + T, C])",
            args={"img_size": IMAGE[1:], "depth": 4},
            layout="tokens",
            prefix=1,
        ),
    ]


def _means() -> list[Entry]:
    mean = "the mean over the patch tokens, then fc_norm; norm is an Identity"
    return [
        _mean(
            "vit_medium_patch16_gap_240",
            "norm blocks.2 blocks",
            "vision_transformer.py:1302, 1321: avg, no class token",
            depth=3,
        ),
        _mean(
            "beit_base_patch16_224",
            "blocks.2 norm",
            f"beit.py:907-923: a class token that is not read, {mean}; relative positions as a bias",
            1,
            depth=3,
            **NARROW,
        ),
        _mean("beitv2_base_patch16_224", "blocks.2 norm", f"beit.py:907-923: as BEiT, {mean}", 1, depth=3, **NARROW),
        _mean(
            "vit_tiny_patch16_dinov3_qkvb",
            "norm blocks.2",
            "eva.py:1138, 1175-1190, line 2984: class token and four registers in front, avg over the rest, norm"
            " before it",
            5,
            depth=3,
        ),
        _mean(
            "eva02_tiny_patch14_224",
            "blocks.2 norm",
            f"eva.py:1175-1191: a class token in front, {mean}",
            1,
            FOURTEENS,
            depth=3,
        ),
        _mean("test_vit_relpos", "blocks.8 norm", f"vision_transformer_relpos.py:551-558, 797: no class token, {mean}"),
        timm_entry(
            "naflexvit_base_patch16_parfac_gap",
            IMAGE,
            "blocks.2 norm",
            GRID,
            f"naflexvit.py:1921-1927, 1958-1974: four registers in front, {mean}; positions of any size, by rows and"
            " columns",
            args={"depth": 3, **NARROW},
            layout="tokens",
            prefix=4,
        ),
        _mean(
            "vitamin_small_224",
            "blocks.13 blocks norm",
            f"vitamin.py:394: a VisionTransformer behind two stages of convolutions, no class token, {mean}",
        ),
    ]


def _other_readings() -> list[Entry]:
    return [
        _mean(
            "vit_base_patch16_siglip_224",
            "norm blocks.2 blocks",
            "vision_transformer.py:1315-1318: no class token, attention pooling reads norm's tokens",
            depth=3,
            **NARROW,
        ),
        timm_entry(
            "samvit_base_patch16_224",
            IMAGE,
            "neck",
            GRID,
            "vision_transformer_sam.py:664-669: blocks see [B, H, W, C], the neck (LayerNorm2d) [B, C, H, W]; the"
            " head pools it",
            args={"img_size": IMAGE[1:], "depth": 2},
        ),
    ]


def _class_attention() -> list[Entry]:
    late = "the class token enters behind the last patch block and reads its tokens in class attention"
    return [
        timm_entry(
            "cait_xxs24_224",
            IMAGE,
            "blocks.23 blocks",
            GRID,
            f"cait.py:469-485: {late}; gammas (1e-5) are woken",
            args={"img_size": IMAGE[1:]},
            layout="tokens",
        ),
        timm_entry("xcit_nano_12_p16_224", IMAGE, "blocks.11", GRID, f"xcit.py:618-642: {late}", layout="tokens"),
        timm_entry(
            "xcit_tiny_12_p8_224",
            (3, 32, 48),
            "blocks.11",
            GRID,
            f"xcit.py:618-642: {late}; patches of 8",
            layout="tokens",
        ),
        timm_entry(
            "volo_d1_224",
            IMAGE,
            "network.4",
            GRID,
            f"volo.py:971-1000, 1206-1217: network is a list over [B, H, W, C], {late}; the maximum over the patches"
            " of a second"
            " head is added; patches of 8, then 2",
            args={"img_size": IMAGE[1:]},
            layout="channels-last",
        ),
    ]


def _multimodal() -> list[Entry]:
    mean = "no class token; the classifier flattens the encoder's map, takes the mean, then its norm"
    return [
        timm_entry(
            "qwen3_vit_88m",
            IMAGE,
            "encoder",
            GRID,
            f"qwen3_vit.py:377, 503-512: the encoder returns [B, H, W, C]; {mean}",
            args={"depth": 2},
            layout="channels-last",
        ),
        timm_entry(
            "deepseek_vit_412m",
            FOURTEENS,
            "encoder",
            GRID,
            f"deepseek_vit.py:412, 538-547: the encoder returns norm's tokens as [B, H, W, C]; {mean}",
            args={"depth": 2, **NARROW},
            layout="channels-last",
        ),
        timm_entry(
            "gemma4_vit_167m",
            (3, 64, 96),
            "encoder encoder.blocks.1",
            GRID,
            "gemma4_vit.py:876-885, 1205-1214: patches in rows, [B, T, C], no class token; the mean over them, then"
            " norm",
            args={"depth": 2, "embed_dim": 128, "num_heads": 2},
            layout="tokens",
        ),
    ]


def _mixers() -> list[Entry]:
    mean = "mlp_mixer.py:503-518: tokens, no class token, norm, the mean over them"
    return [
        _mean("gmlp_ti16_224", "norm blocks.29 blocks", f"{mean}; mixing by gates"),
        _mean("resmlp_12_224", "norm blocks.11 blocks", f"{mean}; norm is an affine map; gains (1e-4) are woken"),
        timm_entry(
            "mixer_s32_224",
            (3, 128, 192),
            "norm blocks.7 blocks",
            GRID,
            f"{mean}; the token MLP sees [B, C, T]",
            args={"img_size": (128, 192)},
            layout="tokens",
        ),
    ]
