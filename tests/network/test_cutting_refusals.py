"""What can't be split, and the one line that says so."""

from __future__ import annotations

import pytest
import torch
import torchvision
from cutting_cases import IMAGES
from small import Small, randomised, resnet18, small, tiny_vit
from torch import nn

import funcam
from funcam import FuncamError


def test_an_unknown_layer_names_the_nearest():
    with pytest.raises(FuncamError, match=r"layer 'layer5' is not in ResNet; nearest: 'layer4'"):
        funcam.split(resnet18(), "layer5")
    with pytest.raises(FuncamError, match=r"layer 'x' is not in Small; nearest") as caught:
        funcam.split(small(), "x")
    assert "'x'," not in str(caught.value).partition("nearest")[2]


@pytest.mark.parametrize(
    ("layer", "shape"), [("fc", r"\[2, 7\]"), ("avgpool", r"\[2, 512, 1, 1\]"), ("flatten", r"\[2, 512\]")]
)
def test_a_layer_that_is_no_feature_map(layer, shape):
    with pytest.raises(FuncamError, match=rf"layer '{layer}' is no feature map: its output is {shape}.*earlier layer"):
        funcam.split(resnet18(), layer)(IMAGES)


def test_of_a_tuple_with_one_tensor_that_one_is_meant():
    layer = "encoder.layers.encoder_layer_1.self_attention"
    A, _ = funcam.split(tiny_vit(), layer, layout="tokens prefix=1")(IMAGES)
    assert A.shape == (2, 16, 4, 4)


class Auxiliary(Small):
    """A branch that the logits don't depend on, and a value that does not depend on the images."""

    def __init__(self):
        super().__init__()
        self.side = nn.Conv2d(6, 6, 1)
        self.grid = nn.Parameter(torch.ones(1, 3, 8, 8))
        self.embed = nn.Conv2d(3, 6, 1)

    def forward(self, x):
        x = self.stem(x)
        self.side(x)
        x = x + self.embed(self.grid).mean((2, 3), keepdim=True)
        return self.fc(x.mean((2, 3)))


def test_a_layer_on_which_the_logits_do_not_depend():
    with pytest.raises(FuncamError, match="layer 'side' of Auxiliary does not lead to its output"):
        funcam.split(randomised(Auxiliary()).eval(), "side")
    assert "side" not in [layer.name for layer in funcam.list_layers(Auxiliary())]


@pytest.mark.parametrize("name", ["vgg11", "densenet121"])
def test_images_smaller_than_the_network_takes(name):
    with torch.device("meta"):
        model = torchvision.models.get_model(name, weights=None)
    with pytest.raises(FuncamError, match=r"can't take images of shape \[2, 3, 8, 8\]: .*too small"):
        funcam.explain(model, torch.zeros(2, 3, 8, 8))


def test_images_too_small_for_a_map():
    with pytest.raises(FuncamError, match=r"no feature map.*\[1, 3, 1, 1\].*larger image"):
        funcam.explain(resnet18(), torch.zeros(1, 3, 1, 1))


def test_images_of_the_wrong_size_for_a_transformer():
    model = tiny_vit()
    for layer in (None, "encoder.layers.encoder_layer_1.ln_1"):
        with pytest.raises(
            FuncamError, match=r"images of shape \[2, 3, 40, 40\].*Wrong image height! Expected 32"
        ) as caught:
            funcam.explain(model, torch.zeros(2, 3, 40, 40), layer=layer)
        assert "Proxy" not in str(caught.value)
