"""Splitting as in evaluation mode, and under every mode of autograd; the flags stay the caller's."""

from __future__ import annotations

import pytest
import torch
from cutting_cases import IMAGES, equals_the_model
from small import small, state_of, tiny_densenet
from torch.func import vjp

import funcam


@pytest.mark.parametrize("mode", ["train", "eval", "mixed"])
def test_the_model_is_split_as_in_evaluation_mode_and_its_flags_stay(mode):
    model = tiny_densenet()
    want = model(IMAGES)
    model.train(mode != "eval")
    if mode == "mixed":
        model.features[3].eval()
        model.features.denseblock2.denselayer1.norm1.eval()
    before = state_of(model)
    A, head = funcam.split(model, "features.denseblock1")(IMAGES)
    torch.testing.assert_close(head(A), want)
    A, head = funcam.split(model, "features.denseblock2.denselayer2.conv1")(IMAGES)
    torch.testing.assert_close(head(A), want)
    assert state_of(model) == before


def test_features_carry_a_graph_only_where_autograd_records():
    model = small()
    cut = funcam.split(model)
    assert cut(IMAGES)[0].requires_grad
    with torch.no_grad():
        A, head = cut(IMAGES)
        assert not A.requires_grad
        assert not head(A).requires_grad
    with torch.inference_mode():
        A, _ = cut(IMAGES)
        assert not A.requires_grad
        assert not A.is_inference()
    model.requires_grad_(False)
    assert not cut(IMAGES)[0].requires_grad


def test_cut_in_inference_mode_and_used_outside():
    with torch.inference_mode():
        model, images = small(), IMAGES * 1
        A, head = funcam.split(model)(images)
        want = model(images)
    torch.testing.assert_close(head(A), want.clone())
    assert vjp(head, A)[1](torch.ones(2, 5))[0].abs().sum() > 0


def test_a_module_that_torch_compile_wrapped_is_split_like_itself():
    model = small()
    wrapped = torch.compile(model, backend="eager")
    assert funcam.split(wrapped).layer == "blocks"
    assert funcam.split(wrapped, "last-conv").layer == "blocks.1.conv2"
    equals_the_model(funcam.split(wrapped), model, IMAGES)
    torch.testing.assert_close(funcam.explain(wrapped, IMAGES).maps, funcam.explain(model, IMAGES).maps)
