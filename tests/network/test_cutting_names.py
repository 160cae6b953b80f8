"""The names of layers: where each leads, and the list of them."""

from __future__ import annotations

import pytest
import torch
import torchvision
from cutting_cases import IMAGES, as_maps
from small import features_and_gradients, resnet18, small, tiny_densenet, tiny_swin, tiny_vit
from torch import nn
from torchvision.models.feature_extraction import get_graph_node_names

import funcam
from funcam import FuncamError
from funcam.network import cutting
from funcam.network.believed import structure_of
from funcam.network.layers import find_node, name_of


def test_last_conv_is_the_last_convolution_in_module_order():
    assert funcam.split(resnet18(), "last-conv").layer == "layer4.1.conv2"
    model = torchvision.models.squeezenet1_1()
    last = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)][-1]
    assert funcam.split(model, "last-conv").layer == last == "classifier.1"
    with torch.device("meta"):  # the auxiliary classifier comes last but isn't run
        googlenet = torchvision.models.googlenet(init_weights=False)
    assert funcam.split(googlenet, "last-conv").layer == "inception5b.branch4.1.conv"
    with pytest.raises(FuncamError, match="'last-conv' needs a convolution and Sequential has none"):
        funcam.split(nn.Sequential(nn.Flatten(), nn.Linear(3, 2)), "last-conv")


def test_a_module_called_twice_has_a_name_for_each_call():
    model = small()
    names = [layer.name for layer in funcam.list_layers(model)]
    assert {"blocks.1.relu", "blocks"} <= set(names)
    block = model.blocks[1]
    x = model.blocks[0](model.pool(model.stem(IMAGES)))
    first = torch.relu(block.bn1(block.conv1(x)))
    torch.testing.assert_close(funcam.split(model, "blocks.1.relu")(IMAGES)[0], first)
    torch.testing.assert_close(funcam.split(model, "blocks.1.relu_1")(IMAGES)[0], block(x))
    torch.testing.assert_close(funcam.split(model, "blocks.1")(IMAGES)[0], block(x))


def test_a_module_path_comes_before_a_node_name():
    """For torchvision ``ln_1`` is the node of the module ``ln_2``: it counts names that end in a number."""
    model = tiny_vit().double()
    block = "encoder.layers.encoder_layer_1."
    assert block + "ln_1" in get_graph_node_names(model)[1]
    for name in ("ln_1", "ln_2"):
        raw, _ = features_and_gradients(model, block + name, IMAGES.double(), torch.tensor([0, 1]))
        torch.testing.assert_close(funcam.split(model, block + name)(IMAGES.double())[0], as_maps(raw, IMAGES))


def test_every_listed_name_leads_back_to_its_layer():
    for model, size in [(small(), 32), (tiny_vit(), 32), (tiny_swin(), 32), (tiny_densenet(), 32)]:
        graph = cutting.graph_of(model)
        for layer in funcam.list_layers(model, (1, 3, size, size)):
            tensor = structure_of(model).shapes((1, 3, size, size)).of[find_node(graph, layer.name)]
            assert tensor == layer.shape
            assert name_of(graph, find_node(graph, layer.name)) == layer.name


def test_list_layers_gives_shapes_for_the_images_asked_for():
    layers = {layer.name: layer for layer in funcam.list_layers(small(), (4, 3, 32, 64))}
    assert layers["stem.2"].shape == (1, 6, 16, 32)
    assert layers["blocks"] == funcam.Layer("blocks", (1, 6, 8, 16), True)
    assert "fc" not in layers
    assert "x" not in layers
    with pytest.raises(FuncamError, match=r"\[1, 4, 32, 32\]"):
        funcam.list_layers(small(), (1, 4, 32, 32))
