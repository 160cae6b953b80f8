"""timm's small and modern convolutional networks, some with attention; the rule stands in `timm_resnets.py`."""

from __future__ import annotations

from benchmarks.models.entry import Entry
from benchmarks.models.small_timm import timm_entry

WIDE = (3, 128, 160)  # through five strides of two: 4 x 5
SMALL = (3, 96, 128)


def entries() -> list[Entry]:
    """The entries of this family.

    Returns:
        One entry a model.
    """
    return [*_inverted(), *_pooled_before_the_last_convolution(), *_stages(), *_modern(), *_attending()]


def _inverted() -> list[Entry]:
    head = "conv_head, then bn2 (a norm with its activation), then the pool"
    return [
        timm_entry("test_efficientnet", WIDE, "bn2", (4, 5), f"efficientnet.py:359-360, 373: {head}"),
        timm_entry("efficientnet_b0", WIDE, "bn2", (4, 5), f"efficientnet.py:359-360, 373: {head}"),
        timm_entry("mnasnet_small", WIDE, "bn2", (4, 5), f"efficientnet.py:359-360, 373: {head}"),
        timm_entry("tf_mixnet_s", WIDE, "bn2", (4, 5), f"efficientnet.py:359-360: {head}; convolutions padded by size"),
        timm_entry("rexnet_100", WIDE, "features.16 features", (4, 5), "rexnet.py:464: the last ConvNormAct is pooled"),
        timm_entry(
            "mobilenetv5_base",
            WIDE,
            "msfa",
            (16, 16),
            "mobilenetv5.py:414-427: msfa joins stages of several resolutions and is always 16 x 16 (its norm,"
            " msfa.norm, ends it)",
        ),
    ]


def _pooled_before_the_last_convolution() -> list[Entry]:
    late = "the pool comes first, conv_head and its activation behind it see 1 x 1"
    return [
        timm_entry("mobilenetv3_small_050", WIDE, "blocks.5 blocks", (4, 5), f"mobilenetv3.py:336, 349-352: {late}"),
        timm_entry(
            "mobilenetv4_conv_small_035", WIDE, "blocks.4 blocks", (4, 5), f"mobilenetv3.py:336, 349-352: {late}"
        ),
        timm_entry("lcnet_035", WIDE, "blocks.5 blocks", (4, 5), f"mobilenetv3.py:336, 349-352: {late}"),
        timm_entry("hardcorenas_b", WIDE, "blocks.6 blocks", (4, 5), f"hardcorenas.py builds a MobileNetV3: {late}"),
        timm_entry("ghostnet_050", WIDE, "blocks.9 blocks", (4, 5), f"ghostnet.py:852, 856-858: {late}"),
        timm_entry("ghostnetv2_100", WIDE, "blocks.9 blocks", (4, 5), f"ghostnet.py:852, 856-858: {late}"),
        timm_entry("ghostnetv3_050", WIDE, "blocks.9 blocks", (4, 5), f"ghostnet.py:852, 856-858: {late}"),
        timm_entry("repghostnet_050", WIDE, "blocks.9 blocks", (4, 5), f"repghost.py:423, 427-429: {late}"),
        timm_entry("lcnetv2_small", WIDE, "stages.3 stages", (4, 5), f"lcnetv2.py:436, 440-442: {late}"),
        timm_entry("fasternet_t0", WIDE, "stages.3 stages", (4, 5), f"fasternet.py:392, 396-398: {late}"),
    ]


def _stages() -> list[Entry]:
    last = "the mean over the map of the last stage goes to the head"
    return [
        timm_entry("repvit_m1", WIDE, "stages.3 stages", (4, 5), f"repvit.py:535, 540: {last}"),
        timm_entry("iformer_t", WIDE, "stages.3 stages", (4, 5), f"iformer.py:697, 706: {last}"),
        timm_entry("shvit_s1", (3, 256, 320), "stages.2 stages", (4, 5), f"shvit.py:448, 452: {last}; stride 64"),
        timm_entry(
            "starnet_s050", WIDE, "norm", (4, 5), "starnet.py:266-267, 271: norm (BatchNorm2d) behind the stages"
        ),
        timm_entry(
            "swiftformer_xs",
            WIDE,
            "norm",
            (4, 5),
            "swiftformer.py:550-556: norm (BatchNorm2d), the mean, two heads averaged",
        ),
        timm_entry(
            "fastvit_t8",
            WIDE,
            "final_conv",
            (4, 5),
            "fastvit.py:1434: final_conv (with SE and GELU) is what the head pools",
        ),
        timm_entry(
            "mobilevit_xxs",
            WIDE,
            "final_conv",
            (4, 5),
            "mobilevit.py's nets are ByobNets, byobnet.py:1801: final_conv (ConvNormAct) is pooled; blocks unfold"
            " patches",
        ),
        timm_entry(
            "mobilevitv2_050",
            (3, 128, 192),
            "stages.4 stages final_conv",
            (4, 6),
            "byobnet.py:1801: final_conv is an Identity here; patches of 2 x 2, so the grid has to be even",
        ),
        timm_entry(
            "csatv2",
            (3, 256, 320),
            "stages.3 stages",
            (4, 5),
            "csatv2.py:667-671: a DCT of 8 x 8 first, then three strides of two; the head pools, then norms",
        ),
        timm_entry(
            "efficientvit_b0",
            WIDE,
            "head.in_conv head.in_conv.act",
            (4, 5),
            "efficientvit_mit.py: ClassifierHead is in_conv (with Hardswish), pool, classifier: in_conv is the last"
            " map",
        ),
        timm_entry(
            "cpubone_nano",
            WIDE,
            "head.in_conv head.in_conv.act",
            (4, 5),
            "cpubone.py:969: ClsHead is in_conv (with Hardswish), pool, classifier: in_conv is the last map",
        ),
        timm_entry(
            "lowformer_b0",
            WIDE,
            "in_conv in_conv.act",
            (4, 5),
            "lowformer.py:712-713: in_conv (with Hardswish), then the pool",
        ),
        timm_entry(
            "efficientvit_m0",
            (3, 224, 288),
            "stages.2 stages",
            (4, 5),
            "efficientvit_msra.py:732, 736: the pool reads the stages; attention biases are for the image's size;"
            " stride 64 rounded up",
            args={"img_size": (224, 288)},
        ),
    ]


def _modern() -> list[Entry]:
    head = "the head pools first, its norm sees 1 x 1; norm_pre is an Identity"
    gamma = "gamma (1e-6) is woken"
    return [
        timm_entry("test_convnext", WIDE, "stages.3 stages norm_pre", (4, 5), f"convnext.py:622-623: {head}; {gamma}"),
        timm_entry(
            "convnext_zepto_rms", WIDE, "stages.3 stages norm_pre", (4, 5), f"convnext.py:622-623: {head}; {gamma}"
        ),
        timm_entry(
            "convnextv2_atto",
            WIDE,
            "stages.3 stages norm_pre",
            (4, 5),
            f"convnext.py:622-623: {head}; GRN's zeros are woken",
        ),
        timm_entry(
            "inception_next_atto",
            WIDE,
            "stages.3 stages",
            (4, 5),
            f"inception_next.py:475: MlpClassifierHead pools first; {gamma}",
        ),
        timm_entry(
            "edgenext_xx_small", WIDE, "stages.3 stages norm_pre", (4, 5), f"edgenext.py:563-564: {head}; {gamma}"
        ),
        timm_entry(
            "convmixer_768_32",
            (3, 28, 42),
            "blocks.31 blocks blocks.31.3",
            (4, 6),
            "convmixer.py:171, 175: a block ends in a norm (3) behind its ReLU; patches of 7",
        ),
        timm_entry(
            "poolformerv2_s12",
            WIDE,
            "stages.3 stages",
            (4, 5),
            "metaformer.py:771, 760: head.global_pool reads the stages, head.norm comes behind it",
        ),
        timm_entry(
            "caformer_s18",
            SMALL,
            "stages.3 stages",
            (3, 4),
            "metaformer.py:771: the last two stages flatten to tokens inside (blocks return [B, T, C]) and unflatten"
            " at their end",
        ),
        timm_entry(
            "test_mambaout",
            WIDE,
            "stages.3 stages",
            (4, 5),
            "mambaout.py:543: [B, H, W, C] throughout; ClNormMlpClassifierHead pools over axes 1 and 2, then norms",
            layout="channels-last",
        ),
    ]


def _attending() -> list[Entry]:
    return [
        timm_entry(
            "efficientformer_l1",
            (3, 224, 224),
            "norm stages.3 stages",
            (7, 7),
            "efficientformer.py:594-600: Flat makes tokens in the last stage, norm, mean over tokens; its attention"
            " wants 7 x 7",
            layout="tokens",
        ),
        timm_entry(
            "efficientformerv2_s0",
            WIDE,
            "norm",
            (4, 5),
            "efficientformer_v2.py:860-866: norm (BatchNorm2d), the mean over the map, two heads averaged",
            args={"img_size": WIDE[1:]},
        ),
        timm_entry(
            "efficientvim_m1",
            (3, 256, 320),
            "stages.0.blocks.0 norm.3",
            (16, 20),
            "efficientvim.py:703-722: heads read the states h of every stage and the last map: the last that all"
            " pass is the block"
            " before the first h that is read (it returns (map, h)); norm.3 (4 x 5, a tensor) carries only one of"
            " four heads",
            leaf=(0,),
        ),
        timm_entry(
            "levit_128s",
            (3, 224, 288),
            "stages.2 stages",
            (4, 5),
            "levit.py:876-885: tokens from the stem on, no class token, the mean over them goes to two heads; 14 x"
            " 18, 7 x 9, 4 x 5",
            args={"img_size": (224, 288)},
            layout="tokens",
        ),
        timm_entry(
            "levit_conv_128s",
            (3, 224, 288),
            "stages.2 stages",
            (4, 5),
            "levit.py:873-885: the same with maps in place of tokens",
            args={"img_size": (224, 288)},
        ),
    ]
