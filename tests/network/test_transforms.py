"""Models whose own code uses `torch.func`, and `torch.func` around an explanation: equal to autograd, or refused."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import funcam
from funcam import FuncamError
from funcam.network.checks import reference
from funcam.network.tap import Inputs, Manner, Place
from funcam.network.tracing import transformations

IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class Plain(nn.Module):
    """Two convolutions, and in subclasses what stands between them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.fc = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 16, 3, 2, 1), nn.Linear(16, 5)

    def between(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.between(x).tanh().mean((2, 3)))


class Maps(Plain):
    def between(self, x: Tensor) -> Tensor:
        return torch.func.vmap(self.second)(self.first(x))


class MapsInParts(Plain):
    def between(self, x: Tensor) -> Tensor:
        return torch.func.vmap(self.second, chunk_size=1)(self.first(x))


class DifferentiatesBefore(Plain):
    def between(self, x: Tensor) -> Tensor:
        slope = torch.func.grad(lambda y: self.first(y).square().sum())(x)
        return self.second(self.first(x + slope))


class DifferentiatesBehind(Plain):
    def between(self, x: Tensor) -> Tensor:
        y = self.first(x)
        return self.second(y + torch.func.grad(lambda z: self.second(z).square().sum())(y))


class Told(nn.Sequential):
    """A layer that tells how many transformations see it."""

    def forward(self, x: Tensor) -> Tensor:
        logging.getLogger(__name__).info("%d channels, %d", self[0].out_channels, transformations())
        return super().forward(x)


class UnderModes(Plain):
    """Autocast and `no_grad` round a layer: leaving them must not end the transformation that began inside."""

    def between(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False), torch.enable_grad():
            x = self.first(x)
        return self.second(x)


def by_hand(model: Plain, layer: str, target: int) -> Tensor:
    """Grad-CAM by autograd and a forward hook."""
    kept: list[Tensor] = []
    hook = model.get_submodule(layer).register_forward_hook(lambda _, __, out: kept.append(out) or out)
    score = model(IMAGES)[:, target].sum()
    hook.remove()
    A = kept[-1] if layer == "second" else kept[0] if isinstance(model, DifferentiatesBehind) else kept[-1]
    (g,) = torch.autograd.grad(score, A)
    return (g.mean((2, 3), keepdim=True) * A).sum(1).relu().detach()


@pytest.mark.parametrize(
    ("kind", "layer"),
    [
        *(
            (Plain, "first"),
            (Plain, "second"),
            (UnderModes, "first"),
            (UnderModes, "second"),
            (Maps, "first"),
            (MapsInParts, "first"),
        ),
        *((DifferentiatesBefore, "second"), (DifferentiatesBehind, "first")),
    ],
)
def test_a_model_that_transforms_its_own_calls(kind: type[Plain], layer: str) -> None:
    model = kind().eval()
    found = funcam.explain(funcam.split(model, layer, via="tap"), IMAGES, 1)
    torch.testing.assert_close(found.maps, by_hand(model, layer, 1))


@pytest.mark.parametrize("kind", [Plain, UnderModes, DifferentiatesBehind])
@pytest.mark.parametrize("asked", [False, True])
def test_what_lies_before_the_tap_is_not_seen(kind: type[Plain], asked: bool, caplog: pytest.LogCaptureFixture) -> None:
    """And what lies behind it is: `torch.func` differentiates, plain autograd need not."""
    model, images = kind().eval(), IMAGES.clone().requires_grad_(asked)
    model.first, model.second = Told(model.first), Told(model.second)
    with caplog.at_level(logging.INFO):
        found = reference(model, Inputs(images), Place("first"), Manner())
    told = {record.getMessage() for record in caplog.records}
    assert "16 channels, 1" in told
    assert "8 channels, 1" not in told
    assert not found.plain
    assert found.gradient is not None
    plain = reference(model, Inputs(images), Place("first"), Manner(autograd=True))
    assert plain.plain
    torch.testing.assert_close(found.gradient, plain.gradient)


@pytest.mark.parametrize("kind", [Maps, MapsInParts])
def test_a_layer_inside_of_a_map_is_refused(kind: type[Plain]) -> None:
    model = kind().eval()
    with pytest.raises(FuncamError, match=r"'second' is called in a transformation of torch.func.*name a layer before"):
        funcam.explain(model, IMAGES, layer="second")
    assert funcam.explain(model, IMAGES).layer == "first"
    assert "second" not in {one.name for one in funcam.list_layers(model, IMAGES)}


@pytest.mark.parametrize("around", [torch.func.grad, lambda f: torch.func.vmap(torch.func.grad(f))])
def test_an_explanation_that_is_differentiated(around: Callable[..., Callable[[Tensor], Tensor]]) -> None:
    """By the images, which the layers before the tap depend on."""
    model = funcam.split(Plain().eval(), "second", via="tap")

    def total(images: Tensor) -> Tensor:
        images = images if images.ndim == 4 else images[None]
        return funcam.explain(model, images, 1, differentiable=True).maps.square().sum()

    leaf = IMAGES.clone().requires_grad_()
    (expected,) = torch.autograd.grad(total(leaf), leaf)
    torch.testing.assert_close(around(total)(IMAGES), expected)
