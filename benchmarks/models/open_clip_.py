"""Image towers of open_clip, and a whole CLIP."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.models.entry import Entry
from benchmarks.models.tiny import calibrated, usual_sizes

VISION: dict[str, Any] = {"patch_size": 8, "width": 32, "layers": 3, "heads": 4, "mlp_ratio": 2.0, "output_dim": 16}
LAYERS = ("transformer.resblocks.2.ln_1", "transformer.resblocks.1")
READ_OFF = (
    "the class token behind the last norm, projected (transformer.py, _pool): the norm in front of the last attention, "
    "or the block before"
)


def entries() -> list[Entry]:
    """The image towers."""
    return [resnet(), vit(), mean(), attentive(), convnext(), whole()]


def tower(**settings: Any) -> nn.Module:
    """A small vision transformer of open_clip."""
    from open_clip.transformer import VisionTransformer

    return usual_sizes(VisionTransformer(**{"image_size": (32, 48)} | VISION | settings))


def tokens(name: str, layers: tuple[str, ...], why: str, **settings: Any) -> Entry:
    """An entry for a vision transformer with a class token in front."""
    return Entry(
        f"open_clip/{name}",
        lambda: tower(**settings),
        (3, 32, 48),
        layers,
        (4, 6),
        layout="tokens",
        prefix=1,
        kind="embedding",
        why=why,
    )


def resnet() -> Entry:
    """RN50's tower: three convolutions, anti-aliasing, attention pooling."""

    def make() -> nn.Module:
        from open_clip.modified_resnet import ModifiedResNet

        return usual_sizes(ModifiedResNet(layers=[1, 1, 1, 1], output_dim=16, heads=8, image_size=128, width=16))

    return Entry(
        "open_clip/RN50",
        calibrated(make, (3, 128, 128)),
        (3, 128, 128),
        ("layer4", "layer4.0"),
        (4, 4),
        kind="embedding",
        why="the last stage is read by an attention pooling with learned positions (modified_resnet.py:233, :234), so "
        "it is square; the last norm of each block begins at zero and is given usual values",
    )


def vit() -> Entry:
    """ViT-B-32's tower."""
    return tokens("ViT-B-32", LAYERS, READ_OFF)


def mean() -> Entry:
    """A tower that averages its tokens."""
    return tokens(
        "ViT-mean",
        ("ln_post", "transformer", "transformer.resblocks.2"),
        "pool_type 'avg': the mean of the patches' tokens behind the last norm (transformer.py, _global_pool)",
        pool_type="avg",
    )


def attentive() -> Entry:
    """CoCa's tower: learned queries read the tokens."""
    return tokens(
        "coca-ViT",
        ("attn_pool.ln_k", "transformer", "transformer.resblocks.2"),
        "learned queries read all tokens of the last block (transformer.py, _pool): its norm of keys, or the last "
        "block",
        attentional_pool=True,
        attn_pooler_queries=4,
        attn_pooler_heads=4,
    )


def convnext() -> Entry:
    """A ConvNeXt of timm as a tower."""

    def make() -> nn.Module:
        from open_clip.timm_model import TimmModel

        return usual_sizes(TimmModel("convnext_atto", embed_dim=16, image_size=128, pool="", proj="linear"))

    return Entry(
        "open_clip/convnext",
        make,
        (3, 128, 160),
        ("trunk.stages", "trunk.stages.3"),
        (4, 5),
        kind="embedding",
        why="timm's trunk pools its last stage within, then a projection (timm_model.py:213, :214)",
    )


def whole() -> Entry:
    """Both towers: five sentences are the classes."""

    def make() -> nn.Module:
        from open_clip.model import CLIP

        vision = {"image_size": (32, 48), "patch_size": 8, "width": 32, "layers": 3, "head_width": 8, "mlp_ratio": 2.0}
        text = {"context_length": 6, "vocab_size": 40, "width": 32, "heads": 4, "layers": 2}
        return usual_sizes(CLIP(embed_dim=16, vision_cfg=vision, text_cfg=text))

    def sentences(images: Tensor) -> dict[str, Any]:
        return {"text": torch.arange(1, 31, device=images.device).reshape(5, 6)}

    def first_sentence(returned: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        image, text, scale = returned
        return (scale * image @ text.T)[:, 0]

    return Entry(
        "open_clip/CLIP",
        make,
        (3, 32, 48),
        tuple(f"visual.{name}" for name in LAYERS),
        (4, 6),
        layout="tokens",
        prefix=1,
        target=first_sentence,
        inputs=sentences,
        kind="embedding",
        why=READ_OFF + "; the model returns (image, text, scale), normalised (model.py:464)",
    )
