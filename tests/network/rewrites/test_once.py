"""A graph for one derivative by the images: the function and its derivative are the model's, to the bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small import randomised, small
from torch import nn

import funcam
from funcam.network.graph import trace
from funcam.network.rewrites.once import once


def _net(norm: nn.Module) -> nn.Module:
    return randomised(nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.ReLU(), nn.Conv2d(4, 2, 3))).eval()


NETS = {
    "plain": lambda: _net(nn.BatchNorm2d(4, eps=0.1)),
    "not affine": lambda: _net(nn.BatchNorm2d(4, affine=False)),
    "of the batch": lambda: _net(nn.BatchNorm2d(4, track_running_stats=False)),
    "rows": lambda: randomised(
        nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    ).eval(),
    "volumes": lambda: randomised(nn.Sequential(nn.Conv3d(3, 4, 2), nn.BatchNorm3d(4))).eval(),
    "shared": small,
}


def _derivative(function: Any, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    given = images.clone().requires_grad_()
    out = function(given)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(2), dtype=out.dtype)
    return out.detach(), torch.autograd.grad(out, given, weights)[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NETS)
def test_it_is_the_model_and_so_is_its_derivative(name: str, dtype: torch.dtype) -> None:
    model = NETS[name]().to(dtype)
    size = (8, 8, 8) if name == "volumes" else (8, 8) if name == "rows" else (16, 16)
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1), dtype=dtype)
    found, want = _derivative(once(trace(model)).module, images), _derivative(model, images)
    assert torch.equal(found[0], want[0])
    torch.testing.assert_close(found[1], want[1], rtol=1e-6, atol=0)
    assert want[1].abs().max() > 0


def test_weights_and_statistics_changed_in_place_are_seen() -> None:
    model, images = small(), torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    asked = {"methods": ["grad-cam", "gradient"]}
    before = funcam.explain_methods(model, images, 1, **asked)[1].maps
    with torch.no_grad():
        model.blocks[0].bn1.weight.mul_(3)
        model.blocks[1].bn2.running_var.add_(2)
    found = funcam.explain_methods(model, images, 1, **asked)[1].maps
    given = images.clone().requires_grad_()
    (want,) = torch.autograd.grad(model(given)[0, 1], given)
    torch.testing.assert_close(found, want)
    assert not torch.allclose(found, before)


@pytest.mark.parametrize("method", ["gradient", "guided-backprop"])
def test_who_differentiates_the_maps_gets_the_weights_derivative(method: str) -> None:
    model, images = small(), torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    maps = funcam.explain_methods(model, images, 1, methods=["grad-cam", method], differentiable=True)[1].maps
    plain = funcam.explain_methods(model, images, 1, methods=["grad-cam", method])[1].maps
    assert maps.requires_grad
    assert not plain.requires_grad
    torch.testing.assert_close(maps.detach(), plain)
    (of_weight,) = torch.autograd.grad(maps.square().sum(), [model.blocks[0].bn1.weight])
    assert of_weight.abs().max() > 0
