"""Several layers in one pass: features, total derivatives at every layer, one forward pass."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import features_and_gradients, small, state_of, tiny_densenet, tiny_swin, tiny_vit

import funcam
from funcam import FuncamError
from funcam.network.tap import Inputs
from funcam.network.taps import run_tapped

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
CLASSES = torch.tensor([1, 3])
NETWORKS = {
    "small": (
        small,
        ["stem.0", "stem", "pool", "blocks.0.conv1", "blocks.0.bn2", "blocks.0", "blocks.1.conv2", "blocks"],
    ),
    "densenet": (
        tiny_densenet,
        ["features.norm0", "features.denseblock1", "features.transition1.conv", "features.norm5"],
    ),
    "swin": (tiny_swin, ["features.2.norm", "features.2", "features.3.0", "features.3.1.norm1"]),
    "vit": (tiny_vit, ["encoder.layers.encoder_layer_0.ln_1", "encoder.layers.encoder_layer_0", "encoder.ln"]),
}


@pytest.mark.parametrize("name", ["small", "densenet", "vit", pytest.param("swin", marks=pytest.mark.slow)])
@settings(max_examples=12)
@given(data=st.data())
def test_each_layer_has_its_own_features_and_total_derivative(name, data):
    make, names = NETWORKS[name]
    if name == "vit":
        names = names[:2]
    model = make()
    layers = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=len(names), unique=True))
    tapped = run_tapped(
        [funcam.split(model, layer).settled(Inputs(IMAGES)) for layer in layers], lambda: model, Inputs(IMAGES)
    )
    outputs, pullback, features = torch.func.vjp(tapped.tail, *tapped.inputs, has_aux=True)
    torch.testing.assert_close(outputs, model(IMAGES), rtol=1e-4, atol=1e-5)
    gradients = pullback(torch.nn.functional.one_hot(CLASSES, outputs.shape[1]).float())
    for layer, A, g in zip(layers, features, gradients, strict=True):
        alone, _ = funcam.split(model, layer)(IMAGES)
        raw, want = features_and_gradients(model, layer, IMAGES, CLASSES)
        torch.testing.assert_close(A, alone)
        if name == "vit":  # [B, 1 + 16, C] -> [B, C, 4, 4]
            raw, want = (t[:, 1:].transpose(1, 2).unflatten(2, (4, 4)) for t in (raw, want))
        elif name == "swin":
            raw, want = raw.movedim(-1, 1), want.movedim(-1, 1)
        torch.testing.assert_close(A, raw, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(g, want, rtol=1e-4, atol=1e-5)


def test_one_forward_pass_serves_all_layers():
    model = small()
    calls = []
    relu = torch.nn.functional.conv2d

    class Counting(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            calls.extend([1] if func is relu else [])
            return func(*args, **(kwargs or {}))

    layers = ["stem", "blocks.0", "blocks"]
    funcam.explain(model, IMAGES, layer=layers)
    with Counting():
        funcam.explain(model, IMAGES, layer=layers)
        several = len(calls)
        model(IMAGES)
    assert several == len(calls) - several == 5


def test_nothing_of_the_model_changes():
    model = small().train()
    before = state_of(model)
    funcam.explain(
        model, IMAGES, "all", layer=["stem", "blocks.0.conv1", "blocks"], combine="max", smooth=["aug", "eigen"]
    )
    assert state_of(model) == before


def test_weights_changed_in_place_and_modules_replaced_are_seen():
    model = small()
    layers = ["stem", "blocks"]
    funcam.explain(model, IMAGES, layer=layers)
    with torch.no_grad():
        model.fc.weight.mul_(-1)
    fresh = small()
    fresh.load_state_dict(model.state_dict())
    torch.testing.assert_close(
        funcam.explain(model, IMAGES, 1, layer=layers).maps, funcam.explain(fresh, IMAGES, 1, layer=layers).maps
    )
    model.fc = torch.nn.Linear(6, 2)
    assert funcam.explain(model, IMAGES, "all", layer=layers).maps.shape == (2, 2, 16, 16)


def test_another_size_and_batch():
    model = small()
    for shape in [(1, 3, 32, 32), (3, 3, 48, 32), (2, 3, 32, 32)]:
        images = torch.randn(shape)
        both = funcam.explain_methods(model, images, 2, methods=["layer-cam"], layer=["stem", "blocks"])
        for result in both:
            torch.testing.assert_close(
                result.maps, funcam.explain(model, images, 2, method="layer-cam", layer=result.layer).maps
            )


def test_a_layer_that_is_none():
    with pytest.warns(funcam.FuncamWarning, match="left out: layer 'fc' is no feature map"):
        assert funcam.explain(small(), IMAGES, layer=["stem", "fc"]).layer == "stem"
    with pytest.raises(FuncamError, match="layer 'fc' is no feature map"):
        funcam.explain(small(), IMAGES, layer=["fc", "fc"])
    with pytest.raises(FuncamError, match="layer 'block' is not in Small"):
        funcam.explain(small(), IMAGES, layer=["stem", "block"])


# --- combined ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("combine", ["mean", "max", "product"])
@pytest.mark.parametrize("method", ["grad-cam", "eigen-cam", "ablation-cam", "score-cam"])
def test_combined_maps_are_those_of_each_layer_alone(combine, method):
    layers = ["stem", "blocks.0", "blocks"]
    result = funcam.explain(small(), IMAGES, [[0, 1], [2, 3]], method=method, layer=layers, combine=combine)
    want = []
    for layer in layers:
        maps = funcam.explain(small(), IMAGES, [[0, 1], [2, 3]], method=method, layer=layer).maps.relu()
        largest = maps.amax((-1, -2), keepdim=True)
        maps = maps / torch.where(largest > 0, largest, 1)
        want.append(torch.nn.functional.interpolate(maps, (16, 16), mode="bilinear"))
    stacked = torch.stack(want)
    want = {"mean": stacked.mean(0), "max": stacked.amax(0), "product": stacked.prod(0)}[combine]
    torch.testing.assert_close(result.maps, want, rtol=1e-3, atol=1e-4)
    assert result.layer == "stem+blocks.0+blocks"


def test_layers_that_are_not_combined_come_one_by_one():
    results = funcam.explain_methods(
        small(), IMAGES, methods=["grad-cam", "gradient"], layer=["stem", "blocks", "stem"]
    )
    assert [(r.method, r.layer) for r in results] == [
        ("grad-cam", "stem"),
        ("grad-cam", "blocks"),
        ("gradient", "whole network"),
    ]


def test_an_unknown_combination():
    with pytest.raises(FuncamError, match="unknown combination 'sum'; expected one of mean, max, product"):
        funcam.explain(small(), IMAGES, layer=["stem", "blocks"], combine="sum")
