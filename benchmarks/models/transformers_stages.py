"""Vision transformers in stages of transformers: the grid is halved from stage to stage."""

from __future__ import annotations

from typing import Any

from benchmarks.models.entry import Entry
from benchmarks.models.tiny import calibrated, tiny

LABELS: dict[str, Any] = {"num_labels": 5}


def entries() -> list[Entry]:
    """The vision transformers in stages."""
    return [*windows(), *pyramids(), *convolutional(), hiera()]


def windows() -> list[Entry]:
    """Swin, SwinV2, Donut's Swin, FocalNet: patches of 4, one halving, so 64 x 96 pixels are 8 x 12 tokens."""
    swin: dict[str, Any] = {
        "image_size": (64, 96),
        "patch_size": 4,
        "embed_dim": 16,
        "depths": [1, 2],
        "num_heads": [2, 4],
        "window_size": 4,
    }
    focal: dict[str, Any] = {"image_size": (64, 96), "embed_dim": 16, "depths": [1, 2], "hidden_sizes": [16, 32]}
    mean = "the last norm, then the mean of the tokens ({source})"

    def entry(name: str, layers: tuple[str, ...], why: str, leaf: tuple[int | str, ...] = (), **settings: Any) -> Entry:
        return Entry(
            name=f"transformers/{name}",
            make=tiny(name, **LABELS | settings),
            image=(3, 64, 96),
            layers=layers,
            grid=(8, 12),
            layout="tokens",
            leaf=leaf,
            output="logits",
            why=why,
        )

    return [
        entry(
            "SwinForImageClassification", ("swin.layernorm",), mean.format(source="modeling_swin.py:875, :879"), **swin
        ),
        entry(
            "Swinv2ForImageClassification",
            ("swinv2.layernorm",),
            mean.format(source="modeling_swinv2.py:952, :956"),
            **swin,
        ),
        entry(
            "DonutSwinForImageClassification",
            ("donut.encoder.layers.1", "donut.encoder.layers.1.blocks.1"),
            "the mean of the last stage's tokens, without a norm (modeling_donut_swin.py:844, :848); a stage returns "
            "(tokens, tokens before halving, sizes), :666",
            leaf=(0,),
            **swin,
        ),
        entry(
            "FocalNetForImageClassification",
            ("focalnet.layernorm", "focalnet.encoder.stages.1.layers.1"),
            mean.format(source="modeling_focalnet.py:647, :651"),
            focal_levels=[2, 2],
            focal_windows=[3, 3],
            **focal,
        ),
    ]


def pyramids() -> list[Entry]:
    """PVT, PVT v2, Segformer: a stride of 32, 128 x 192 pixels are 4 x 6 tokens."""
    widths: dict[str, Any] = {
        "hidden_sizes": [16, 24, 32, 40],
        "depths": [1, 1, 1, 2],
        "num_attention_heads": [1, 2, 4, 5],
        "mlp_ratios": [2, 2, 2, 2],
    }
    image, grid = (3, 128, 192), (4, 6)
    return [
        Entry(
            name="transformers/PvtForImageClassification",
            make=tiny("PvtForImageClassification", **LABELS | widths, image_size=128),
            image=(3, 128, 128),
            layers=("pvt.encoder.block.3.1.layer_norm_1",),
            grid=(4, 4),
            layout="tokens",
            prefix=1,
            output="logits",
            why="a class token stands in front in the last stage only (modeling_pvt.py:93) and is read off behind the "
            "last norm (:518): the norm in front of the last attention; its positions want a square",
        ),
        Entry(
            name="transformers/PvtV2ForImageClassification",
            make=tiny("PvtV2ForImageClassification", **LABELS | widths),
            image=image,
            layers=("pvt_v2.encoder.layers.3.layer_norm",),
            grid=grid,
            layout="tokens",
            output="logits",
            why="the last stage's norm returns tokens (modeling_pvt_v2.py:307), put into a map (:345) and averaged "
            "(:474)",
        ),
        Entry(
            name="transformers/SegformerForImageClassification",
            make=tiny(
                "SegformerForImageClassification",
                **LABELS,
                hidden_sizes=[16, 24, 32, 40],
                depths=[1, 1, 1, 2],
                num_attention_heads=[1, 2, 4, 5],
                mlp_ratios=[2, 2, 2, 2],
            ),
            image=image,
            layers=("segformer.stages.3",),
            grid=grid,
            output="logits",
            why="the last stage returns a map `[B, C, H, W]` (modeling_segformer.py:349), behind its norm; the "
            "tokens' mean is classified (:443)",
        ),
    ]


def convolutional() -> list[Entry]:
    """CvT, LeViT."""
    cvt: dict[str, Any] = {
        "embed_dim": [16, 24, 32],
        "num_heads": [1, 2, 4],
        "depth": [1, 2, 3],  # modeling_cvt.py picks a stage's drop rate by the number of the stage
        "drop_path_rate": [0.0, 0.0, 0.0],
    }
    last = "cvt.encoder.stages.2.layers.2"
    levit: dict[str, Any] = {
        "image_size": 256,
        "hidden_sizes": [16, 24, 32],
        "num_attention_heads": [2, 2, 2],
        "depths": [1, 1, 2],
        "key_dim": [8, 8, 8],
    }
    found = [
        Entry(
            name="transformers/CvtForImageClassification",
            make=tiny("CvtForImageClassification", **LABELS | cvt),
            image=(3, 96, 128),
            layers=(f"{last}.layernorm_before", "cvt.encoder.stages.2.layers.1"),
            grid=(6, 8),
            layout="tokens",
            prefix=1,
            output="logits",
            why="a class token stands in front in the last stage (modeling_cvt.py:438) and alone is classified "
            "(:582): the norm in front of the last attention, or the block before; the map that the stage returns is "
            "read by nobody",
        ),
    ]
    for name, heads in (
        ("LevitForImageClassification", "one head"),
        ("LevitForImageClassificationWithTeacher", "two heads"),
    ):
        found.append(
            Entry(
                name=f"transformers/{name}",
                make=calibrated(tiny(name, **LABELS | levit), (3, 256, 256)),
                image=(3, 256, 256),
                layers=("levit.encoder.stages.2",),
                grid=(4, 4),
                layout="tokens",
                output="logits",
                why="four convolutions of stride 2 and two halvings within attention: 256 pixels are 4 tokens; the "
                f"last stage's mean is classified (modeling_levit.py:573) by {heads}; relative positions fix the "
                "size, so it is square",
            )
        )
    return found


def hiera() -> Entry:
    """Hiera: tokens in an order of their own until the last pooling."""
    return Entry(
        name="transformers/HieraForImageClassification",
        make=tiny(
            "HieraForImageClassification",
            **LABELS,
            image_size=[128, 192],
            embed_dim=16,
            depths=[1, 1, 1, 2],
            num_heads=[1, 2, 2, 4],
        ),
        image=(3, 128, 192),
        layers=("hiera.encoder.stages.3", "hiera.encoder.stages.3.layers.1"),
        grid=(4, 6),
        layout="tokens",
        leaf=(0,),
        output="logits",
        why="the last stage's mean (modeling_hiera.py:876); `unroll` (:852) puts the tokens of a pooling in front, "
        "and after three poolings by 2 x 2 the last stage's stand row after row again",
    )
