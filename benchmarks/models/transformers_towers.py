"""Image towers of transformers beside a text tower or read by attention: CLIP, SigLIP, MAE, Perceiver."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.models.entry import Entry
from benchmarks.models.tiny import ImageByName, first_component, tiny

VISION: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
}
TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 99,
    "max_position_embeddings": 12,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
SQUARE, GRID = (3, 32, 32), (4, 4)
CLIP_LAYERS = ("encoder.layers.2.layer_norm1", "encoder.layers.1")


def entries() -> list[Entry]:
    """The image towers."""
    return [*clip(), *siglip(), *siglip2(), mae(), *perceiver(), shield_gemma()]


def below(path: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names within a module at a path."""
    return tuple(f"{path}.{name}" for name in names)


def other_sizes(images: Tensor) -> dict[str, Any]:
    """Lets a tower take images of another size than its configuration's, as its users do."""
    return {"interpolate_pos_encoding": True}


def sentences(images: Tensor) -> dict[str, Any]:
    """Seven sentences of six tokens: seven classes for CLIP."""
    numbers = torch.arange(3, 3 + 42, device=images.device).reshape(7, 6)
    numbers[:, -1] = 2
    return {"input_ids": numbers, "attention_mask": torch.ones_like(numbers)}


def clip() -> list[Entry]:
    """CLIP and MetaCLIP 2: classifier, image tower with projection, both towers."""

    def two_towers() -> ImageByName:
        vision = VISION | {"projection_dim": 16}
        both = tiny("CLIPModel", vision_config=vision, text_config=TEXT | {"projection_dim": 16}, projection_dim=16)
        return ImageByName(both()).eval()

    read_off = (
        "the class token is read off the last block ({source}): the norm in front of its attention, or the block before"
    )
    entries = [
        Entry(
            name="transformers/CLIPVisionModelWithProjection",
            make=tiny("CLIPVisionModelWithProjection", **VISION, projection_dim=16),
            image=(3, 32, 48),
            layers=below("vision_model", CLIP_LAYERS),
            grid=(4, 6),
            layout="tokens",
            prefix=1,
            target=first_component("image_embeds"),
            inputs=other_sizes,
            kind="embedding",
            why=read_off.format(source="modeling_clip.py:640; image_embeds, :942"),
        ),
        Entry(
            name="transformers/CLIPModel",
            make=two_towers,
            image=SQUARE,
            layers=below("model.vision_model", CLIP_LAYERS),
            grid=GRID,
            layout="tokens",
            prefix=1,
            output="logits_per_image",
            inputs=sentences,
            kind="embedding",
            why=read_off.format(
                source="modeling_clip.py:640; seven sentences are the classes, :807; forward takes input_ids first, so "
                "an adapter gives it the image by name"
            ),
        ),
    ]
    for family, source in (("CLIP", "modeling_clip.py:991"), ("MetaClip2", "modeling_metaclip_2.py:1146")):
        entries.append(
            Entry(
                name=f"transformers/{family}ForImageClassification",
                make=tiny(f"{family}ForImageClassification", vision_config=VISION, num_labels=5),
                image=SQUARE,
                layers=("vision_model.encoder.layers.2",),
                grid=GRID,
                layout="tokens",
                prefix=1,
                output="logits",
                why=f"the mean of the patches' tokens behind the last block, without the class token ({source}); the "
                "last norm acts on the class token alone, which nobody reads",
            )
        )
    return entries


def siglip() -> list[Entry]:
    """SigLIP: classifier by the mean, tower by attention pooling, both towers."""

    def two_towers() -> ImageByName:
        text = {key: value for key, value in TEXT.items() if key != "max_position_embeddings"} | {
            "max_position_embeddings": 6
        }
        return ImageByName(tiny("SiglipModel", vision_config=VISION, text_config=text)()).eval()

    layers = ("post_layernorm", "encoder.layers.2")
    pooled = "a learned query reads all tokens behind the last norm (modeling_siglip.py:613, :636): the last norm, or "
    "the last block"
    return [
        Entry(
            name="transformers/SiglipForImageClassification",
            make=tiny("SiglipForImageClassification", vision_config=VISION, num_labels=5),
            image=(3, 32, 48),
            layers=below("vision_model", layers),
            grid=(4, 6),
            layout="tokens",
            output="logits",
            inputs=other_sizes,
            why="the tokens' mean behind the last norm is classified (modeling_siglip.py:904); there is no class "
            "token, and the pooling head is not used",
        ),
        Entry(
            name="transformers/SiglipVisionModel",
            make=tiny("SiglipVisionModel", **VISION),
            image=(3, 32, 48),
            layers=layers,
            grid=(4, 6),
            layout="tokens",
            target=first_component("pooler_output"),
            inputs=other_sizes,
            kind="embedding",
            why=pooled,
        ),
        Entry(
            name="transformers/SiglipModel",
            make=two_towers,
            image=SQUARE,
            layers=below("model.vision_model", layers),
            grid=GRID,
            layout="tokens",
            output="logits_per_image",
            inputs=sentences,
            kind="embedding",
            why=pooled
            + "; seven sentences are the classes, :806; forward takes input_ids first, so an adapter gives it the "
            "image by name",
        ),
    ]


def siglip2() -> list[Entry]:
    """SigLIP 2, which takes rows of patches with the shape of their grid."""

    def shapes(patches: Tensor) -> dict[str, Any]:
        shape = torch.tensor([[4, 6]], device=patches.device).expand(len(patches), 2)
        return {"pixel_attention_mask": torch.ones(patches.shape[:2], dtype=torch.long), "spatial_shapes": shape}

    vision = {key: value for key, value in VISION.items() if key != "image_size"} | {"num_patches": 24 + 1}
    return [
        Entry(
            name="transformers/Siglip2ForImageClassification",
            make=tiny("Siglip2ForImageClassification", vision_config=vision, num_labels=5),
            image=(24, 192),
            layers=("vision_model.post_layernorm", "vision_model.encoder.layers.2"),
            grid=(24,),
            layout="tokens",
            output="logits",
            inputs=shapes,
            why="the masked mean of the tokens behind the last norm (modeling_siglip2.py:978); the model takes "
            "patches `[B, 24, 8 * 8 * 3]` already cut out, row after row, with their grid in spatial_shapes: a map has "
            "an axis of patches, as the input has (the first version of this line had the grid of an "
            "image that nobody gave)",
        )
    ]


def mae() -> Entry:
    """The encoder of a masked autoencoder with nothing masked."""

    def in_order(images: Tensor) -> dict[str, Any]:
        return {"noise": torch.arange(24.0, device=images.device).repeat(len(images), 1)}

    return Entry(
        name="transformers/ViTMAEModel",
        make=tiny("ViTMAEModel", **VISION | {"image_size": (32, 48)}, mask_ratio=0.0),
        image=(3, 32, 48),
        layers=("layers.2.layernorm_before", "layers.1"),
        grid=(4, 6),
        layout="tokens",
        prefix=1,
        target=lambda returned: returned.last_hidden_state[:, 0, 0],
        inputs=in_order,
        kind="embedding",
        why="the class token behind the last norm; the patches are shuffled by sorting `noise` (modeling_vit_mae.py, "
        "random_masking), so rising noise keeps their order",
    )


def perceiver() -> list[Entry]:
    """Perceiver: latents read the pixels once, by cross attention."""
    settings: dict[str, Any] = {
        "num_latents": 6,
        "d_latents": 32,
        "d_model": 512,
        "num_self_attends_per_block": 2,
        "num_self_attention_heads": 4,
        "num_cross_attention_heads": 1,
        "num_labels": 5,
        "image_size": 12,
    }
    norm = "perceiver.encoder.cross_attention.attention.self.layernorm2"
    read = (
        "the latents read the pixels' tokens in one cross attention (modeling_perceiver.py:483): the norm of its inputs"
    )
    return [
        Entry(
            name="transformers/PerceiverForImageClassificationLearned",
            make=tiny("PerceiverForImageClassificationLearned", **settings),
            image=(3, 12, 12),
            layers=(norm,),
            grid=(12, 12),
            layout="tokens",
            output="logits",
            why=read + ", or `convnet_1x1` before learned positions are joined to it; one token for each pixel",
        ),
        Entry(
            name="transformers/PerceiverForImageClassificationFourier",
            make=tiny("PerceiverForImageClassificationFourier", **settings | {"d_model": 261}),
            image=(3, 10, 14),
            layers=(norm,),
            grid=(10, 14),
            layout="tokens",
            output="logits",
            why=read
            + "; the pixels with Fourier positions, 3 + 2 * (2 * 64 + 1) = 261 channels, and no weights before that",
        ),
        Entry(
            name="transformers/PerceiverForImageClassificationConvProcessing",
            make=tiny("PerceiverForImageClassificationConvProcessing", **settings | {"d_model": 322}),
            image=(3, 32, 48),
            layers=(norm,),
            grid=(7, 11),
            layout="tokens",
            output="logits",
            why=read
            + ", or `input_preprocessor.convnet`: 64 channels behind a convolution of stride 2 and a max pool of 3 by "
            "stride 2 without padding, 24 to 11; with Fourier positions 64 + 258 channels",
        ),
    ]


def shield_gemma() -> Entry:
    """A language model that says Yes or No of an image."""
    image_token, places = 95, 4

    def make() -> ImageByName:
        text = TEXT | {"num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64, "sliding_window": 16}
        model = tiny(
            "ShieldGemma2ForImageClassification",
            text_config=text | {"model_type": "gemma3_text"},
            vision_config=VISION | {"model_type": "siglip_vision_model", "vision_use_head": False},
            mm_tokens_per_image=places,
            image_token_index=image_token,
            boi_token_index=96,
            eoi_token_index=97,
            yes_token_index=10,
            no_token_index=11,
        )
        return ImageByName(model()).eval()

    def question(images: Tensor) -> dict[str, Any]:
        row = torch.tensor([1, 96, *[image_token] * places, 97, 20, 21, 22], device=images.device)
        numbers = row.repeat(len(images), 1)
        return {
            "input_ids": numbers,
            "attention_mask": torch.ones_like(numbers),
            "token_type_ids": (numbers == image_token).long(),
        }

    return Entry(
        name="transformers/ShieldGemma2ForImageClassification",
        make=make,
        image=SQUARE,
        layers=below("model.model.model.vision_tower", ("post_layernorm", "encoder.layers.2")),
        grid=GRID,
        layout="tokens",
        output="logits",
        inputs=question,
        why="SigLIP's tokens behind its last norm are pooled to 2 x 2, projected and put in the places of the "
        "prompt's image tokens (modeling_gemma3.py:653, :861); the logits of Yes and No at the last place "
        "(modeling_shieldgemma2.py:130)",
    )
