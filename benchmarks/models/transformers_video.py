"""Video classifiers of transformers: clips `[B, T, C, H, W]`."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from benchmarks.models.entry import Entry
from benchmarks.models.tiny import tiny

LABELS: dict[str, Any] = {"num_labels": 5}
BODY: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
CLIP, GRID = (4, 3, 32, 48), (2, 4, 6)  # 4 frames, tubes of 2 frames and 8 x 8 pixels
SQUARE, SQUARE_GRID = (4, 3, 32, 32), (2, 4, 4)


def entries() -> list[Entry]:
    """The video classifiers."""
    return [*tubes(), *timesformer(), video_prism(), vjepa()]


def tubes() -> list[Entry]:
    """VideoMAE and ViViT: tubes in the order time, height, width."""
    videomae = BODY | LABELS | {"image_size": 32, "patch_size": 8, "num_frames": 4, "tubelet_size": 2}
    return [
        Entry(
            name="transformers/VideoMAEForVideoClassification",
            make=tiny("VideoMAEForVideoClassification", **videomae),
            image=SQUARE,
            layers=("videomae.encoder.layer.2",),
            grid=SQUARE_GRID,
            layout="tokens",
            output="logits",
            kind="video",
            why="the tubes' mean behind the last block, then the norm (modeling_videomae.py:738); no class token; "
            "Conv3d's map is flattened over (t, h, w), :176",
        ),
        Entry(
            name="transformers/VideoMAEForVideoClassification-first-token",
            make=tiny("VideoMAEForVideoClassification", **videomae, use_mean_pooling=False),
            image=SQUARE,
            layers=("videomae.encoder.layer.2.layernorm_before", "videomae.encoder.layer.1"),
            grid=SQUARE_GRID,
            layout="tokens",
            output="logits",
            kind="video",
            why="without mean pooling the first tube's token is classified (modeling_videomae.py:741), though it is "
            "no class token: the norm in front of the last attention, or the block before",
        ),
        Entry(
            name="transformers/VivitForVideoClassification",
            make=tiny(
                "VivitForVideoClassification",
                **BODY | LABELS,
                image_size=(32, 48),
                num_frames=4,
                tubelet_size=[2, 8, 8],
            ),
            image=CLIP,
            layers=("vivit.layers.2.layernorm_before", "vivit.layers.1"),
            grid=GRID,
            layout="tokens",
            prefix=1,
            output="logits",
            kind="video",
            why="the class token behind the last norm (modeling_vivit.py:550): the norm in front of the last "
            "attention, or the block before; Conv3d's map is flattened over (t, h, w), :67",
        ),
    ]


def timesformer() -> list[Entry]:
    """TimeSformer: for each place its frames, one after the other."""

    def to_clip(tokens: Tensor) -> Tensor:
        """`[B, 1 + h * w * t, C]` to `[B, C, t, h, w]`."""
        return tokens[:, 1:].reshape(len(tokens), 4, 4, 4, -1).permute(0, 4, 3, 1, 2)

    order = "tokens stand place after place, the frames of a place side by side (modeling_timesformer.py:138), behind "
    "a class token that is read off at the end (:704)"
    settings = BODY | LABELS | {"image_size": 32, "patch_size": 8, "num_frames": 4}
    return [
        Entry(
            name=f"transformers/TimesformerForVideoClassification-{attention.replace('_', '-')}",
            make=tiny("TimesformerForVideoClassification", **settings, attention_type=attention),
            image=SQUARE,
            layers=("timesformer.encoder.layer.1",),
            grid=(4, 4, 4),
            layout="other",
            to_map=to_clip,
            leaf=(0,),
            output="logits",
            kind="video",
            why=f"{order}: the block before the last, a tuple; {where}",
        )
        for attention, where in (
            ("divided_space_time", "the norms within a block have frames or places folded into the batch (:330, :357)"),
            ("joint_space_time", "within a block all tokens are read at once (:314)"),
        )
    ]


def video_prism() -> Entry:
    """VideoPrism: frames, then places, folded into the batch."""
    vision = {
        "hidden_size": 32,
        "num_spatial_layers": 2,
        "num_temporal_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "image_size": 32,
        "num_frames": 4,
        "tubelet_size": [1, 8, 8],
    }
    return Entry(
        name="transformers/VideoPrismForVideoClassification",
        make=tiny("VideoPrismForVideoClassification", **LABELS, **vision),
        image=SQUARE,
        layers=("vision_model",),
        grid=(4, 4, 4),
        layout="tokens",
        leaf=("last_hidden_state",),
        target=lambda returned: returned.logits[:, 0, 1],
        kind="video",
        why="the tower's tokens over (t, h, w) (modeling_videoprism.py:576) are read by one learned query (:929); "
        "every module within has frames or places folded into the batch (:132, :260); one query makes the logits `[B, "
        "1, N]`",
    )


def vjepa() -> Entry:
    """V-JEPA 2: an attentive pooler behind the encoder."""
    settings = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "mlp_ratio": 2.0,
        "crop_size": 32,
        "patch_size": 8,
        "frames_per_clip": 4,
        "tubelet_size": 2,
        "num_pooler_layers": 1,
        "pred_hidden_size": 32,
        "pred_num_hidden_layers": 1,
        "pred_num_attention_heads": 4,
    }
    return Entry(
        name="transformers/VJEPA2ForVideoClassification",
        make=tiny("VJEPA2ForVideoClassification", **LABELS | settings),
        image=SQUARE,
        layers=("pooler.cross_attention_layer.layer_norm1", "vjepa2.encoder.layernorm"),
        grid=SQUARE_GRID,
        layout="tokens",
        output="logits",
        kind="video",
        why="a learned query reads the tokens behind the pooler's blocks through `layer_norm1` "
        "(modeling_vjepa2.py:805, :838), or the encoder's last norm before (:457); Conv3d's map is flattened over (t, "
        "h, w), :115; the predictor isn't run",
    )
