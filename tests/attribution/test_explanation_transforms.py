"""``explain`` as a function: under ``vmap``, differentiated in turn, compiled."""

from __future__ import annotations

import pytest
import torch
from explanation_cases import CAMS, HERE, IMAGES, MODEL
from small import Applied, Dense, randomised, tiny_densenet, tiny_vit
from torch import nn
from torch.nn import functional

import funcam
from funcam import METHODS


@pytest.mark.parametrize(
    "method", [name for name in HERE if not METHODS[name].whole and "seed" not in METHODS[name].options]
)
def test_vmap_over_images(method):
    cut = funcam.split(MODEL)
    maps = torch.vmap(lambda image: funcam.explain(cut, image[None], [1], method=method).maps[0])(IMAGES)
    torch.testing.assert_close(maps, funcam.explain(cut, IMAGES, 1, method=method).maps, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", CAMS[1:])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_maps_can_be_differentiated_in_turn(method, dimensions):
    """Against central differences, in float64, through a network whose second derivative is not zero."""
    model = Dense(dimensions, functional.softplus).double()
    cut = funcam.split(model, "second")
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(1, 2, *[5, 4, 3][:dimensions], dtype=torch.float64, generator=generator)
    direction = torch.randn(images.shape, dtype=torch.float64, generator=generator)
    brightest = int(funcam.explain(cut, images, "all", method=method).maps.flatten(2).sum(2).argmax())

    def energy(images):
        return funcam.explain(cut, images, [brightest], method=method, differentiable=True).maps.pow(2).sum()

    gradient = torch.func.grad(energy)(images)
    step = 1e-5
    difference = (energy(images + step * direction) - energy(images - step * direction)) / (2 * step)
    assert difference.abs() > 1e-8
    torch.testing.assert_close((gradient * direction).sum(), difference.detach(), rtol=1e-4, atol=1e-9)


def test_maps_can_be_differentiated_with_respect_to_the_weights():
    model = Dense(2, functional.softplus).double()
    images = torch.randn(1, 2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

    def energy():
        return funcam.explain(model, images, [2], layer="second", differentiable=True).maps.pow(2).sum()

    (gradient,) = torch.autograd.grad(energy(), [model.third.weight])
    step = 1e-5
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            model.third.weight[0, 0, 1, 1] += sign * step
            values.append(energy())
            model.third.weight[0, 0, 1, 1] -= sign * step
    difference = (values[0] - values[1]) / (2 * step)
    assert difference.abs() > 1e-8
    torch.testing.assert_close(gradient[0, 0, 1, 1], difference, rtol=1e-4, atol=1e-9)


def test_maps_carry_no_graph_unless_asked():
    images = IMAGES.clone().requires_grad_()
    assert not funcam.explain(MODEL, images).maps.requires_grad
    assert funcam.explain(MODEL, images, differentiable=True).maps.requires_grad


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")  # torch, at its first jvp
@pytest.mark.parametrize(
    "method",
    [
        *("shapley-cam", "fem"),
        *(pytest.param(method, marks=pytest.mark.slow) for method in (*CAMS[1:], "xgrad-cam", "finer-cam")),
    ],
)
def test_the_whole_function_compiles_into_one_graph(method):
    torch.compiler.reset()
    cut = funcam.split(MODEL)
    cam = torch.compile(
        lambda x: funcam.explain(cut, x, [0, 1, 2], method=method).maps, fullgraph=True, backend="aot_eager"
    )
    torch.testing.assert_close(cam(IMAGES), funcam.explain(cut, IMAGES, [0, 1, 2], method=method).maps)


@pytest.mark.slow
def test_the_whole_function_compiles_with_the_default_backend():
    model = randomised(Applied(lambda m, x: m.relu(x))).eval()
    cut = funcam.split(model, "conv")
    cam = torch.compile(lambda x: funcam.explain(cut, x).maps, fullgraph=True)
    images = IMAGES[:, :, :8, :8].contiguous()
    torch.testing.assert_close(cam(images), funcam.explain(cut, images).maps, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("make", [pytest.param(make, marks=pytest.mark.slow) for make in (tiny_densenet, tiny_vit)])
def test_other_architectures_compile(make):
    cut = funcam.split(make())
    cam = torch.compile(lambda x: funcam.explain(cut, x, "all").maps, fullgraph=True, backend="eager")
    torch.testing.assert_close(cam(IMAGES), funcam.explain(cut, IMAGES, "all").maps, rtol=1e-4, atol=1e-6)


class _ConvAndLinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.fc = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.relu(self.norm(self.conv(x))).mean((2, 3)))


OF_THE_IMAGE = ["gradient", "input-x-gradient", "guided-backprop", "guided-grad-cam"]


@pytest.mark.parametrize("method", [*OF_THE_IMAGE, "grad-cam"])
def test_images_that_vmap_maps_over_are_explained_each_as_alone(method: str) -> None:
    model, images = _ConvAndLinear().eval(), torch.rand(3, 3, 8, 8)
    split = funcam.split(model, example=images)
    alone = torch.cat([funcam.explain(split, image[None], 1, method=method).maps for image in images])
    with torch.no_grad():
        mapped = torch.func.vmap(lambda image: funcam.explain(split, image[None], 1, method=method).maps)(images)
    assert alone.any()
    torch.testing.assert_close(mapped[:, 0], alone)


@pytest.mark.parametrize("method", ["gradient", "input-x-gradient", "cam"])
def test_a_whole_graph_is_compiled(method: str) -> None:
    model, images = _ConvAndLinear().eval(), torch.rand(2, 3, 8, 8)
    split = funcam.split(model, example=images)
    expected = funcam.explain(split, images, 1, method=method).maps
    torch._dynamo.reset()
    compiled = torch.compile(lambda x: funcam.explain(split, x, 1, method=method).maps, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(images), expected)
