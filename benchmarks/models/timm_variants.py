"""Further variants of timm's families, each of which computes something in another way than its family's smallest."""

from __future__ import annotations

from typing import Any

from benchmarks.models.entry import Entry
from benchmarks.models.small_timm import timm_entry

WIDE = (3, 128, 160)  # 4 x 5
SMALL = (3, 96, 128)  # 3 x 4
PATCHES = (3, 64, 96)  # patches of 16: 4 x 6
NARROW: dict[str, Any] = {"depth": 3, "embed_dim": 128, "num_heads": 4}


def entries() -> list[Entry]:
    """The entries of these variants.

    Returns:
        One entry a model.
    """
    return [*_convolutional(), *_attention_in_convolutions(), *_stages(), *_tokens_read_alone(), *_tokens_averaged()]


def _tokens(model: str, layers: str, prefix: int, why: str, **args: Any) -> Entry:
    return timm_entry(
        model, PATCHES, layers, (4, 6), why, args={"img_size": PATCHES[1:], **args}, layout="tokens", prefix=prefix
    )


def _convolutional() -> list[Entry]:
    resnet = "resnet.py:788, 801: layer4 is pooled"
    return [
        timm_entry("resnetrs50", SMALL, "layer4 layer4.2", (3, 4), f"{resnet}; squeeze and excitation, deep stem"),
        timm_entry("resnext50_32x4d", SMALL, "layer4 layer4.2", (3, 4), f"{resnet}; groups"),
        timm_entry("resnet50_gn", SMALL, "layer4 layer4.2", (3, 4), f"{resnet}; group norms"),
        timm_entry("skresnext50_32x4d", SMALL, "layer4 layer4.2", (3, 4), f"{resnet}; selective kernels"),
        timm_entry(
            "densenetblur121d", SMALL, "features.norm5 features", (3, 4), "densenet.py:480, 492; blurred pooling"
        ),
        timm_entry(
            "eca_nfnet_l0",
            SMALL,
            "final_act",
            (3, 4),
            "nfnet.py:659-661: final_act; gains of the branches (skip_init) are woken",
        ),
        timm_entry("nf_regnet_b0", WIDE, "final_act", (4, 5), "nfnet.py:659-661: final_act behind final_conv"),
        timm_entry(
            "gernet_s", WIDE, "final_conv final_conv.bn", (4, 5), "byobnet.py:1801: final_conv is a ConvNormAct here"
        ),
        timm_entry("efficientnetv2_rw_t", SMALL, "bn2", (3, 4), "efficientnet.py:359-360: conv_head, bn2, the pool"),
        timm_entry("tinynet_e", WIDE, "bn2", (4, 5), "efficientnet.py:359-360: conv_head, bn2, the pool"),
        timm_entry("cs3sedarknet_l", SMALL, "stages.3 stages", (3, 4), "cspnet.py:900; the head pools the stages"),
        timm_entry("eca_vovnet39b", SMALL, "stages.3 stages", (3, 4), "vovnet.py:354; the head pools the stages"),
        timm_entry("hgnet_tiny", SMALL, "stages.3 stages", (3, 4), "hgnet.py:664; the head pools the stages"),
    ]


def _attention_in_convolutions() -> list[Entry]:
    sized = {"img_size": WIDE[1:]}
    return [
        timm_entry(
            "mobilenetv4_hybrid_medium",
            WIDE,
            "blocks.4 blocks",
            (4, 5),
            "mobilenetv3.py:336, 349: blocks, then the pool; some blocks are multi-query attention on maps",
        ),
        timm_entry(
            "sebotnet33ts_256",
            WIDE,
            "final_conv final_conv.bn",
            (4, 5),
            "byobnet.py:1801: final_conv is a ConvNormAct; bottleneck attention is for the image's size",
            args=sized,
        ),
        timm_entry(
            "efficientvit_l1",
            WIDE,
            "head.in_conv head.in_conv.act",
            (4, 5),
            "efficientvit_mit.py:768: the head is in_conv (with its activation), pool, classifier",
        ),
        timm_entry(
            "fastvit_sa12",
            WIDE,
            "final_conv",
            (4, 5),
            "fastvit.py:1434: final_conv; attention in the last stage; LayerScale (1e-5) is woken",
        ),
        timm_entry(
            "coatnext_nano_rw_224",
            WIDE,
            "norm stages.3 stages",
            (4, 5),
            "maxxvit.py:1713-1714: norm (LayerNorm2d) behind the stages",
            args=sized,
        ),
    ]


def _stages() -> list[Entry]:
    return [
        timm_entry(
            "poolformer_s12",
            WIDE,
            "stages.3 stages",
            (4, 5),
            "metaformer.py:771, 760: pooled, then head.norm; one-group norms",
        ),
        timm_entry(
            "convformer_s18", SMALL, "stages.3 stages", (3, 4), "metaformer.py:771, 760: no attention, so no tokens"
        ),
        timm_entry(
            "pvt_v2_b2_li",
            WIDE,
            "stages.3 stages",
            (4, 5),
            "pvt_v2.py:488-493: a stage returns a map; linear attention",
        ),
        timm_entry(
            "hiera_small_abswin_256",
            (3, 128, 192),
            "blocks.15",
            (4, 6),
            "hiera.py:839-850: as hiera_tiny_224, in order in the last stage; positions by windows",
            args={"img_size": (128, 192)},
            layout="tokens",
        ),
        timm_entry(
            "hieradet_small",
            (3, 128, 192),
            "blocks.15",
            (4, 6),
            "hieradet_sam2.py:566-573: [B, H, W, C]",
            layout="channels-last",
        ),
        timm_entry(
            "swinv2_cr_tiny_ns_224",
            WIDE,
            "stages.3 stages",
            (4, 5),
            "swin_transformer_v2_cr.py:1044: a stage ends with a norm and returns [B, C, H, W]",
            args={"img_size": WIDE[1:]},
        ),
    ]


def _tokens_read_alone() -> list[Entry]:
    token = "the class token alone is read behind the last block"
    return [
        _tokens(
            "vit_small_patch16_18x2_224",
            "blocks.1",
            1,
            "vision_transformer.py ParallelThingsBlock.forward: two attentions side by side, each with its norm;"
            f" {token}:"
            " the last map for both is what the block before returns",
            depth=3,
        ),
        _tokens(
            "vit_base_patch16_rope_224",
            "blocks.2.norm1 blocks.1",
            1,
            f"eva.py:1171-1190, line 2725: rotary positions, global_pool='token'; {token}",
            **NARROW,
        ),
        _tokens(
            "vit_base_patch16_rope_mixed_224",
            "blocks.2.norm1 blocks.1",
            1,
            f"eva.py:1161-1168, line 2795: rotary positions of each block; {token}",
            **NARROW,
        ),
        _tokens(
            "vit_relpos_base_patch16_cls_224",
            "blocks.2.norm1 blocks.1",
            1,
            f"vision_transformer_relpos.py:544, 557, 742: relative positions with a class token; {token}",
            **NARROW,
        ),
        _tokens(
            "tnt_s_patch16_224",
            "blocks.3.norm_out",
            1,
            f"tnt.py Block.forward: pixels flow into the patches (norm2_proj) before norm_out; {token}",
            depth=4,
        ),
        _tokens(
            "vit_pe_core_tiny_patch16_384",
            "norm blocks.2",
            1,
            "eva.py:1134-1136, 1177: attention pooling over all of norm's tokens, the class token among them",
            depth=3,
        ),
    ]


def _tokens_averaged() -> list[Entry]:
    return [
        _tokens(
            "vit_dpwee_patch16_reg1_gap_256",
            "blocks.2 blocks norm",
            1,
            "vision_transformer.py:1321-1340, 4723: one register in front that is not averaged; differential"
            " attention beside"
            " the MLP; norm is an Identity, fc_norm behind the mean",
            depth=3,
        ),
        _tokens(
            "vit_little_patch16_reg4_gap_256",
            "blocks.2 blocks norm",
            4,
            "vision_transformer.py:1321-1340: four registers in front that are not averaged; fc_norm behind the mean",
            depth=3,
        ),
        _tokens(
            "vit_srelpos_small_patch16_224",
            "norm blocks.2",
            0,
            "vision_transformer_relpos.py:546-552: shared relative positions, no class token; norm, the mean",
            **NARROW,
        ),
        _tokens(
            "gmixer_12_224", "norm blocks.11 blocks", 0, "mlp_mixer.py:503-518: gated MLPs over tokens; norm, the mean"
        ),
    ]
