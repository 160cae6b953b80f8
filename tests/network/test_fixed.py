"""What code makes of a buffer while it is traced stands in a graph; other values have another graph, by autograd."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from small import features_by_hand
from torch import Tensor, nn
from torchvision.models import resnet18
from torchvision.ops import FrozenBatchNorm2d

import funcam
from funcam.network.fixed import Fixed
from funcam.network.known import known_of

IMAGES = torch.rand(3, 3, 36, 36, generator=torch.Generator().manual_seed(5))
VALUES = 3 + 9 * torch.rand(8, 1, 1, generator=torch.Generator().manual_seed(6))


class Scaled(nn.Module):
    """Features, what a function makes of them and of a tensor that is no weight, and a head."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], held: str = "buffer") -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.features = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
            self.head = nn.Linear(8, 5)
        self.function = function
        if held == "buffer":
            self.register_buffer("value", torch.ones(8, 1, 1))
        else:
            self.value = torch.ones(8, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.function(self.features(x), self.value).mean((2, 3)))


FUNCTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "folded": lambda A, value: A / (value + 1e-5).sqrt(),
    "a view": lambda A, value: A / value[..., :1].flatten()[:, None, None].exp(),
    "a number": lambda A, value: A.pow(2) + A * float(value.mean()),
    "an item": lambda A, value: A.pow(2) + A * value.sum().item(),
    "a list": lambda A, value: A.pow(2) + A * value.tolist()[0][0][0],
    "NumPy": lambda A, value: A.pow(2) + A * float(value.numpy().mean()),
    "a branch": lambda A, value: A.pow(2) if value.sum() > 20 else A,
    "its data": lambda A, value: A / value.data.sqrt(),
}


def copied(model: Scaled) -> None:
    with torch.no_grad():
        model.value.copy_(VALUES)


def written(model: Scaled) -> None:
    model.value.data.copy_(VALUES)


def replaced(model: Scaled) -> None:
    model.value.data = VALUES.clone()


def loaded(model: Scaled) -> None:
    model.load_state_dict({**model.state_dict(), "value": VALUES})


def assert_near(maps: Tensor, expected: Tensor) -> None:
    assert expected.any()
    torch.testing.assert_close(maps, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("write", [copied, written, replaced, loaded])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_buffer_that_was_written_is_seen(name: str, write: Callable[[Scaled], None]) -> None:
    model = Scaled(FUNCTIONS[name]).eval()
    assert_near(funcam.explain(model, IMAGES, 3, layer="features").maps, features_by_hand(model, IMAGES, 3))
    write(model)
    assert_near(funcam.explain(model, IMAGES, 3, layer="features").maps, features_by_hand(model, IMAGES, 3))
    assert_near(funcam.explain(model, IMAGES, "all", layer="features").maps[:, 2], features_by_hand(model, IMAGES, 2))


@pytest.mark.parametrize("write", [copied, written, replaced])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_so_is_a_tensor_that_is_no_buffer(name: str, write: Callable[[Scaled], None]) -> None:
    model = Scaled(FUNCTIONS[name], held="attribute").eval()
    funcam.explain(model, IMAGES, 3, layer="features")
    write(model)
    assert_near(funcam.explain(model, IMAGES, 3, layer="features").maps, features_by_hand(model, IMAGES, 3))


@pytest.mark.parametrize("via", ["fx", "tap", "export"])
def test_a_split_goes_on_with_what_is_there_now(via: str) -> None:
    model = Scaled(FUNCTIONS["folded"]).eval()
    cut = funcam.split(model, "features", via=via, example=IMAGES)
    funcam.explain(cut, IMAGES, 3)
    copied(model)
    assert_near(funcam.explain(cut, IMAGES, 3).maps, features_by_hand(model, IMAGES, 3))
    A, head = cut(IMAGES)
    assert_near(head(A), model(IMAGES).detach())


@pytest.mark.parametrize(
    "write", [copied, *(pytest.param(each, marks=pytest.mark.slow) for each in (written, replaced))]
)
@pytest.mark.parametrize("name", ["folded", "an item", "a list"])
def test_an_exported_graph_is_made_anew(name: str, write: Callable[[Scaled], None]) -> None:
    model = Scaled(FUNCTIONS[name], held="attribute").eval()
    cut = funcam.split(model, "features", via="export", example=IMAGES)
    funcam.explain(cut, IMAGES, 3)
    write(model)
    assert_near(funcam.explain(cut, IMAGES, 3).maps, features_by_hand(model, IMAGES, 3))


METHODS = ("guided-backprop", "full-grad", "ablation-cam", "grad-cam++", "gradient")


@pytest.mark.parametrize("method", [*METHODS, pytest.param("score-cam", marks=pytest.mark.slow)])
def test_frozen_batch_norms_that_are_loaded_are_seen(method: str) -> None:
    model = resnet18(num_classes=7, norm_layer=FrozenBatchNorm2d).eval()
    images = IMAGES[:1]
    funcam.explain(model, images, 3, method=method)
    state = {
        path: tensor * 1.2 if path.endswith("running_var") else tensor.clone()
        for path, tensor in model.state_dict().items()
    }
    model.load_state_dict(state)
    now, fresh = (funcam.explain(each, images, "all", method=method).maps for each in (model, copy.deepcopy(model)))
    assert_near(now, fresh)


def test_what_is_written_elsewhere_is_not_asked_again() -> None:
    model = nn.Sequential(Scaled(FUNCTIONS["folded"]), nn.BatchNorm1d(5)).eval()
    funcam.explain(model, IMAGES, 3)
    known = known_of(model)
    model[1].running_mean.add_(1)  # the graph has the layer, which reads it
    with torch.no_grad():
        model[0].head.weight.add_(1)
    assert known_of(model) is known
    copied(model[0])
    assert known_of(model) is not known


def test_frozen_batch_norms_that_are_written_past_their_versions_are_seen() -> None:
    """As weights were loaded of old: `own[name].data.copy_(value)`."""
    model = resnet18(num_classes=7, norm_layer=FrozenBatchNorm2d).eval()
    funcam.explain(model, IMAGES[:1], 3)
    for path, tensor in model.state_dict().items():
        if path.endswith("running_var"):
            tensor.data.copy_(tensor * 1.2)
    now, fresh = (funcam.explain(each, IMAGES[:1], "all").maps for each in (model, copy.deepcopy(model)))
    assert_near(now, fresh)


@pytest.mark.parametrize("held", ["buffer", "tensor"])
def test_a_number_among_many_is_seen(held: str) -> None:
    model = Scaled(lambda A, value: A.pow(2) + A * float(value[4321]), held).eval()
    model.value = torch.ones(5000)
    funcam.explain(model, IMAGES, 3, layer="features")
    model.value.data[4321] = -3
    maps = funcam.explain(model, IMAGES, 3, layer="features").maps
    assert_near(maps, features_by_hand(copy.deepcopy(model), IMAGES, 3))


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.float16, torch.int64, torch.uint8, torch.bool])
def test_all_numbers_of_few_and_some_of_each_of_many_are_compared(kind: torch.dtype) -> None:
    held = nn.Module()
    held.few, held.many, held.nan = torch.ones(7).to(kind), torch.ones(3_000_000).to(kind), torch.full((3,), torch.nan)
    fixed = Fixed(held, {"few", "many", "nan"})
    assert not fixed.changed()
    for write, back in (
        (lambda: held.few.data[6].zero_(), lambda: held.few.data[6].fill_(1)),
        (lambda: held.many.data.zero_(), lambda: held.many.data.fill_(1)),
        (lambda: held.many.numpy().__setitem__(slice(50_000), 0), lambda: held.many.data.fill_(1)),
        (lambda: held.nan.numpy().__setitem__(1, 0), lambda: held.nan.numpy().__setitem__(1, torch.nan)),
    ):
        write()
        assert fixed.changed()
        back()
        assert not fixed.changed()
