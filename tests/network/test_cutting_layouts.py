"""Splitting networks of tokens, channels-last features, any number of dimensions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cutting_cases import IMAGES, as_maps, equals_the_model
from small import Dense, Tokens, features_and_gradients, grad_cam_numpy, randomised, small, tiny_swin
from torch import nn

import funcam
from funcam import FuncamError


@pytest.mark.parametrize("registers", [0, 1, 4])
@pytest.mark.parametrize("size", [(24, 40), (40, 24), (8, 32)])
def test_tokens_with_a_class_token_and_registers_on_a_grid_that_is_not_square(registers, size):
    model = randomised(Tokens(registers, size)).eval().double()
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    A, head = funcam.split(model, "norm1", example=images)(images)
    grid = (size[0] // 8, size[1] // 8)
    assert A.shape == (2, 8, *grid)
    torch.testing.assert_close(head(A), model(images))
    raw, g = features_and_gradients(model, "norm1", images, torch.tensor([0, 4]))
    torch.testing.assert_close(A[1, :, 0, -1], raw[1, 1 + registers + grid[1] - 1])  # the top right cell
    torch.testing.assert_close(A[0, :, -1, 0], raw[0, -grid[1]])  # the bottom left cell
    maps = funcam.explain(model, images, [0, 4]).maps
    np.testing.assert_allclose(maps, grad_cam_numpy(as_maps(raw, images), as_maps(g, images)), rtol=1e-6, atol=1e-12)


def test_a_split_of_tokens_without_an_example_needs_a_usual_size():
    model = randomised(Tokens(image=(16, 40))).eval()
    with pytest.raises(FuncamError, match=r"usual image sizes.*example"):
        funcam.split(model)
    images = torch.zeros(1, 3, 16, 40)
    cut = funcam.split(model, "norm1")  # but a call tells the size
    assert cut(images)[0].shape == (1, 8, 2, 5)
    model.head = nn.Linear(8, 3)
    assert cut(images)[0].shape == (1, 8, 2, 5)


@pytest.mark.parametrize("size", [(32, 48), (64, 32)])
def test_channels_last_features_of_images_that_are_not_square(size):
    model = tiny_swin().double()
    images = torch.randn(1, 3, *size, dtype=torch.float64)
    cut = funcam.split(model)
    A, _ = equals_the_model(cut, model, images)
    assert cut.layer == "features.3.1.norm1"
    assert A.shape == (1, 16, size[0] // 8, size[1] // 8)
    raw, _ = features_and_gradients(model, cut.layer, images, torch.tensor([0]))
    torch.testing.assert_close(A.detach(), raw.permute(0, 3, 1, 2))


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_features_of_any_dimension(dimensions):
    model = Dense(dimensions).double()
    images = torch.randn(2, 2, *[9, 7, 5][:dimensions], dtype=torch.float64)
    A, head = funcam.split(model, "second")(images)
    assert A.shape == (2, 6, *images.shape[2:])
    torch.testing.assert_close(head(A), model(images))
    raw, g = features_and_gradients(model, "second", images, torch.tensor([0, 3]))
    np.testing.assert_allclose(
        funcam.explain(model, images, [0, 3], layer="second").maps, grad_cam_numpy(raw, g), rtol=1e-6, atol=1e-12
    )
    assert funcam.explain(model, images).maps.shape == (2, *images.shape[2:])


def test_images_in_channels_last_memory():
    model = small()
    A, head = funcam.split(model)(IMAGES.to(memory_format=torch.channels_last))
    want, want_head = funcam.split(model)(IMAGES)
    torch.testing.assert_close(A, want)
    torch.testing.assert_close(head(A), want_head(want))
