"""``explain``: the maps have the shape of the targets, and are what plain autograd finds."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
import torch
import torchvision
from explanation_cases import CAMS, HERE, IMAGES, MODEL
from hypothesis import given, settings
from hypothesis import strategies as st
from small import features_and_gradients, grad_cam_numpy, small

import funcam
from funcam import METHODS
from funcam.attribution import quantities

SPACE = {"map": (8, 8), "heat": (32, 32), "pixels": (3, 32, 32)}


SEVERAL = ([[0, 1], [2, 3], [4, 4]], "all")


@pytest.mark.parametrize(
    ("targets", "method"),
    [
        *((targets, method) for targets in SEVERAL for method in HERE),
        *(
            (targets, method) if method in CAMS else pytest.param(targets, method, marks=pytest.mark.slow)
            for targets in (None, 2, [0, 1, 4])
            for method in HERE
        ),
    ],
)
def test_maps_have_the_shape_of_the_targets_and_each_is_that_of_its_class_alone(targets, method):
    result = funcam.explain(MODEL, IMAGES, targets, method=method)
    assert result.maps.shape == result.targets.shape + SPACE[METHODS[method].gives]
    assert result.scores.equal(MODEL(IMAGES).gather(1, result.targets.view(3, -1)).view(result.targets.shape))
    assert result.method == method
    assert result.layer == ("blocks" if METHODS[method].at_layer else "whole network")
    torch.testing.assert_close(result.logits, MODEL(IMAGES).detach())
    if targets is None:
        assert result.targets.equal(MODEL(IMAGES).argmax(1))
    columns = result.targets[:, None] if result.targets.ndim == 1 else result.targets
    maps = result.maps[:, None] if result.targets.ndim == 1 else result.maps
    for b, k in itertools.product(range(3), range(columns.shape[1])):
        alone = funcam.explain(MODEL, IMAGES[b : b + 1], [int(columns[b, k])], method=method).maps[0]
        torch.testing.assert_close(maps[b, k], alone, rtol=1e-4, atol=1e-6)
    assert result.maps.abs().sum() > 0 or method == "random-cam"


@settings(max_examples=25)
@given(classes=st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=3, max_size=3))
def test_grad_cam_is_plain_autograd_on_the_unsplit_model(classes):
    maps = funcam.explain(MODEL, IMAGES, classes).maps
    for k in range(3):
        raw, g = features_and_gradients(MODEL, "blocks.1", IMAGES, torch.tensor(classes)[:, k])
        np.testing.assert_allclose(maps[:, k], grad_cam_numpy(raw, g), rtol=1e-4, atol=1e-6)


def test_several_methods_share_their_passes(monkeypatch):
    calls = []
    pull = quantities.pull
    monkeypatch.setattr(quantities, "pull", lambda *args: calls.append(1) or pull(*args))
    methods = [*CAMS[1:], "xgrad-cam", "eigen-cam", "guided-grad-cam"]
    funcam.explain_methods(MODEL, IMAGES, "all", methods=methods, layer="blocks.0")
    assert len(calls) == 1
    funcam.explain_methods(MODEL, IMAGES, "all", methods=["cam", *methods])
    assert len(calls) == 1  # behind pooling and one linear layer nothing is differentiated
    funcam.explain_methods(MODEL, IMAGES, "all", methods=["cam", *methods, "eigen-grad-cam"])
    assert len(calls) == 2


def test_several_methods_give_what_each_gives_alone():
    together = funcam.explain_methods(MODEL, IMAGES, "all", methods=HERE)
    assert [result.method for result in together] == HERE
    for result in together:
        alone = funcam.explain(MODEL, IMAGES, "all", method=result.method)
        torch.testing.assert_close(result.maps, alone.maps, rtol=1e-4, atol=1e-5)


def test_a_real_network_agrees_with_plain_autograd():
    model = torchvision.models.resnet18(num_classes=10).eval()
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    classes = torch.tensor([3, 7])
    for layer in ("layer4", "layer3", "layer4.0.conv1"):
        raw, g = features_and_gradients(model, layer, images, classes)
        maps = funcam.explain(model, images, classes, layer=layer).maps
        want = grad_cam_numpy(raw, g)
        np.testing.assert_allclose(maps, want, rtol=1e-3, atol=1e-5 * want.max())


def test_an_empty_batch_gives_empty_maps():
    assert funcam.explain(MODEL, IMAGES[:0]).maps.shape == (0, 8, 8)


def test_a_map_that_is_zero_everywhere_is_warned_of():
    model = small()
    with torch.no_grad():
        model.fc.weight[3] = -model.fc.weight[3].abs()  # behind a ReLU: every weight and so the sum is negative
    with pytest.warns(
        funcam.FuncamWarning, match=r"grad-cam at 'blocks' is zero .* image 0, class or score 3 \(and 2 more"
    ):
        funcam.explain(model, IMAGES, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        funcam.explain(model, IMAGES, 0)


def test_a_map_that_is_zero_everywhere_is_returned():
    model = small()
    with torch.no_grad():
        model.fc.weight[3] = -model.fc.weight[3].abs()  # behind a ReLU: every weight and so the sum is negative
        model.fc.weight[4] = 0
    for target in (3, 4):
        result = funcam.explain(model, IMAGES, target)
        assert torch.equal(result.maps, torch.zeros(3, 8, 8))
        assert torch.equal(funcam.rescale(result.maps), torch.zeros(3, 8, 8))
