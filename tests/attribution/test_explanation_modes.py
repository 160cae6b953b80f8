"""``explain`` under every mode of autograd, in every precision and memory format."""

from __future__ import annotations

import copy
from functools import cache, partial

import pytest
import torch
from explanation_cases import HERE, IMAGES, MODEL
from small import small
from torch.nn import functional

import funcam
from funcam.network import derivative


def everything_frozen():
    return small().requires_grad_(False)


def made_in_inference_mode():
    with torch.inference_mode():
        return small()


@cache
def plainly(method):
    """What is said of a model in no mode."""
    return funcam.explain(MODEL, IMAGES, [0, 1, 2], method=method)


MAKES = (small, everything_frozen, made_in_inference_mode)
MODES = (torch.enable_grad, torch.no_grad, torch.inference_mode)
# Each mode and each way of making a model for every method, and all pairs of them for one method of each kind.
KINDS = ("grad-cam", "guided-grad-cam", "score-cam", "shapley-cam", "full-grad")
DIAGONAL = (
    (torch.enable_grad, everything_frozen),
    (torch.no_grad, made_in_inference_mode),
    (torch.inference_mode, small),
)


@pytest.mark.parametrize(
    ("mode", "make", "method"),
    [
        (mode, make, method)
        if method in KINDS or (mode, make) in DIAGONAL
        else pytest.param(mode, make, method, marks=pytest.mark.slow)
        for mode in MODES
        for make in MAKES
        for method in HERE
    ],
)
def test_every_mode_of_autograd_gives_the_same_maps(mode, make, method):
    want, model = plainly(method), make()
    with mode():
        images = IMAGES * 1  # an inference tensor inside inference_mode
        found = [funcam.explain(given, images, [0, 1, 2], method=method) for given in (model, funcam.split(model))]
    for result in found:
        torch.testing.assert_close(result.maps, want.maps, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(result.logits, want.logits)
        assert not result.maps.requires_grad
        assert not result.maps.is_inference()


def test_nothing_is_recorded_for_a_gradient_that_nobody_asked_for(monkeypatch):
    """A graph would hold on to the activations of the whole network."""
    recorded = []
    made_by = derivative.functional

    def noted(function, *inputs):
        recorded.extend(tensor.requires_grad for tensor in inputs)
        return made_by(function, *inputs)

    explain = partial(funcam.explain, MODEL, IMAGES, layer="blocks.0")
    explain()  # the layer is settled
    monkeypatch.setattr(derivative, "functional", noted)
    for mode in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        with mode():
            before = len(recorded)
            explain()
            assert recorded[before:]
    assert not any(recorded)
    explain(differentiable=True)
    assert any(recorded)


@pytest.mark.parametrize("method", HERE)
def test_bfloat16_is_right_to_its_precision(method):
    model, images = small(), IMAGES[:, :, :16, :16]
    want = funcam.explain(model, images, 1, method=method).maps
    result = funcam.explain(copy.deepcopy(model).bfloat16(), images.bfloat16(), 1, method=method)
    assert result.maps.dtype == torch.float32
    assert result.logits.dtype == torch.bfloat16
    assert torch.isfinite(result.maps).all()
    cosine = functional.cosine_similarity(result.maps.flatten(), want.flatten(), dim=0)
    assert cosine > 0.97


@pytest.mark.parametrize("method", HERE)
def test_double_precision_and_channels_last(method):
    want = funcam.explain(copy.deepcopy(MODEL).double(), IMAGES.double(), "all", method=method).maps
    assert want.dtype == torch.float64
    got = funcam.explain(MODEL, IMAGES.to(memory_format=torch.channels_last), "all", method=method).maps
    torch.testing.assert_close(got.double(), want, rtol=1e-3, atol=1e-5)
