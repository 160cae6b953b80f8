"""A model of a library's modules is known again by its tables, and by nothing less than its signature would say."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

import funcam
from funcam.network.known import known_of

IMAGES = torch.randn(2, 3, 16, 20, generator=torch.Generator().manual_seed(1))


def made(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        body = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.PReLU(), nn.Conv2d(6, 6, 3), nn.ReLU()
        )
        nn.init.normal_(body[1].bias)
        return nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)).eval()


def _swap(model: nn.Module) -> None:
    children = model[0]._modules
    children["0"], children["3"] = nn.Conv2d(3, 6, 5), children["3"]


def _reorder(model: nn.Module) -> None:
    children = model[0]._modules
    children["1"] = children.pop("1")  # the same modules under the same names, in another order


def _one_number(model: nn.Module) -> None:
    """Another parameter of one equal number, whose value is changed afterwards."""
    model[0][2].weight = nn.Parameter(model[0][2].weight.detach().clone())
    funcam.explain(model, IMAGES)
    with torch.no_grad():
        model[0][2].weight.fill_(-3.0)


def _forward_of_its_own(model: nn.Module) -> None:
    model[0][4].forward = lambda x: x.abs() + 1


CHANGES: dict[str, Callable[[nn.Module], object]] = {
    "a number": lambda m: setattr(m[0][1], "eps", 2.0),
    "a tuple": lambda m: setattr(m[0][3], "stride", (2, 2)),
    "a word": lambda m: m[0][0].__dict__.update(padding_mode="circular"),
    "a module": lambda m: m[0].__setitem__(4, nn.Sigmoid()),
    "a module of the same class": _swap,
    "the order of modules": _reorder,
    "a module more": lambda m: m[0].append(nn.Tanh()),
    "a parameter": lambda m: setattr(m[3], "weight", nn.Parameter(-m[3].weight.detach())),
    "a parameter of one number": _one_number,
    "a buffer": lambda m: setattr(m[0][1], "running_mean", torch.ones(6)),
    "a class": lambda m: setattr(m[0][4], "__class__", nn.Sigmoid),
    "a hook": lambda m: m[0][4].register_forward_hook(lambda module, given, out: out * torch.arange(14.0)[:, None]),
    "a forward of its own": _forward_of_its_own,
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_changed_is_seen(name):
    model = made()
    assert known_of(model).tables is not None
    before = funcam.explain(model, IMAGES, 1)
    assert torch.equal(funcam.explain(model, IMAGES, 1).maps, before.maps)
    CHANGES[name](model)
    found = funcam.explain(model, IMAGES, 1)
    torch.testing.assert_close(found.outputs, model(IMAGES).detach())
    assert not torch.allclose(found.outputs, before.outputs), "the change does something"


def test_what_nothing_depends_on_is_no_change():
    model = made()
    known = known_of(model)
    with torch.no_grad():
        model[3].weight.mul_(2)
    model.train()
    assert known_of(model) is known
    model[0][1].num_batches_tracked.add_(1)
    model.eval()
    assert known_of(model) is known
    torch.testing.assert_close(funcam.explain(model, IMAGES).outputs, model(IMAGES).detach())


class Own(nn.Module):
    """The caller's code, which names what may be changed."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.relu()


@pytest.mark.parametrize("module", [Own(), nn.ReLU().requires_grad_(), made()], ids=["own", "hooked", "settings"])
def test_where_tables_do_not_tell_all_there_are_none(module):
    model = nn.Sequential(nn.Conv2d(3, 6, 3), module)
    if isinstance(module, nn.ReLU):
        module.register_forward_hook(lambda *given: None)
    if isinstance(module, nn.Sequential):
        model[0].kinds = {"a": [1]}
    assert known_of(model).tables is None
