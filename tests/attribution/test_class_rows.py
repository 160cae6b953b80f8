"""Heads that keep channels apart behind their last layer: the same gradient as autograd's, of one row of weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

import funcam
from funcam.attribution.batch_run import BatchRun, run_batch
from funcam.network.class_rows import class_rows
from funcam.network.tap import Inputs

CLASSES = 60
IMAGES = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(4))


class Headed(nn.Module):
    """Features of 8 channels, `[B, 8, 16, 16]`, and a head."""

    def __init__(self, head: nn.Module, dimensions: int = 2) -> None:
        super().__init__()
        conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dimensions - 1]
        self.features, self.head = nn.Sequential(conv(3, 8, 3, padding=1), nn.ReLU()), head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


class Written(nn.Module):
    """A head as torch's functions, with a mean over the axes of space."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, CLASSES, 1)

    def forward(self, A: Tensor) -> Tensor:
        return torch.relu(self.conv(A)).mean((2, 3))


def pooled(*behind: nn.Module) -> list[nn.Module]:
    return [*behind, nn.AdaptiveAvgPool2d(1), nn.Flatten()]


def squeezed() -> nn.Sequential:
    """As SqueezeNet's."""
    return nn.Sequential(nn.Dropout(), nn.Conv2d(8, CLASSES, 1), *pooled(nn.ReLU(inplace=True)))


def deep() -> nn.Sequential:
    """The last convolution is not the first behind the features, and every cell of the maximum's is another's."""
    first = nn.Sequential(nn.Conv2d(8, 12, 3, stride=2, groups=4), nn.BatchNorm2d(12), nn.SiLU())
    return nn.Sequential(first, nn.Conv2d(12, CLASSES, 1, bias=False), *pooled(nn.Hardswish(), nn.MaxPool2d(2)))


def linear() -> nn.Sequential:
    """Several linear layers, the last of which gives the logits."""
    pool = [nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    return nn.Sequential(*pool, nn.Linear(32, 20), nn.ReLU(), nn.Dropout(), nn.Linear(20, CLASSES))


def of_signals() -> nn.Sequential:
    return nn.Sequential(nn.Conv1d(8, CLASSES, 1), nn.ELU(), nn.AdaptiveAvgPool1d(1), nn.Flatten())


def of_volumes() -> nn.Sequential:
    return nn.Sequential(nn.Conv3d(8, CLASSES, 1), nn.ReLU(), nn.AdaptiveMaxPool3d(1), nn.Flatten())


def made(build: Callable[[], nn.Module], dimensions: int = 2) -> Headed:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Headed(build(), dimensions).eval()


def run_of(model: nn.Module, images: Tensor, targets: Any = None, layer: str = "features") -> BatchRun:
    with torch.no_grad():
        return run_batch(model, Inputs(images), targets, [layer], memory=2**28, output=None, gradient=True)


def rows_of(model: nn.Module, images: Tensor, layer: str = "features") -> Any:
    with torch.no_grad():
        return class_rows(run_of(model, images, layer=layer).cuts[0], lambda: model, images)


def at_features(model: Headed, images: Tensor, classes: Tensor, cotangents: Tensor) -> Tensor:
    """The derivative of a weighted sum of the classes' logits, by plain autograd."""
    A = model.features(images).detach().requires_grad_()
    return torch.autograd.grad((model.head(A).gather(1, classes) * cotangents).sum(), A)[0]


BUILDS = [(squeezed, 2), (deep, 2), (Written, 2), (linear, 2), (of_signals, 1), (of_volumes, 3)]


@pytest.mark.parametrize(("build", "dimensions"), BUILDS)
@pytest.mark.parametrize("several", [1, 3, 40])
def test_the_derivative_is_autograd_s(build: Callable[[], nn.Module], dimensions: int, several: int) -> None:
    model, generator = made(build, dimensions), torch.Generator().manual_seed(several)
    images = torch.randn((4, 3, *[12] * dimensions), generator=generator)
    classes = torch.randint(CLASSES, (4, several), generator=generator)
    cotangents = torch.randn(classes.shape, generator=generator)
    assert rows_of(model, images) is not None
    run = run_of(model, images, classes)
    expected = at_features(model, images, classes, cotangents)
    assert expected.any()
    with torch.no_grad():
        torch.testing.assert_close(run.own_pullback()(cotangents)[0], expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(run.logits, model(images).detach())


@pytest.mark.parametrize("targets", [None, 3, [1, 1, 59], [[0, 1], [1, 0], [9, 9]], "all"])
@pytest.mark.parametrize("build", [squeezed, linear])
def test_the_maps_are_written_out(build: Callable[[], nn.Module], targets: Any) -> None:
    model = made(build)
    explained = funcam.explain(model, IMAGES, targets, layer="features")
    A, classes = model.features(IMAGES), explained.targets.view(len(IMAGES), -1)
    for column in range(classes.shape[1]):
        own = classes[:, column : column + 1]
        g = at_features(model, IMAGES, own, torch.ones(own.shape))
        maps = explained.maps.view(len(IMAGES), -1, *A.shape[2:])[:, column]
        by_hand = (g.mean((2, 3), keepdim=True) * A).sum(1).relu().detach()
        torch.testing.assert_close(maps, by_hand, rtol=1e-4, atol=1e-7)


class Operations(TorchDispatchMode):
    """Counts what convolutions and products of matrices take."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.count += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=out)
        return out


@pytest.mark.parametrize("build", [squeezed, Written])
def test_what_is_behind_the_layer_is_run_back_for_one_class_alone(build: Callable[[], nn.Module]) -> None:
    """Run back for all, the layer would take as many operations as forward."""
    model = made(build)
    funcam.explain(model, IMAGES, 3, layer="features")  # what is found out once
    with Operations() as forward:
        model(IMAGES)
    with Operations() as explained:
        funcam.explain(model, IMAGES, 3, layer="features")
    assert 1 <= explained.count / forward.count < 1 + 2 / CLASSES


@pytest.mark.parametrize("build", [squeezed, linear])
def test_the_work_grows_as_the_classes_do(build: Callable[[], nn.Module]) -> None:
    """Each class with the rows of all explained ones would be a square."""
    model, counts = made(build), []
    for number in (20, 40):
        classes = [list(range(number))] * len(IMAGES)
        funcam.explain(model, IMAGES, classes, layer="features")  # what is found out once
        with Operations() as operations:
            funcam.explain(model, IMAGES, classes, layer="features")
        counts.append(operations.count)
    assert 1 < counts[1] / counts[0] <= 2


def test_weights_that_change_are_seen() -> None:
    model = made(squeezed)
    before = funcam.explain(model, IMAGES, 3, layer="features").maps
    with torch.no_grad():
        model.head[1].weight.mul_(2)
        model.head[1].bias.mul_(2)
    torch.testing.assert_close(funcam.explain(model, IMAGES, 3, layer="features").maps, 2 * before)
    model.head[2] = nn.Softmax(1)
    assert rows_of(model, IMAGES) is None


def chain(*modules: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(*modules)


class Of(nn.Module):
    """A head that is a function of the features and a convolution."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.conv, self.function = nn.Conv2d(8, CLASSES, 1), function

    def forward(self, A: Tensor) -> Tensor:
        return self.function(self.conv, A)


def standardised() -> nn.Module:
    head = squeezed()
    parametrizations.weight_norm(head[1])
    return head


def replaced() -> nn.Module:
    head = squeezed()
    own = head[1].forward
    head[1].forward = lambda A: own(A) * 2
    return head


OTHERS: dict[str, Callable[[], nn.Module]] = {
    "cells together": chain(nn.Conv2d(8, CLASSES, 3), *pooled(nn.ReLU())),
    "every other cell": chain(nn.Conv2d(8, CLASSES, 1, stride=2), *pooled(nn.ReLU())),
    "a border": chain(nn.Conv2d(8, CLASSES, 1, padding=1), *pooled(nn.ReLU())),
    "groups": chain(nn.Conv2d(8, CLASSES, 1, groups=4), *pooled(nn.ReLU())),
    "probabilities": chain(nn.Conv2d(8, CLASSES, 1), *pooled(nn.ReLU()), nn.Softmax(1)),
    "weights of each channel": chain(nn.Conv2d(8, CLASSES, 1), *pooled(nn.PReLU(CLASSES))),
    "a norm": chain(nn.Conv2d(8, CLASSES, 1), *pooled(nn.BatchNorm2d(CLASSES), nn.ReLU())),
    "several cells of a channel": chain(nn.Conv2d(8, 15, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()),
    "neighbours of a channel": chain(nn.Conv2d(8, CLASSES, 1), *pooled(), nn.MaxPool1d(3, 1, 1)),
    "computed weights": standardised,
    "another forward": replaced,
    "two ways": lambda: Of(lambda conv, A: conv(A).relu().mean((2, 3)) + conv(A).amax((2, 3))),
    "the features beside": lambda: Of(lambda conv, A: conv(A).mean((2, 3)) * A.mean((1, 2, 3))[:, None]),
    "channels in another order": lambda: Of(lambda conv, A: conv(A).flip(1).mean((2, 3))),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_heads_are_run_back_whole(name: str) -> None:
    model, classes = made(OTHERS[name]), torch.tensor([[4], [0], [11]])
    assert rows_of(model, IMAGES) is None
    run = run_of(model, IMAGES, classes)
    expected = at_features(model, IMAGES, classes, torch.ones(3, 1))
    assert expected.any()
    with torch.no_grad():
        torch.testing.assert_close(run.own_pullback()(torch.ones(3, 1))[0], expected, rtol=1e-4, atol=1e-6)


def test_behind_the_last_layer_there_is_none() -> None:
    assert rows_of(made(squeezed), IMAGES, layer="head.2") is None


def test_what_is_not_of_the_logits_alone_is_run_back_whole() -> None:
    """Of a probability all logits count, and of a derivative that is differentiated all the steps."""
    model = made(squeezed)
    A = model.features(IMAGES).detach().requires_grad_()
    g = torch.autograd.grad(model.head(A).softmax(1)[:, 3].sum(), A)[0]
    by_hand = (g.mean((2, 3), keepdim=True) * A).sum(1).relu().detach()
    maps = funcam.explain(model, IMAGES, funcam.probability(3), layer="features").maps
    torch.testing.assert_close(maps, by_hand, rtol=1e-4, atol=1e-9)
    images = IMAGES.clone().requires_grad_()
    again = funcam.explain(model, images, 3, layer="features", differentiable=True).maps
    torch.testing.assert_close(again.detach(), funcam.explain(model, IMAGES, 3, layer="features").maps)
    assert torch.autograd.grad(again.sum(), images)[0].any()


def test_under_autocast_and_vmap_the_maps_are_what_they_were() -> None:
    model = made(squeezed)
    expected = funcam.explain(model, IMAGES, 3, layer="features").maps
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = funcam.explain(model, IMAGES, 3, layer="features").maps
    torch.testing.assert_close(cast, expected, rtol=0.1, atol=0.05 * float(expected.max()))
    mapped = torch.func.vmap(lambda image: funcam.explain(model, image[None], 3, layer="features").maps[0])(IMAGES)
    torch.testing.assert_close(mapped, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types(dtype: torch.dtype) -> None:
    model = made(squeezed).to(dtype)
    classes, ones = torch.tensor([[4], [0], [11]]), torch.ones(3, 1, dtype=dtype)
    run = run_of(model, IMAGES.to(dtype), classes)
    with torch.no_grad():
        (g,) = run.own_pullback()(ones)
    assert g.dtype == dtype
    torch.testing.assert_close(g, at_features(model, IMAGES.to(dtype), classes, ones))
