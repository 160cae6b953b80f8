"""Plain vision transformers of transformers: one row of tokens from the patches to the head."""

from __future__ import annotations

from typing import Any

from benchmarks.models.entry import Entry
from benchmarks.models.tiny import ColourTokens, first_component, tiny

# Patches of 8 on 32 x 48 pixels: 4 x 6 tokens, not square, so that transposed axes show.
IMAGE, GRID = (3, 32, 48), (4, 6)
BODY: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "image_size": (32, 48),
    "patch_size": 8,
}
LABELS: dict[str, Any] = {"num_labels": 5}
CLASS_TOKEN = (
    "the class token is read off behind the last norm ({source}): behind the last block's attention it reads no other "
    "token any more, so the norm in front of that attention, or the block before"
)
MEAN = "the tokens' mean is classified ({source}): the last block, or the last norm"


def entries() -> list[Entry]:
    """The plain vision transformers."""
    return [*class_token(), *pooled(), *dino(), image_gpt()]


def tokens(
    name: str, layers: tuple[str, ...], why: str, *, prefix: int = 1, variant: str = "", **settings: Any
) -> Entry:
    """An entry for a row of tokens with `prefix` tokens in front."""
    return Entry(
        name=f"transformers/{name}{variant}",
        make=tiny(name, **BODY | LABELS | settings),
        image=IMAGE,
        layers=layers,
        grid=GRID,
        layout="tokens",
        prefix=prefix,
        output="logits",
        why=why,
    )


def class_token() -> list[Entry]:
    """ViT, DeiT (with and without distillation), MSN, BEiT by its class token."""
    vit = ("vit.layers.2.layernorm_before", "vit.layers.1")
    deit = ("deit.layers.2.layernorm_before", "deit.layers.1")
    return [
        tokens(
            "ViTForImageClassification",
            vit,
            CLASS_TOKEN.format(source="modeling_vit.py:545, attention sdpa"),
            variant="-sdpa",
            attn_implementation="sdpa",
        ),
        tokens(
            "ViTForImageClassification",
            vit,
            CLASS_TOKEN.format(source="modeling_vit.py:545, attention eager"),
            variant="-eager",
            attn_implementation="eager",
        ),
        tokens("ViTMSNForImageClassification", vit, CLASS_TOKEN.format(source="modeling_vit_msn.py:442")),
        tokens(
            "DeiTForImageClassification",
            deit,
            CLASS_TOKEN.format(source="modeling_deit.py:548; a distillation token stands second, :153"),
            prefix=2,
        ),
        tokens(
            "DeiTForImageClassificationWithTeacher",
            deit,
            CLASS_TOKEN.format(source="modeling_deit.py:635: the class and the distillation token, each its own head"),
            prefix=2,
        ),
        tokens(
            "BeitForImageClassification",
            ("beit.layers.2.layernorm_before", "beit.layers.1"),
            CLASS_TOKEN.format(source="modeling_beit.py:571, use_mean_pooling=False"),
            variant="-class-token",
            use_mean_pooling=False,
            use_shared_relative_position_bias=True,
        ),
    ]


def pooled() -> list[Entry]:
    """The tokens' mean is classified: BEiT, Data2Vec, I-JEPA."""
    data2vec = Entry(
        name="transformers/Data2VecVisionForImageClassification",
        make=tiny("Data2VecVisionForImageClassification", **BODY | LABELS, use_shared_relative_position_bias=True),
        image=IMAGE,
        layers=("data2vec_vision.encoder.layer.2",),
        grid=GRID,
        layout="tokens",
        prefix=1,
        leaf=(0,),
        output="logits",
        why="the mean of the patches' tokens without the class token (modeling_data2vec_vision.py:764); a block "
        "returns a tuple (:491)",
    )
    return [
        tokens(
            "BeitForImageClassification",
            ("beit.layers.2", "beit.layernorm"),
            MEAN.format(source="modeling_beit.py:571, without the class token; `layernorm` is an Identity"),
            use_relative_position_bias=True,
        ),
        data2vec,
        tokens(
            "IJepaForImageClassification",
            ("ijepa.layernorm", "ijepa.layers.2"),
            MEAN.format(source="modeling_ijepa.py:411; there is no class token"),
            prefix=0,
        ),
    ]


def dino() -> list[Entry]:
    """DINOv2 and DINOv3: the class token and the patches' mean, or the class token as an embedding."""
    both = "the class token and the mean of the patches are classified together ({source}): the last norm, or the last "
    "block"
    v2, v3 = {"image_size": 48}, {"num_register_tokens": 4, "layerscale_value": 1.0}
    embedding = Entry(
        name="transformers/DINOv3ViTModel",
        make=tiny("DINOv3ViTModel", **BODY | v3),
        image=IMAGE,
        layers=("model.layer.2.norm1", "model.layer.1"),
        grid=GRID,
        layout="tokens",
        prefix=5,
        target=first_component("pooler_output"),
        kind="embedding",
        why="the class token behind the last norm (modeling_dinov3_vit.py:546); four register tokens follow it; "
        "positions are rotations within attention",
    )
    return [
        tokens(
            "Dinov2ForImageClassification",
            ("dinov2.layernorm", "dinov2.encoder.layer.2"),
            both.format(source="modeling_dinov2.py:458"),
            **v2,
        ),
        tokens(
            "Dinov2ForImageClassification",
            ("dinov2.layernorm", "dinov2.encoder.layer.2"),
            both.format(source="modeling_dinov2.py:458, SwiGLU and attention eager"),
            variant="-swiglu-eager",
            **v2,
            use_swiglu_ffn=True,
            attn_implementation="eager",
        ),
        tokens(
            "Dinov2WithRegistersForImageClassification",
            ("dinov2_with_registers.layernorm", "dinov2_with_registers.encoder.layer.2"),
            both.format(
                source="modeling_dinov2_with_registers.py:468; four registers stand behind the class token, :148"
            ),
            prefix=5,
            **v2,
            num_register_tokens=4,
        ),
        embedding,
    ]


def image_gpt() -> Entry:
    """ImageGPT: a row of the pixels' colours."""

    def make() -> ColourTokens:
        gpt = tiny(
            "ImageGPTForImageClassification", vocab_size=17, n_positions=48, n_embd=32, n_layer=3, n_head=4, **LABELS
        )
        return ColourTokens(gpt(), colours=16).eval()

    return Entry(
        name="transformers/ImageGPTForImageClassification",
        make=make,
        image=(3, 6, 8),
        layers=("model.transformer.ln_f",),
        grid=(6, 8),
        layout="tokens",
        output="logits",
        why="the mean of the pixels' tokens behind `ln_f` (modeling_imagegpt.py:803); the model takes numbers of "
        "colours, so an adapter turns the image into them as its processor does: nothing flows back to the image",
    )
