"""timm's residual and other classical convolutional networks.

The rule of all `timm_*.py`: of every module of `timm.models` that registers models the smallest registered variant by
parameters (or the smallest that runs at a small image), made smaller by its own arguments where it is large; behind it
variants that work otherwise. Lines are of timm 1.0.31. `tests/benchmarks/test_timm_entries.py` holds the rule.
"""

from __future__ import annotations

from benchmarks.models.entry import Entry
from benchmarks.models.small_timm import timm_entry

WIDE = (3, 128, 160)  # through five strides of two: 4 x 5
SMALL = (3, 96, 128)  # 3 x 4


def entries() -> list[Entry]:
    """The entries of this family.

    Returns:
        One entry a model.
    """
    return [*_residual(), *_plain(), *_aggregated(), *_cells()]


def _residual() -> list[Entry]:
    pooled = "forward_head pools what layer4 returns (behind the block's last ReLU)"
    return [
        timm_entry("test_resnet", WIDE, "layer4 layer4.0 layer4.0.act2", (4, 5), f"resnet.py:788, 801: {pooled}"),
        timm_entry("resnet18", WIDE, "layer4 layer4.1 layer4.1.act2", (4, 5), f"resnet.py:788, 801: {pooled}"),
        timm_entry("resnet50", SMALL, "layer4 layer4.2 layer4.2.act3", (3, 4), f"resnet.py:788, 801: {pooled}"),
        timm_entry(
            "ecaresnet26t",
            SMALL,
            "layer4 layer4.1 layer4.1.act3",
            (3, 4),
            f"resnet.py:788: {pooled}; the attention is in it",
        ),
        timm_entry(
            "resnetv2_18",
            WIDE,
            "norm",
            (4, 5),
            "resnetv2.py:787-788: pre-activation, so stages.3 is followed by norm (with ReLU), which the head pools",
        ),
        timm_entry(
            "resnetv2_50x1_bit",
            SMALL,
            "norm",
            (3, 4),
            "resnetv2.py:788: GroupNormAct behind the stages is what the head pools",
        ),
        timm_entry(
            "regnetx_002",
            WIDE,
            "s4 s4.b7 final_conv",
            (4, 5),
            "regnet.py:832-833: final_conv is an Identity, head pools s4",
        ),
        timm_entry(
            "res2next50", SMALL, "layer4 layer4.2", (3, 4), f"res2net.py builds a ResNet, resnet.py:788: {pooled}"
        ),
        timm_entry(
            "res2net50_14w_8s",
            SMALL,
            "layer4 layer4.2",
            (3, 4),
            f"resnet.py:788: {pooled}; one ReLU module is called often",
        ),
        timm_entry(
            "resnest14d", WIDE, "layer4 layer4.0", (4, 5), f"resnest.py builds a ResNet, resnet.py:788: {pooled}"
        ),
        timm_entry("skresnet18", WIDE, "layer4 layer4.1", (4, 5), f"sknet.py builds a ResNet, resnet.py:788: {pooled}"),
        timm_entry("legacy_seresnet18", WIDE, "layer4 layer4.1", (4, 5), "senet.py:517, 521: layer4 is pooled"),
        timm_entry(
            "tresnet_m",
            WIDE,
            "body.layer4 body.layer4.2 body",
            (4, 5),
            "tresnet.py:347: body ends in layer4 (body is a Sequential); space to depth by 4, then three strides: 32",
        ),
        timm_entry(
            "selecsls42",
            (3, 128, 192),
            "head head.3",
            (2, 3),
            "selecsls.py:295-300: blocks pass lists; the convolutions of `head` (two with stride 2) come before the"
            " pool",
        ),
        timm_entry(
            "test_nfnet",
            WIDE,
            "final_act",
            (4, 5),
            "nfnet.py:659-661: final_conv, then final_act, then the head pools; no norms, standardised weights",
        ),
        timm_entry(
            "nf_resnet50", SMALL, "final_act", (3, 4), "nfnet.py:659-661: final_conv is an Identity, final_act is not"
        ),
    ]


def _plain() -> list[Entry]:
    stages = "the head (ClassifierHead) pools what the stages return; final_conv is an Identity"
    return [
        timm_entry("test_byobnet", WIDE, "stages.3 stages final_conv", (4, 5), f"byobnet.py:1800-1801: {stages}"),
        timm_entry("repvgg_a0", WIDE, "stages.3 stages final_conv", (4, 5), f"byobnet.py:1800-1801: {stages}"),
        timm_entry("mobileone_s0", WIDE, "stages.3 stages final_conv", (4, 5), f"byobnet.py:1800-1801: {stages}"),
        timm_entry(
            "lambda_resnet26t",
            WIDE,
            "stages.3 stages final_conv",
            (4, 5),
            f"byoanet.py's nets are ByobNets, byobnet.py:1800: {stages}; the smallest of byoanet that runs at a"
            " small image",
        ),
        timm_entry(
            "eca_halonext26ts",
            (3, 256, 256),
            "stages.3 stages final_conv",
            (8, 8),
            f"byobnet.py:1800: {stages}; halo attention needs multiples of its block of 8 cells",
        ),
        timm_entry(
            "vgg11",
            WIDE,
            "features.19",
            (8, 10),
            "vgg.py:324, 337: features ends in a max pool (20); the last ReLU before it is 19. pre_logits are"
            " convolutions of 7 x 7",
            args={"mlp_ratio": 0.05},
        ),
        timm_entry(
            "vgg11_bn",
            WIDE,
            "features.27",
            (8, 10),
            "vgg.py:324: as vgg11 with eight norms more: ReLU 27, max pool 28",
            args={"mlp_ratio": 0.05},
        ),
        timm_entry(
            "ese_vovnet19b_slim_dw", WIDE, "stages.3 stages", (4, 5), "vovnet.py:354: the head pools the stages"
        ),
        timm_entry("hgnetv2_b0", WIDE, "stages.3 stages", (4, 5), "hgnet.py:664: the head pools, then convolves 1 x 1"),
        timm_entry("cs3darknet_focus_s", WIDE, "stages.3 stages", (4, 5), "cspnet.py:900: the head pools the stages"),
        timm_entry("cspresnet50", SMALL, "stages.3 stages", (3, 4), "cspnet.py:900: the head pools the stages"),
        timm_entry("darknet53", SMALL, "stages.4 stages", (3, 4), "cspnet.py:900: five stages"),
        timm_entry("cspnext_tiny", WIDE, "stages.3 stages", (4, 5), "cspnext.py:444: the head pools the stages"),
    ]


def _aggregated() -> list[Entry]:
    return [
        timm_entry(
            "densenet121",
            SMALL,
            "features.norm5 features",
            (3, 4),
            "densenet.py:480, 492: features ends in norm5 (with ReLU)",
        ),
        timm_entry(
            "dla46x_c",
            WIDE,
            "level5 level5.root",
            (4, 5),
            "dla.py:544, 548: level5 joins its trees in `root`; fc is a convolution behind the pool",
        ),
        timm_entry("dla34", SMALL, "level5 level5.root", (3, 4), "dla.py:544, 548: as above"),
        timm_entry(
            "dpn48b",
            WIDE,
            "features.conv5_bn_ac features",
            (4, 5),
            "dpn.py:324-327: two paths, joined by conv5_bn_ac (the blocks before it return tuples); classifier is a"
            " convolution",
        ),
        timm_entry(
            "hrnet_w18_small",
            WIDE,
            "final_layer final_layer.2",
            (4, 5),
            "hrnet.py:823-830: four resolutions are added up, final_layer (ReLU at its end) is the first map that"
            " carries all",
        ),
        timm_entry(
            "rdnet_tiny",
            WIDE,
            "dense_stages.6 dense_stages norm_pre",
            (4, 5),
            "rdnet.py:445-446: norm_pre is an Identity",
        ),
    ]


def _cells() -> list[Entry]:
    inception = (3, 139, 171)  # unpadded strides
    return [
        timm_entry(
            "inception_v3", inception, "Mixed_7c", (3, 4), "inception_v3.py:519, 523: Mixed_7c, a cat, is pooled"
        ),
        timm_entry(
            "inception_v4",
            inception,
            "features.21 features",
            (3, 4),
            "inception_v4.py:421, 424: the last InceptionC is pooled",
        ),
        timm_entry(
            "inception_resnet_v2",
            inception,
            "conv2d_7b",
            (3, 4),
            "inception_resnet_v2.py:432, 436: conv2d_7b (with norm and ReLU) is pooled",
        ),
        timm_entry(
            "nasnetalarge",
            SMALL,
            "act",
            (3, 4),
            "nasnet.py:795-796, 800: act (ReLU) on cell_17, the only map that the pool reads; cells take two inputs",
        ),
        timm_entry("pnasnet5large", SMALL, "act", (3, 4), "pnasnet.py:528-529, 533: act (ReLU) on cell_11"),
        timm_entry(
            "legacy_xception",
            WIDE,
            "act4",
            (4, 5),
            "xception.py:361-364, 367: conv4, bn4, act4 and the pool; an in-place ReLU",
        ),
        timm_entry(
            "xception41p",
            WIDE,
            "act",
            (4, 5),
            "xception_aligned.py:472-473: pre-activation, act (ReLU) follows the blocks; the head pools it",
        ),
        timm_entry(
            "xception41",
            SMALL,
            "blocks.12 blocks act",
            (3, 4),
            "xception_aligned.py:472-473: activations in the blocks, act is an Identity",
        ),
    ]
