"""Splitting: ``head(A)`` is ``model(images)`` at every layer, and in-place operations spoil nothing."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torchvision
from cutting_cases import IMAGES, as_maps, equals_the_model
from small import Tokens, features_and_gradients, grad_cam_numpy, randomised, small, tiny_densenet, tiny_swin, tiny_vit
from torch import nn
from torch.func import vjp
from torchvision.models import MobileNetV2
from torchvision.models.feature_extraction import get_graph_node_names

import funcam
from funcam import FuncamError
from funcam.network.tap import Inputs

GENERATOR = torch.Generator().manual_seed(2)
WIDE = torch.randn(2, 3, 24, 40, generator=GENERATOR)


NETWORKS = {
    "small": (small, IMAGES),
    "densenet": (tiny_densenet, IMAGES),
    "mobilenet": (
        lambda: randomised(MobileNetV2(5, 0.2, [[1, 16, 1, 1], [2, 24, 2, 2]], dropout=0.5)),
        torch.randn(2, 3, 24, 32, generator=GENERATOR),
    ),
    "vit": (tiny_vit, IMAGES),
    "swin": (tiny_swin, torch.randn(2, 3, 32, 48, generator=GENERATOR)),
    "tokens": (lambda: randomised(Tokens(registers=3)), WIDE),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in ("swin", "mobilenet") else name for name in NETWORKS]
)
def test_every_layer_of_a_network(name):
    """``head(A)`` equals ``model(images)``, and Grad-CAM equals plain autograd on the un-split model, in float64."""
    make, images = NETWORKS[name]
    model, images = make().eval().double(), images.double()
    want = model(images)
    layers = funcam.list_layers(model, images.shape)
    modules = dict(model.named_modules())
    checked = 0
    for layer in layers:
        A, head = funcam.split(model, layer.name, example=images)(images)
        torch.testing.assert_close(head(A), want)
        calls = []
        if layer.name in modules:
            handle = modules[layer.name].register_forward_hook(lambda *_, calls=calls: calls.append(1))
            model(images)
            handle.remove()
        if len(calls) != 1:  # an operation between modules, or a module that is called twice
            continue
        checked += 1
        classes = torch.tensor([1, 3])
        raw, g = features_and_gradients(model, layer.name, images, classes)
        assert raw.shape[1:] == layer.shape[1:]
        raw, g = as_maps(raw, images), as_maps(g, images)
        torch.testing.assert_close(A.detach(), raw)
        maps = funcam.explain(model, images, classes, layer=layer.name).maps
        np.testing.assert_allclose(maps, grad_cam_numpy(raw, g), rtol=1e-6, atol=1e-10)
    assert checked >= 5
    assert len({layer.name for layer in layers}) == len(layers)
    assert sum(layer.default for layer in layers) == 1


@pytest.mark.parametrize("make", [small, pytest.param(tiny_densenet, marks=pytest.mark.slow)])
def test_every_node_of_torchvisions_own_list_that_is_a_feature_map(make):
    model = make().eval().double()
    images = IMAGES.double()
    want = model(images)
    _, names = get_graph_node_names(model)
    split = 0
    for name in names[1:]:
        try:
            A, head = funcam.split(model, name)(images)
        except FuncamError:  # no feature map
            continue
        split += 1
        torch.testing.assert_close(head(A), want)
        extractor = torchvision.models.feature_extraction.create_feature_extractor(copy.deepcopy(model), [name])
        if not any(getattr(m, "inplace", False) for m in model.modules()):  # else torchvision's result is overwritten
            torch.testing.assert_close(A, extractor(images)[name])
        else:
            assert A.shape == extractor(images)[name].shape
    assert split > 0.7 * len(names)


@pytest.fixture(scope="module")
def resnet50():
    return torchvision.models.resnet50(num_classes=6).eval()


@pytest.mark.parametrize(
    "layer",
    [
        *("layer4.2.conv3", "layer4.2.downsample"),
        *(pytest.param(layer, marks=pytest.mark.slow) for layer in ("layer4.2.relu_1", "layer3.5.bn2", "maxpool")),
    ],
)
def test_skip_connections_across_the_cut_are_closed_over_in_resnet50(layer, resnet50):
    if layer == "layer4.2.downsample":  # only the first block of a stage has one
        layer = "layer4.0.downsample"
    equals_the_model(funcam.split(resnet50, layer), resnet50, torch.rand(1, 3, 64, 64, generator=GENERATOR))


def test_skip_connections_across_the_cut_are_closed_over_in_densenet121():
    model = torchvision.models.densenet121(num_classes=6).eval()
    cut = funcam.split(model, "features.denseblock4.denselayer16.conv2")
    A, _ = equals_the_model(cut, model, torch.rand(1, 3, 64, 64, generator=GENERATOR))
    assert A.shape == (1, 32, 2, 2)
    assert len(cut.settled(Inputs(torch.rand(1, 3, 64, 64))).cut.names) == 1 + 16


def test_what_skips_the_cut_is_a_constant_for_the_derivative():
    """Cut inside the last block: the gradient is that of the branch alone, written out by hand."""
    model, images = small().double(), IMAGES.double()
    A, head = funcam.split(model, "blocks.1.conv2")(images)
    g = torch.autograd.grad(head(A)[:, 2].sum(), A, retain_graph=True)[0]
    block, x = model.blocks[1], model.blocks[0](model.pool(model.stem(images))).detach()
    branch = A.detach().requires_grad_()
    tail = model.fc(torch.relu(block.bn2(branch) + x).mean((2, 3)))
    torch.testing.assert_close(g, torch.autograd.grad(tail[:, 2].sum(), branch)[0])


def test_the_features_of_a_norm_before_an_in_place_relu_stay_negative():
    model = tiny_densenet()
    A, head = funcam.split(model, "features.norm5")(IMAGES)
    assert A.min() < -0.1
    head(A)
    assert A.min() < -0.1
    maps = funcam.explain(model, IMAGES, [0, 1], layer="features.norm5").maps
    raw, g = features_and_gradients(model, "features.norm5", IMAGES, torch.tensor([0, 1]))
    assert raw.min() < -0.1
    np.testing.assert_allclose(maps, grad_cam_numpy(raw, g), rtol=1e-4, atol=1e-6)


def test_vgg_can_be_cut_before_its_in_place_relu():
    with torch.device("meta"):
        model = torchvision.models.vgg11(num_classes=4)
    model.classifier = nn.Sequential(nn.Linear(512 * 49, 4, device="meta"))
    model = randomised(model.to_empty(device="cpu")).eval()
    A, head = equals_the_model(funcam.split(model, "features.18"), model, torch.randn(1, 3, 64, 64))
    assert A.min() < 0
    assert vjp(head, A)[1](torch.ones(1, 4))[0].shape == A.shape


def test_relus_overwrite_only_what_nobody_reads_again() -> None:
    """Memory is reused in front of the cut, but not the memory of a layer that is asked for."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
    model.append(nn.Linear(4 * 4 * 4, 5)).eval()
    images = torch.randn(2, 3, 8, 8)
    behind, before = funcam.split(model, "4"), funcam.split(model, "3")
    for cut, count in ((behind, 2), (before, 1)):
        nodes = cut.settled(Inputs(images)).cut.features.graph.nodes
        assert [node.kwargs.get("inplace") for node in nodes].count(True) == count
    features, head = before(images)
    torch.testing.assert_close(features, model[:4](images))
    assert features.min() < 0
    head(features)
    torch.testing.assert_close(features, model[:4](images))
