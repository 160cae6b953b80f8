"""segmentation-models-pytorch: eleven decoders over small encoders with random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from benchmarks.models.entry import Entry
from benchmarks.models.tiny import calibrated, class_over_pixels

IMAGE = (3, 64, 96)
FULL, HALF, QUARTER, EIGHTH = (64, 96), (32, 48), (16, 24), (8, 12)
HEAD = "the segmentation head reads the decoder's map alone (base/model.py:73)"


def entries() -> list[Entry]:
    """One entry for each architecture, and one for the classification head beside it."""
    return [*skipping(), pan(), *last_map_only(), two_heads()]


def net(name: str, encoder: str, image: tuple[int, ...] = IMAGE, **settings: Any) -> Callable[[], nn.Module]:
    """How to make an architecture over an encoder; BatchNorm's statistics are those of its random values."""

    def make() -> nn.Module:
        import segmentation_models_pytorch as smp

        made: nn.Module = getattr(smp, name)(encoder, encoder_weights=None, classes=3, **settings)
        return made.eval()

    return calibrated(make, image)


def skipping() -> list[Entry]:
    """Decoders that read several levels of the encoder: everything passes the decoder's own map."""
    rows: list[tuple[str, str, dict[str, Any], tuple[int, int], tuple[str, ...], str]] = [
        ("Unet", "resnet18", {}, FULL, ("decoder", "decoder.blocks.4"), "unet/decoder.py:170"),
        ("UnetPlusPlus", "resnet18", {}, FULL, ("decoder", "decoder.blocks.x_0_4"), "unetplusplus/decoder.py:185"),
        ("FPN", "mobilenet_v2", {}, QUARTER, ("decoder", "decoder.merge"), "fpn/decoder.py:143"),
        ("MAnet", "resnet18", {}, FULL, ("decoder", "decoder.blocks.4"), "manet/decoder.py:217"),
        ("Linknet", "resnet18", {}, FULL, ("decoder", "decoder.blocks.4"), "linknet/decoder.py:103"),
        ("UPerNet", "resnet18", {}, QUARTER, ("decoder", "decoder.fusion_block"), "upernet/decoder.py:210"),
        ("Segformer", "mit_b0", {}, QUARTER, ("decoder", "decoder.fuse_stage"), "segformer/decoder.py:71"),
        (
            "DeepLabV3Plus",
            "mobilenet_v2",
            {},
            QUARTER,
            ("decoder", "decoder.block2"),
            "deeplabv3/decoder.py:138",
        ),
        (
            "DPT",
            "tu-vit_tiny_patch16_224",
            {
                "decoder_intermediate_channels": (16, 24, 32, 32),
                "decoder_fusion_channels": 16,
                "dynamic_img_size": True,
            },
            HALF,
            ("decoder", "decoder.fusion_blocks.3", "segmentation_head.head.2"),
            "dpt/decoder.py:285; DPTSegmentationHead has a convolution, norm and ReLU before its last one",
        ),
    ]
    return [
        Entry(
            f"smp/{name}",
            net(name, encoder, **settings),
            IMAGE,
            layers,
            grid,
            target=class_over_pixels(),
            kind="segmentation",
            why=f"{HEAD}, over {encoder} ({source}); the encoder's last map alone carries a part of the score",
        )
        for name, encoder, settings, grid, layers, source in rows
    ]


def pan() -> Entry:
    """PAN, whose pyramid halves the last map three times more and wants a larger image."""
    image = (3, 128, 192)
    return Entry(
        "smp/PAN",
        net("PAN", "resnet18", image),
        image,
        ("decoder", "decoder.gau1"),
        (32, 48),
        target=class_over_pixels(),
        kind="segmentation",
        why=f"{HEAD}, over resnet18 (pan/decoder.py:262)",
    )


def last_map_only() -> list[Entry]:
    """Decoders that read the encoder's last map alone, on the same grid: both are right."""
    return [
        Entry(
            "smp/PSPNet",
            net("PSPNet", "resnet18"),
            IMAGE,
            ("decoder", "decoder.conv", "encoder.layer2"),
            EIGHTH,
            target=class_over_pixels(),
            kind="segmentation",
            why=f"{HEAD}, which pools the encoder's last map of three (pspnet/decoder.py:104); layers 3 and 4 aren't "
            "run",
        ),
        Entry(
            "smp/DeepLabV3",
            net("DeepLabV3", "resnet18"),
            IMAGE,
            ("decoder", "decoder.relu", "encoder.layer4"),
            EIGHTH,
            target=class_over_pixels(),
            kind="segmentation",
            why=f"{HEAD}, which reads the encoder's last map (deeplabv3/decoder.py:65), dilated to a stride of 8",
        ),
    ]


def two_heads() -> Entry:
    """A U-Net with a classifier at its bottom: the class doesn't pass the decoder."""
    return Entry(
        "smp/Unet-classifier",
        net("Unet", "resnet18", aux_params={"classes": 5}),
        (3, 128, 160),
        ("encoder.layer4", "encoder.layer4.1"),
        (4, 5),
        output=1,
        why="the model returns (masks, labels), and the labels come from the encoder's last map (base/model.py:76): "
        "nothing of the decoder is in their gradient",
    )
