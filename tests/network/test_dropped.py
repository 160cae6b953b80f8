"""A graph shows neither that gradients are off nor a derivative written by hand: such code runs itself, whatever the
first image shows. By autograd, by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from small import features_by_hand
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import funcam

pytestmark = [
    pytest.mark.filterwarnings("ignore:.* at '.*' is zero everywhere"),
    pytest.mark.filterwarnings("ignore:the model isn't cut by its graph"),
    pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad"),  # torch's, of a checkpoint's code
]
SEED = torch.Generator().manual_seed(0)
TAME, WILD = torch.rand(2, 3, 16, 16, generator=SEED) * 0.1, torch.randn(2, 3, 16, 16, generator=SEED) * 5


class Clipped(torch.autograd.Function):
    """Straight through."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clamp(-1, 1)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return g


class ClippedAnew(torch.autograd.Function):
    """The same in the form that `torch.func` takes."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clamp(-1, 1)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return g


def weights(a: Tensor) -> Tensor:
    """One where an image is tame, so that what they are derived by doesn't show."""
    return 1 + (a.mean((2, 3), keepdim=True) - 0.3).relu()


def without_gradients(net: Network, a: Tensor) -> Tensor:
    with torch.no_grad():
        w = weights(a)
    return net.last(a * w)


@torch.no_grad()
def decorated(a: Tensor) -> Tensor:
    return weights(a)


def switched(net: Network, a: Tensor) -> Tensor:
    with torch.set_grad_enabled(False):
        w = weights(a)
    return net.last(a * w)


def by_the_shape(net: Network, a: Tensor) -> Tensor:
    with torch.no_grad():
        places = torch.linspace(0.5, 1, a.shape[-1])
    return net.last(a * places)


def by_the_weights(net: Network, a: Tensor) -> Tensor:
    with torch.no_grad():
        size = net.last.weight.norm()
    return net.last(a) / size


DROPPED: dict[str, Callable[[Network, Tensor], Tensor]] = {
    "straight through": lambda net, a: Clipped.apply(net.last(a)),
    "straight through, for torch.func": lambda net, a: ClippedAnew.apply(net.last(a)),
    "no_grad": without_gradients,
    "a decorated function": lambda net, a: net.last(a * decorated(a)),
    "set_grad_enabled": switched,
}
SHOWN: dict[str, Callable[[Network, Tensor], Tensor]] = {
    "a checkpoint": lambda net, a: checkpoint(lambda x: net.last(x).relu(), a, use_reentrant=True),
    "no checkpoint": lambda net, a: net.last(a).relu(),
    "what depends on the shape": by_the_shape,
    "what depends on the weights": by_the_weights,
}


class Network(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.features = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.ReLU())
            self.last, self.head = nn.Conv2d(8, 8, 3, bias=False), nn.Linear(8, 5)
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        return self.head((DROPPED | SHOWN)[self.kind](self, self.features(x)).mean((2, 3)))


def after_a_tame_image(net: Network) -> Tensor:
    funcam.explain(net, TAME, 1, layer="features")
    return funcam.explain(net, WILD, 1, layer="features").maps


def beside_tame_images(net: Network) -> Tensor:
    return funcam.explain(net, torch.cat([TAME, WILD]), 1, layer="features").maps[2:]


def split_by_zeros(net: Network) -> Tensor:
    return funcam.explain(funcam.split(net, "features", example=torch.zeros(1, 3, 16, 16)), WILD, 1).maps


def prepared_by_a_tame_image(net: Network) -> Tensor:
    return funcam.prepare(net, "features", example=TAME, targets=1, backend=None)(WILD).maps


@pytest.mark.parametrize("way", [after_a_tame_image, beside_tame_images, split_by_zeros, prepared_by_a_tame_image])
@pytest.mark.parametrize("kind", DROPPED | SHOWN)
def test_what_a_graph_does_not_show_is_no_matter_of_the_first_image(kind: str, way: Callable[..., Tensor]) -> None:
    net = Network(kind).eval()
    plain = Network("no checkpoint").eval() if kind == "a checkpoint" else copy.deepcopy(net)  # autograd refuses it
    expected = features_by_hand(plain, WILD, 1)
    maps = way(net)
    assert expected.max() > 0
    torch.testing.assert_close(maps, expected, rtol=0, atol=1e-5 * float(expected.max()))


@pytest.mark.parametrize(("kind", "way"), [*((kind, "tap") for kind in DROPPED), *((kind, "fx") for kind in SHOWN)])
def test_a_graph_is_left_only_where_it_would_differentiate_in_another_way(kind: str, way: str) -> None:
    assert funcam.split(Network(kind).eval(), "features", example=WILD).way == way


def test_a_branch_without_gradients_that_grows_is_none_in_the_graph() -> None:
    class Gated(Network):
        def __init__(self) -> None:
            super().__init__("no_grad")
            self.gate = nn.Parameter(torch.tensor(-20.0))

        def forward(self, x: Tensor) -> Tensor:
            a = self.features(x)
            with torch.no_grad():
                w = 3 * a.mean((2, 3), keepdim=True)
            return self.head(self.last(a * (1 + w * self.gate.sigmoid())).mean((2, 3)))

    net = Gated().eval()
    funcam.explain(net, WILD, 1, layer="features")
    with torch.no_grad():
        net.gate.fill_(3.0)
    expected = features_by_hand(copy.deepcopy(net), WILD, 1)
    maps = funcam.explain(net, WILD, 1, layer="features").maps
    torch.testing.assert_close(maps, expected, rtol=0, atol=1e-5 * float(expected.max()))


def test_asked_for_a_graph_it_is_refused_in_words() -> None:
    with pytest.raises(funcam.FuncamError, match="computes a part without gradients, or with a derivative of its own"):
        funcam.split(Network("no_grad").eval(), "features", example=WILD, via="fx")
