"""The names of the zoo. Importing this module imports neither torch nor torchvision."""

from __future__ import annotations

import re

from funcam.errors import FuncamError, nearest_or_listed, shown

NETS: tuple[str, ...] = (
    "scenes",
    "alexnet",
    "convnext_base",
    "convnext_large",
    "convnext_small",
    "convnext_tiny",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "efficientnet_v2_l",
    "efficientnet_v2_m",
    "efficientnet_v2_s",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mnasnet0_75",
    "mnasnet1_0",
    "mnasnet1_3",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    "regnet_x_16gf",
    "regnet_x_1_6gf",
    "regnet_x_32gf",
    "regnet_x_3_2gf",
    "regnet_x_400mf",
    "regnet_x_800mf",
    "regnet_x_8gf",
    "regnet_y_128gf",
    "regnet_y_16gf",
    "regnet_y_1_6gf",
    "regnet_y_32gf",
    "regnet_y_3_2gf",
    "regnet_y_400mf",
    "regnet_y_800mf",
    "regnet_y_8gf",
    "resnet101",
    "resnet152",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0",
    "shufflenet_v2_x1_5",
    "shufflenet_v2_x2_0",
    "squeezenet1_0",
    "squeezenet1_1",
    "swin_b",
    "swin_s",
    "swin_t",
    "swin_v2_b",
    "swin_v2_s",
    "swin_v2_t",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
    "vit_b_16",
    "vit_b_32",
    "vit_h_14",
    "vit_l_16",
    "vit_l_32",
    "wide_resnet101_2",
    "wide_resnet50_2",
)
"""Every network that `funcam.zoo.load_net` knows: the one that ships with funcam, then torchvision's classifiers."""

ALIASES: dict[str, str] = {
    "convnext": "convnext_tiny",
    "densenet": "densenet121",
    "efficientnet": "efficientnet_b0",
    "efficientnet_v2": "efficientnet_v2_s",
    "inception": "inception_v3",
    "maxvit": "maxvit_t",
    "mnasnet": "mnasnet1_0",
    "mobilenet": "mobilenet_v2",
    "mobilenet_v3": "mobilenet_v3_large",
    "resnet": "resnet50",
    "resnext": "resnext50_32x4d",
    "shufflenet": "shufflenet_v2_x1_0",
    "shufflenet_v2": "shufflenet_v2_x1_0",
    "squeezenet": "squeezenet1_1",
    "swin": "swin_t",
    "swin_v2": "swin_v2_t",
    "vgg": "vgg16",
    "vit": "vit_b_16",
    "wide_resnet": "wide_resnet50_2",
}
"""Short names, and the network that each stands for."""

DEFAULT_LAYERS: dict[str, str] = {
    "scenes": "trunk_output",
    "alexnet": "features.11",
    "convnext_base": "features.7",
    "convnext_large": "features.7",
    "convnext_small": "features.7",
    "convnext_tiny": "features.7",
    "densenet121": "relu",
    "densenet161": "relu",
    "densenet169": "relu",
    "densenet201": "relu",
    "efficientnet_b0": "features.8",
    "efficientnet_b1": "features.8",
    "efficientnet_b2": "features.8",
    "efficientnet_b3": "features.8",
    "efficientnet_b4": "features.8",
    "efficientnet_b5": "features.8",
    "efficientnet_b6": "features.8",
    "efficientnet_b7": "features.8",
    "efficientnet_v2_l": "features.8",
    "efficientnet_v2_m": "features.8",
    "efficientnet_v2_s": "features.7",
    "googlenet": "inception5b",
    "inception_v3": "Mixed_7c",
    "maxvit_t": "blocks.3",
    "mnasnet0_5": "layers.16",
    "mnasnet0_75": "layers.16",
    "mnasnet1_0": "layers.16",
    "mnasnet1_3": "layers.16",
    "mobilenet_v2": "features.18",
    "mobilenet_v3_large": "features.16",
    "mobilenet_v3_small": "features.12",
    "regnet_x_16gf": "trunk_output",
    "regnet_x_1_6gf": "trunk_output",
    "regnet_x_32gf": "trunk_output",
    "regnet_x_3_2gf": "trunk_output",
    "regnet_x_400mf": "trunk_output",
    "regnet_x_800mf": "trunk_output",
    "regnet_x_8gf": "trunk_output",
    "regnet_y_128gf": "trunk_output",
    "regnet_y_16gf": "trunk_output",
    "regnet_y_1_6gf": "trunk_output",
    "regnet_y_32gf": "trunk_output",
    "regnet_y_3_2gf": "trunk_output",
    "regnet_y_400mf": "trunk_output",
    "regnet_y_800mf": "trunk_output",
    "regnet_y_8gf": "trunk_output",
    "resnet101": "layer4",
    "resnet152": "layer4",
    "resnet18": "layer4",
    "resnet34": "layer4",
    "resnet50": "layer4",
    "resnext101_32x8d": "layer4",
    "resnext101_64x4d": "layer4",
    "resnext50_32x4d": "layer4",
    "shufflenet_v2_x0_5": "conv5",
    "shufflenet_v2_x1_0": "conv5",
    "shufflenet_v2_x1_5": "conv5",
    "shufflenet_v2_x2_0": "conv5",
    "squeezenet1_0": "features.12",
    "squeezenet1_1": "features.12",
    "swin_b": "features.7.1.norm1",
    "swin_s": "features.7.1.norm1",
    "swin_t": "features.7.1.norm1",
    "swin_v2_b": "features.7.1.norm1",
    "swin_v2_s": "features.7.1.norm1",
    "swin_v2_t": "features.7.1.norm1",
    "vgg11": "features.19",
    "vgg11_bn": "features.27",
    "vgg13": "features.23",
    "vgg13_bn": "features.33",
    "vgg16": "features.29",
    "vgg16_bn": "features.42",
    "vgg19": "features.35",
    "vgg19_bn": "features.51",
    "vit_b_16": "encoder.layers.encoder_layer_11.ln_1",
    "vit_b_32": "encoder.layers.encoder_layer_11.ln_1",
    "vit_h_14": "encoder.layers.encoder_layer_31.ln_1",
    "vit_l_16": "encoder.layers.encoder_layer_23.ln_1",
    "vit_l_32": "encoder.layers.encoder_layer_23.ln_1",
    "wide_resnet101_2": "layer4",
    "wide_resnet50_2": "layer4",
}
"""Where each network is cut unless a layer is asked for: what `funcam.split` finds in its graph (a test compares)."""

_TABLE_FROM = (0, 29)
"""The torchvision whose names the table holds. Only a newer one is asked for names that the table lacks."""


def canonical_name(name: str) -> str:
    """The zoo's name of a network: aliases resolved, upper case and dashes accepted.

    Args:
        name: a name of `NETS` or `ALIASES`, or one that a newer torchvision added.

    Raises:
        FuncamError: no network has that name; the message offers the nearest.

    Example:
        >>> canonical_name("vgg"), canonical_name("ResNet50")
        ('vgg16', 'resnet50')
    """
    if not isinstance(name, str):
        raise FuncamError(
            f"{shown(name)} is no name of a network; give one, as 'resnet50', or funcam.own_net(model) for your own"
        )
    key = name.strip().lower().replace("-", "_")
    key = ALIASES.get(key, key)
    if key in NETS or _is_new_in_torchvision(key):
        return key
    known = nearest_or_listed(key, (*NETS, *ALIASES), "`funcam nets` lists them all")
    raise FuncamError(f"network {name!r} is not in the zoo; {known}")


def _is_new_in_torchvision(name: str) -> bool:
    """Whether an installed torchvision that is newer than the table has the network."""
    from importlib.metadata import version  # takes a while, and help asks for no version

    numbers = re.findall(r"\d+", version("torchvision"))
    if tuple(map(int, numbers[:2])) <= _TABLE_FROM:
        return False  # a mistyped name is answered without the seconds that importing torchvision takes
    from torchvision import models

    return name in models.list_models(module=models)
