"""What was found out of a model behind weights of nothing isn't believed when they have grown: by autograd, by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from small import features_by_hand
from torch import Tensor, nn

import funcam
from funcam.network.silent import grown, silent

pytestmark = pytest.mark.filterwarnings("ignore:.* at '.*' is zero everywhere")
IMAGES = torch.rand(2, 3, 36, 36, generator=torch.Generator().manual_seed(5))
ROWS = torch.randn(5, 8, generator=torch.Generator().manual_seed(6))


class Pooled(nn.Module):
    """Features, something that looks like their mean, and a linear head that says nothing yet."""

    def __init__(self, pool: nn.Module, shown: float) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.features = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
        self.pool = pool
        self.head = nn.Linear(8, 5)
        nn.init.constant_(self.head.weight, shown)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.features(x)).flatten(1))


class Traced(Pooled):
    """Its graph computes something else: what it is traced with is no tensor."""

    def forward(self, x: Tensor) -> Tensor:
        A = self.features(x)
        return self.head(self.pool(A.pow(3) if type(x) is Tensor else A).flatten(1))


class Mixing(Pooled):
    """What it says of an image depends on those beside it."""

    def forward(self, x: Tensor) -> Tensor:
        A = self.features(x)
        return self.head(self.pool(A * A.mean(0, keepdim=True).flip(3)).flatten(1))


def copied(model: Pooled) -> None:
    with torch.no_grad():
        model.head.weight.copy_(ROWS)


def replaced(model: Pooled) -> None:
    model.head.weight.data = ROWS.clone()


def written(model: Pooled) -> None:
    model.head.weight.data.copy_(ROWS)


def trained(model: Pooled) -> None:
    with torch.no_grad():
        model.head.weight.zero_()
    model.head.weight.grad = -ROWS
    torch.optim.SGD(model.parameters(), 1.0).step()
    model.head.weight.grad = None


MODELS: dict[str, Callable[[float], Pooled]] = {
    "mean": lambda shown: Pooled(nn.AdaptiveAvgPool2d(1), shown),
    "leaves cells out": lambda shown: Pooled(nn.AvgPool2d(8), shown),
    "another number": lambda shown: Pooled(nn.AvgPool2d(9, divisor_override=40), shown),
    "another graph": lambda shown: Traced(nn.AdaptiveAvgPool2d(1), shown),
}


@pytest.mark.parametrize("grow", [copied, replaced, written, trained])
@pytest.mark.parametrize("shown", [0.0, 1e-6])
@pytest.mark.parametrize("name", MODELS)
def test_grad_cam_of_what_has_grown_is_autograds(name: str, shown: float, grow: Callable[[Pooled], None]) -> None:
    model = MODELS[name](shown).eval()
    before = funcam.explain(model, IMAGES, 3).layer
    grow(model)
    result = funcam.explain(model, IMAGES, 3)
    expected = features_by_hand(model, IMAGES, 3)
    assert before.startswith("features")
    assert expected.any()
    torch.testing.assert_close(result.maps, expected, rtol=1e-4, atol=1e-5 * float(expected.max()))


@pytest.mark.parametrize(
    "method", ["layer-cam", "grad-cam++", "ablation-cam", "score-cam", "finer-cam", "guided-backprop"]
)
@pytest.mark.parametrize("name", MODELS)
def test_every_other_method_says_what_it_says_of_a_copy(name: str, method: str) -> None:
    if (name, method) == ("another graph", "guided-backprop"):
        pytest.skip("it needs a graph, and is refused")
    model = MODELS[name](0.0).eval()
    funcam.explain(model, IMAGES, "all", method="grad-cam")
    copied(model)
    result, fresh = (funcam.explain(each, IMAGES, "all", method=method) for each in (model, copy.deepcopy(model)))
    assert result.layer == fresh.layer
    torch.testing.assert_close(result.maps, fresh.maps, rtol=1e-4, atol=1e-5 * float(fresh.maps.abs().max()))


@pytest.mark.parametrize("grow", [copied, written])
def test_rows_that_mix_are_refused_when_it_can_be_seen(grow: Callable[[Pooled], None]) -> None:
    model = Mixing(nn.AdaptiveAvgPool2d(1), 0.0).eval()
    assert not funcam.explain(model, IMAGES, 3).maps.any()
    grow(model)
    with pytest.raises(funcam.FuncamError, match="when the images beside it are others"):
        funcam.explain(model, IMAGES, 3)


def test_what_is_silent() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2), nn.PReLU(init=1e-5), nn.Linear(2, 3))
    nn.init.zeros_(model[3].weight)
    model.register_buffer("gate", torch.zeros(()))
    found = silent(model)
    assert [each.shape for each in found] == [(1,), (3, 2), ()]
    assert not grown(found)
    model.get_buffer("gate").fill_(0.5)
    assert grown(found)


def test_what_stays_silent_is_found_out_once() -> None:
    model = MODELS["mean"](0.0).eval()
    funcam.explain(model, IMAGES, 3)
    from funcam.network.known import known_of

    known = known_of(model)
    trained_bias = torch.optim.SGD([model.head.bias], 1.0)
    model.head.bias.grad = torch.ones(5)
    trained_bias.step()
    assert known_of(model) is known
    copied(model)
    assert known_of(model) is not known
