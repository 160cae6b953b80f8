"""Layers that return their input's memory, written in place: `head(A)` is the model, or the layer is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import funcam
from funcam import FuncamError

IMAGES = torch.randn(2, 3, 16, 24, generator=torch.Generator().manual_seed(1))


class Shares(nn.Module):
    """`code` of the features and of what a layer makes of them, which may be the same memory."""

    def __init__(self, layer, code):
        super().__init__()
        self.stem, self.deep = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.layer, self.code, self.fc = layer, code, nn.Linear(6, 4)

    def forward(self, images):
        features = self.stem(images)
        returned = self.layer(features)
        return self.fc(self.code(self.deep, features, returned).mean((2, 3)))


def written_behind(deep, features, returned):
    returned.mul_(2)
    return deep(features + returned).relu()


def added_behind(deep, features, returned):
    returned += 1
    return deep(features) + returned


def written_before(deep, features, returned):
    features.relu_()
    return deep(features) + returned


def written_alone(deep, features, returned):
    return deep(returned.relu_()).relu()


LAYERS = [nn.Identity(), nn.Dropout(), nn.Sequential(nn.Identity(), nn.Dropout2d())]


def assert_head_is_the_model(model, layer):
    A, head = funcam.split(model, layer)(IMAGES)
    torch.testing.assert_close(head(A), model.eval()(IMAGES))


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
@pytest.mark.parametrize("code", [written_behind, added_behind])
def test_what_is_written_behind_a_layer_and_read_before_it_is_refused(layer, code):
    model = Shares(layer, code).eval()
    with pytest.raises(FuncamError, match="layer 'layer' returns memory that other code of Shares goes on with"):
        funcam.explain(model, IMAGES, layer="layer")
    assert_head_is_the_model(model, "stem")  # the way out
    assert_head_is_the_model(model, None)


def test_a_view_of_the_features_is_told_the_same():
    def flat(deep, features, returned):
        returned.relu_()
        return deep(features)

    model = Shares(nn.Flatten(2), flat).eval()
    layout = (lambda A: A.unflatten(2, (16, 24)), lambda f, A: f.flatten(2))
    with pytest.raises(FuncamError, match="goes on with"):
        funcam.explain(model, IMAGES, layer="layer", layout=layout)
    assert_head_is_the_model(model, "stem")


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
@pytest.mark.parametrize("code", [written_before, written_alone])
def test_other_writes_are_no_trouble(layer, code):
    assert_head_is_the_model(Shares(layer, code).eval(), "layer")


def test_a_model_that_draws_random_numbers_is_not_taken_for_one():
    """What is kept of it was made with other numbers."""

    def noisy(deep, features, returned):
        return nn.functional.dropout(deep(returned), training=True) + features

    model = Shares(nn.Identity(), noisy).eval()
    for layer in ("layer", "stem", "deep"):
        torch.rand(1)
        assert funcam.explain(model, IMAGES, 1, layer=layer).maps.shape == (2, 16, 24)
