"""A model of a library's modules is known again by its tables, and by nothing less than its signature would say."""

from __future__ import annotations

import gc
import weakref
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


class Gain:
    """A class of the caller's, held as a setting."""

    value = 1.0


SCALE = {"by": 1.0}


def halved(x: torch.Tensor) -> torch.Tensor:
    return x / 2


class Own(nn.Module):
    """The caller's code, with settings that are written into and code that names what may be changed."""

    bias = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.gain, self.table, self.steps, self.flag = Gain, {"a": [1.0]}, [1.0, 2.0], 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x * self.gain.value * SCALE["by"] * self.table["a"][0] * self.steps[1] + self.bias
        return x if self.flag is True else self.finish(x)

    def finish(self, x: torch.Tensor) -> torch.Tensor:
        return halved(x)


OWN_CHANGES: dict[str, Callable[[nn.Module, pytest.MonkeyPatch], object]] = {
    "an attribute of a class that is held": lambda own, patch: patch.setattr(Gain, "value", 3.0),
    "an entry of a global": lambda own, patch: patch.setitem(SCALE, "by", 3.0),
    "a number in a list in a table": lambda own, patch: own.table["a"].__setitem__(0, 3.0),
    "an entry of a list": lambda own, patch: own.steps.__setitem__(1, 3.0),
    "an attribute of its class": lambda own, patch: patch.setattr(Own, "bias", 3.0),
    "another equal number": lambda own, patch: setattr(own, "flag", True),
    "a method": lambda own, patch: patch.setattr(Own, "finish", lambda self, x: -x),
    "a function that it names": lambda own, patch: patch.setattr(halved, "__code__", (lambda x: x / 5).__code__),
    "a name": lambda own, patch: patch.setitem(globals(), "halved", torch.neg),
}


@pytest.mark.parametrize("name", OWN_CHANGES)
def test_what_is_changed_of_the_callers_own_is_seen(name, monkeypatch):
    model = made()
    model[0][4] = own = Own()
    assert known_of(model).tables is not None
    known, before = known_of(model), funcam.explain(model, IMAGES, 1)
    assert known_of(model) is known
    OWN_CHANGES[name](own, monkeypatch)
    found = funcam.explain(model, IMAGES, 1)
    torch.testing.assert_close(found.outputs, model(IMAGES).detach())
    assert not torch.allclose(found.outputs, before.outputs), "the change does something"


def test_what_cannot_be_compared_is_walked_through():
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise TypeError("never compared")

    model = made()
    model[0].odd = Odd()
    known = known_of(model)
    assert known_of(model) is known
    model[0].odd = Odd()
    funcam.explain(model, IMAGES)


def test_a_model_with_a_hook_has_no_tables():
    model = made()
    model[0][4].register_forward_hook(lambda *given: None)
    assert known_of(model).tables is None


def test_another_module_in_the_place_of_one_that_is_gone_is_seen():
    model = made()
    before = funcam.explain(model, IMAGES, 1)
    place = id(model[0][3])
    for _ in range(100):  # till memory gives it the same address
        model[0][3] = None
        model[0][3] = nn.Conv2d(6, 6, 3, dilation=2)
        if id(model[0][3]) == place:
            break
    found = funcam.explain(model, IMAGES, 1)
    torch.testing.assert_close(found.outputs, model(IMAGES).detach())
    assert not torch.allclose(found.outputs, before.outputs), "the change does something"


def _part(model: nn.Module) -> object:
    model[0][4].__dict__["above"] = [model]


def _hook(model: nn.Module) -> object:
    seen: list[nn.Module] = []
    model[0][4].register_forward_hook(lambda module, given, output: seen.append(model))


def _hook_of_its_weight(model: nn.Module) -> object:
    model[3].weight.register_hook(lambda gradient: model and gradient)


@pytest.mark.parametrize("lead", [_part, _hook, _hook_of_its_weight])
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("make", [nn.ReLU, Own])
def test_what_leads_to_the_model_does_not_keep_it_alive(
    lead: Callable[[nn.Module], object], before: bool, make: type[nn.Module]
) -> None:
    model = made()
    model[0][4] = make()
    if before:
        lead(model)
    known = known_of(model)
    assert known_of(model) is known
    if not before:  # nobody asks for it again
        lead(model)
    gone = weakref.ref(model)
    del model, known
    gc.collect()
    assert gone() is None
