"""Networks of MONAI: medical images in two and three dimensions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from benchmarks.models.entry import Entry
from benchmarks.models.tiny import calibrated, class_over_pixels, usual_sizes

FLAT, VOLUME = (1, 64, 96), (1, 32, 48, 64)


def entries() -> list[Entry]:
    """The networks of MONAI."""
    return [*classifiers(), *transformers(), *of_others(), *nested(), *unets(), *attentive()]


def net(name: str, /, lively: bool = False, **settings: Any) -> Callable[[], nn.Module]:
    """How to make a network of MONAI; `lively` where it begins with weights of 0.02."""

    def make() -> nn.Module:
        from monai.networks import nets

        model: nn.Module = getattr(nets, name)(**settings)
        return usual_sizes(model) if lively else model.eval()

    return make


def classifiers() -> list[Entry]:
    """DenseNet, ResNet, SENet, EfficientNet, and a classifier whose head knows the places."""
    dense = (
        "the norm behind the last block has its ReLU in the head (densenet.py:233), in place, in front of the pooling"
    )
    residual = "the last stage, then the pooling (resnet.py:356, :358); the block adds and rectifies in place (:119)"
    swish = "the norm behind the last convolution (efficientnet.py:441); its swish is one module for the whole "
    "network, called often"
    squeeze = "the last stage, then the pooling (senet.py:268, :271)"
    return [
        Entry(
            "monai/DenseNet121-2d",
            net("DenseNet121", spatial_dims=2, in_channels=1, out_channels=5),
            (1, 128, 160),
            ("class_layers.relu", "features", "features.norm5"),
            (4, 5),
            why=dense,
        ),
        Entry(
            "monai/DenseNet-3d",
            net(
                "DenseNet",
                spatial_dims=3,
                in_channels=1,
                out_channels=5,
                init_features=16,
                growth_rate=8,
                block_config=(2, 2, 2),
            ),
            VOLUME,
            ("class_layers.relu", "features", "features.norm5"),
            (2, 3, 4),
            why=dense + "; three blocks: a stride of 16",
        ),
        Entry(
            "monai/resnet18-2d",
            net("resnet18", spatial_dims=2, n_input_channels=1, num_classes=5, widen_factor=0.5, conv1_t_stride=2),
            (1, 128, 160),
            ("layer4", "layer4.1"),
            (4, 5),
            why=residual,
        ),
        Entry(
            "monai/resnet10-3d",
            net("resnet10", spatial_dims=3, n_input_channels=1, num_classes=5, widen_factor=0.25),
            VOLUME,
            ("layer4", "layer4.0"),
            (2, 3, 4),
            why=residual + "; the first convolution has stride 1, so 16 in all",
        ),
        Entry(
            "monai/SEResNet50-2d",
            net("SEResNet50", spatial_dims=2, in_channels=1, num_classes=5, layers=(1, 1, 1, 1), inplanes=16),
            (1, 128, 160),
            ("layer4", "layer4.0"),
            (4, 5),
            why=squeeze,
        ),
        Entry(
            "monai/SENet-3d",
            net(
                "SENet",
                spatial_dims=3,
                in_channels=1,
                block="se_resnetxt_bottleneck",
                layers=(1, 1, 1, 1),
                groups=32,
                reduction=16,
                inplanes=16,
                num_classes=5,
            ),
            (1, 64, 64, 96),
            ("layer4", "layer4.0"),
            (2, 2, 3),
            why=squeeze,
        ),
        Entry(
            "monai/EfficientNetBN-2d",
            calibrated(
                net(
                    "EfficientNetBN",
                    model_name="efficientnet-b0",
                    pretrained=False,
                    spatial_dims=2,
                    in_channels=1,
                    num_classes=5,
                ),
                (1, 128, 160),
            ),
            (1, 128, 160),
            ("_bn1", "_conv_head", "_swish#2"),
            (4, 5),
            why=swish,
        ),
        Entry(
            "monai/Classifier",
            net("Classifier", in_shape=(1, 32, 48), classes=5, channels=(8, 16), strides=(2, 2)),
            (1, 32, 48),
            ("net", "net.layer_1"),
            (8, 12),
            why="the last stage is flattened, not pooled (regressor.py:150, :151)",
        ),
    ]


def transformers() -> list[Entry]:
    """MONAI's ViT in two and three dimensions."""
    body: dict[str, Any] = {"hidden_size": 32, "mlp_dim": 64, "num_layers": 3, "num_heads": 4, "patch_size": 8}
    head: dict[str, Any] = {"classification": True, "num_classes": 5, "post_activation": "none", "in_channels": 1}
    return [
        Entry(
            f"monai/ViT-{len(size)}d",
            net("ViT", lively=True, **body, **head, img_size=size, spatial_dims=len(size)),
            (1, *size),
            ("blocks.2.norm1", "blocks.1"),
            tuple(side // 8 for side in size),
            layout="tokens",
            prefix=1,
            output=0,
            why="the class token behind the last norm (vit.py:132): the norm in front of the last attention, or the "
            "block before; the model returns (logits, the blocks' tokens)",
        )
        for size in ((32, 48), (16, 24, 32))
    ]


def of_others() -> list[Entry]:
    """torchvision within MONAI: another head, and a bag of images as one."""

    def bag() -> nn.Module:
        from monai.networks.nets import MILModel
        from torchvision.models import resnet18

        backbone = resnet18(weights=None)
        backbone.fc = nn.Identity()
        made: nn.Module = MILModel(
            num_classes=5, mil_mode="att", pretrained=False, backbone=backbone, backbone_num_features=512
        )
        return made.eval()

    def unfold(features: Tensor) -> Tensor:
        """`[B * 3, C, h, w]` to `[B, C, 3, h, w]`."""
        return features.unflatten(0, (-1, 3)).transpose(1, 2)

    return [
        Entry(
            "monai/TorchVisionFCModel",
            net("TorchVisionFCModel", model_name="resnet18", num_classes=5, pretrained=False),
            (3, 224, 224),
            ("features.7", "features", "features.7.1"),
            (7, 7),
            why="resnet18's children without the last two in a Sequential (netadapter.py:97), then a pooling of 7 x 7",
        ),
        Entry(
            "monai/TorchVisionFCModel-whole",
            net("TorchVisionFCModel", model_name="resnet18", num_classes=5, pretrained=False, pool=None),
            (3, 128, 160),
            ("features.layer4", "features.layer4.1"),
            (4, 5),
            why="resnet18 with an Identity as its fc, and another fc behind (netadapter.py:85)",
        ),
        Entry(
            "monai/MILModel",
            bag,
            (3, 3, 64, 96),
            ("net.layer4", "net.layer4.1"),
            (3, 2, 3),
            layout="other",
            to_map=unfold,
            why="three images of a bag are folded into the batch (milmodel.py:230), pooled each, and joined by "
            "attention",
        ),
    ]


def nested() -> list[Entry]:
    """Classic segmentation in a Sequential or nested modules."""
    conv: dict[str, Any] = {"in_channels": 1, "out_channels": 3}
    up = "the up path of the top level without the unit that makes the logits (unet.py:250): everything passes it"
    found = []
    for size in (FLAT, VOLUME):
        dims, grid = len(size) - 1, size[1:]
        common: dict[str, Any] = {
            "target": class_over_pixels(),
            "kind": "segmentation",
        }
        levels = {"channels": (8, 16, 32), "strides": (2, 2)}
        found += [
            Entry(
                f"monai/UNet-{dims}d",
                net("UNet", **conv, spatial_dims=dims, **levels, num_res_units=2),
                size,
                ("model.2.0",),
                grid,
                why=up,
                **common,
            ),
            Entry(
                f"monai/AttentionUnet-{dims}d",
                net("AttentionUnet", **conv, spatial_dims=dims, **levels),
                size,
                ("model.1", "model.1.merge"),
                grid,
                why="the top attention level merges skip and lower levels (attentionunet.py:181), and a 1 x 1 "
                "convolution makes the logits",
                **common,
            ),
            Entry(
                f"monai/DynUNet-{dims}d",
                net(
                    "DynUNet",
                    **conv,
                    spatial_dims=dims,
                    kernel_size=[3, 3, 3],
                    strides=[1, 2, 2],
                    upsample_kernel_size=[2, 2],
                    filters=[8, 16, 32],
                ),
                size,
                ("skip_layers", "upsamples.1"),
                grid,
                why="the recursive up and down path returns what `output_block` reads (dynunet.py:269); its parts "
                "stand at two names each",
                **common,
            ),
        ]
    small = [
        {"name": "conv_0", "n_features": 8, "kernel_size": 3},
        {"name": "res_1", "n_features": 8, "kernels": (3, 3), "repeat": 1},
        {"name": "res_2", "n_features": 16, "kernels": (3, 3), "repeat": 1},
        {"name": "res_3", "n_features": 24, "kernels": (3, 3), "repeat": 1},
        {"name": "conv_1", "n_features": 16, "kernel_size": 1},
        {"name": "conv_2", "kernel_size": 1},
    ]
    high = Entry(
        "monai/HighResNet-3d",
        net("HighResNet", **conv, spatial_dims=3, layer_params=small),
        (1, 16, 24, 24),
        ("blocks.4", "blocks.4.adn"),
        (16, 24, 24),
        target=class_over_pixels(),
        kind="segmentation",
        why="the last but one convolution, behind norm and ReLU (highresnet.py, final conv layers); no pooling at all",
    )
    return [*found, high]


def unets() -> list[Entry]:
    """U-shaped networks whose last block reads everything."""
    conv: dict[str, Any] = {"in_channels": 1, "out_channels": 3}
    features = (8, 8, 16, 16, 32, 8)

    def first(returned: list[Tensor]) -> Tensor:
        return class_over_pixels()(returned[0])

    rows: list[tuple[str, int, dict[str, Any], tuple[str, ...], str]] = [
        ("BasicUNet", 2, {"features": features}, ("upcat_1",), "the last up block (basic_unet.py:274)"),
        ("BasicUNet", 3, {"features": features}, ("upcat_1",), "the last up block (basic_unet.py:274)"),
        (
            "SegResNet",
            2,
            {"init_filters": 8},
            ("up_layers.2", "up_layers.2.0", "conv_final.1", "act_mod"),
            "the last up layer (segresnet.py:172), or the ReLU of `conv_final`, which is `act_mod` by another name",
        ),
        (
            "SegResNet",
            3,
            {"init_filters": 8},
            ("up_layers.2", "up_layers.2.0", "conv_final.1", "act_mod"),
            "the last up layer (segresnet.py:172), or the ReLU of `conv_final`, which is `act_mod` by another name",
        ),
        (
            "MedNeXt",
            2,
            {"init_filters": 8, "kernel_size": 3, "blocks_down": (1,) * 4, "blocks_up": (1,) * 4},
            ("dec_stages.3", "dec_stages.3.0"),
            "the last decoder stage (mednext.py:256)",
        ),
        (
            "VNet",
            2,
            {"dropout_dim": 2},
            ("out_tr.act_function1", "out_tr.conv_block"),
            "the convolution and ELU behind the last up block (vnet.py:195), in front of the 1 x 1 one",
        ),
        (
            "FlexibleUNet",
            2,
            {"in_channels": 3, "backbone": "efficientnet-b0", "decoder_channels": (32, 24, 16, 16, 8)},
            ("decoder", "decoder.blocks.4"),
            "the decoder's map, which the head reads (flexible_unet.py:348)",
        ),
    ]
    found = []
    for name, dims, settings, layers, why in rows:
        channels = settings.get("in_channels", 1)
        shape = (64, 96) if dims == 2 else (32, 32, 48)
        found.append(
            Entry(
                f"monai/{name}-{dims}d",
                calibrated(net(name, **conv | {"spatial_dims": dims} | settings), (channels, *shape)),
                (channels, *shape),
                layers,
                shape,
                target=class_over_pixels(),
                kind="segmentation",
                why=why,
            )
        )
    nested_twice = Entry(
        "monai/BasicUNetPlusPlus-2d",
        net("BasicUNetPlusPlus", **conv, spatial_dims=2, features=features),
        FLAT,
        ("upcat_0_4",),
        FLAT[1:],
        target=first,
        kind="segmentation",
        why="the last of four nested up paths (basic_unetplusplus.py:158); three more heads are run and thrown away, "
        "and the model returns a list of one",
    )
    return [*found, nested_twice]


def attentive() -> list[Entry]:
    """Transformers with a convolutional decoder: UNETR, Swin UNETR."""
    conv: dict[str, Any] = {"in_channels": 1, "out_channels": 3}
    found = []
    for size in ((64, 96), (32, 32, 64)):
        dims = len(size)
        found += [
            Entry(
                f"monai/UNETR-{dims}d",
                net(
                    "UNETR",
                    lively=True,
                    **conv,
                    img_size=size,
                    feature_size=8,
                    hidden_size=32,
                    mlp_dim=64,
                    num_heads=4,
                    spatial_dims=dims,
                ),
                (1, *size),
                ("decoder2",),
                size,
                target=class_over_pixels(),
                kind="segmentation",
                why="the last decoder joins the image's own convolution with the blocks' tokens as maps (unetr.py:212)",
            ),
            Entry(
                f"monai/SwinUNETR-{dims}d",
                net("SwinUNETR", lively=True, **conv, feature_size=12, window_size=4, spatial_dims=dims),
                (1, *size),
                ("decoder1",),
                size,
                target=class_over_pixels(),
                kind="segmentation",
                why="the last decoder joins the image's own convolution with Swin's stages (swin_unetr.py:405)",
            ),
        ]
    return found
