"""What ``explain`` refuses, and the one line that it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from explanation_cases import CAMS, IMAGES, MODEL
from small import Small, randomised, small

import funcam
from funcam import FuncamError


@pytest.mark.parametrize("layer", [None, "blocks.0"])
@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 32, 32), r"\[3, 32, 32\]"),
        (torch.zeros(32, 32), r"\[32, 32\].*expected a float tensor \[B, channels, \*size\]"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), r"\[1, 3, 32, 32\] and type torch.uint8; expected a float"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.long), r"type torch.int64; expected a float"),
        (torch.zeros(2, 4, 32, 32), r"\[2, 4, 32, 32\]"),
        (
            torch.zeros(1, 3, 32, 32, dtype=torch.float64),
            r"\[1, 3, 32, 32\] and type torch.float64.*(Double|double|type)",
        ),
        (np.zeros((1, 3, 32, 32), np.float32), r"\[1, 3, 32, 32\] and type float32; expected a float tensor"),
        (torch.zeros(1, 1, 3, 32, 32), r"\[1, 1, 3, 32, 32\]"),
    ],
)
def test_images_of_another_shape_or_type(layer, images, message):
    with pytest.raises(FuncamError, match=message) as caught:
        funcam.explain(MODEL, images, layer=layer)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([0], r"targets have shape \[1\] for 3 images"),
        ([0, 1, 2, 3], r"targets have shape \[4\] for 3 images"),
        ([0.0, 1.0, 2.0], "targets have type torch.float32"),
        ([0, 1, 5], "class 5 is out of range"),
        ([0, -1, 2], "class -1 is out of range"),
        ("every", "targets 'every' is not known"),
    ],
)
def test_targets_that_do_not_fit(targets, message):
    with pytest.raises(FuncamError, match=message):
        funcam.explain(MODEL, IMAGES, targets)


def test_an_unknown_method_and_an_unknown_layer():
    with pytest.raises(FuncamError, match="unknown method 'grad_cam'; nearest: 'grad-cam'"):
        funcam.explain(MODEL, IMAGES, method="grad_cam")
    with pytest.raises(FuncamError, match=r"layer 'block' is not in Small; nearest: 'blocks'"):
        funcam.explain(MODEL, IMAGES, layer="block")


@pytest.mark.parametrize("layer", ["fc", "drop"])
def test_a_layer_that_is_no_feature_map(layer):
    with pytest.raises(FuncamError, match=rf"layer '{layer}' is no feature map"):
        funcam.explain(MODEL, IMAGES, layer=layer)


def test_a_split_is_explained_where_it_was_split():
    cut = funcam.split(MODEL, "blocks.0")
    assert funcam.explain(cut, IMAGES, layer="blocks.0").layer == "blocks.0"
    with pytest.raises(FuncamError, match=r"split at 'blocks.0'; to explain it at 'stem'"):
        funcam.explain(cut, IMAGES, layer="stem")


class Segmenter(Small):
    def forward(self, x):
        return self.blocks(self.pool(self.stem(x)))


class Named(Small):
    def forward(self, x):
        return {"a": super().forward(x), "b": x}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Segmenter, r"returned shape \[3, 6, 8, 8\] for 3 images; expected logits \[3, N\].*function of the outputs"),
        (Named, r"returned a dict with 'a', 'b'; expected logits \[B, N\] in it: name them with output='KEY'"),
    ],
    ids=["map", "dict"],
)
def test_a_model_that_returns_no_logits(kind, message):
    model = randomised(kind()).eval()
    with pytest.raises(FuncamError, match=message):
        funcam.explain(model, IMAGES, layer="blocks.0")


def test_not_a_number_is_an_error_and_not_a_map():
    for layer in ("stem.0", "fc"):
        model = small()
        with torch.no_grad():
            model.get_submodule(layer).weight[0] = float("nan")
        with pytest.raises(
            FuncamError, match=r"grad-cam at 'blocks' is not finite \(NaN or infinity\).*NaN in the weights"
        ):
            funcam.explain(model, IMAGES)
    images = IMAGES.clone()
    images[1, 0, 0, 0] = float("inf")
    for method in CAMS:
        with pytest.raises(FuncamError, match="not finite"):
            funcam.explain(MODEL, images, method=method)


def test_a_model_that_cannot_be_traced():
    class Moody(Small):
        def forward(self, x):
            return super().forward(x) if x.mean() > 0 else x

    model, images = randomised(Moody()).eval(), IMAGES.abs()
    plain = randomised(Small()).eval()
    plain.load_state_dict(model.state_dict())
    result = funcam.explain(model, images, 1, layer="blocks")
    torch.testing.assert_close(result.maps, funcam.explain(plain, images, 1, layer="blocks").maps)
    assert funcam.split(model, "blocks", example=images).way == "tap"
    with pytest.raises(FuncamError, match=r"Moody can't be traced: .*control flow.*leave via out"):
        funcam.split(model, "blocks", example=images, via="fx")
