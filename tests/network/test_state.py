"""An explanation is of the model as it is now, whatever of it was changed since the last one."""

from __future__ import annotations

import dataclasses
import types

import numpy as np
import pytest
import torch
from by_hand import Base, grad_cam

import funcam
from funcam.network.state import hooks_state, signature

IMAGES = torch.randn(2, 3, 16, 20, generator=torch.Generator().manual_seed(1))
FACTOR = 1.0
SETTINGS = {"factor": 1.0}


class Config:
    """A plain object."""

    def __init__(self):
        self.factor = 1.0


@dataclasses.dataclass
class Nested:
    inner: Config = dataclasses.field(default_factory=Config)


class Fixed:
    factor = 1.0


class OwnList(list):
    """A list with a field."""


def helped(y):
    return y * FACTOR


class Times(Base):
    """The logits times a factor that stands somewhere."""

    factor = 1.0

    def forward(self, x):
        return self.body(x) * self.where()

    def where(self):
        return self.factor


HOLDERS = {
    "an object": (Config(), lambda h: h.factor, lambda h: setattr(h, "factor", -2.0)),
    "an object in an object": (Nested(), lambda h: h.inner.factor, lambda h: setattr(h.inner, "factor", -2.0)),
    "a namespace": (
        types.SimpleNamespace(factor=1.0),
        lambda h: h.factor,
        lambda h: setattr(h, "factor", -2.0),
    ),
    "nested dicts": (
        {"head": {"factors": [1.0]}},
        lambda h: h["head"]["factors"][0],
        lambda h: h["head"]["factors"].__setitem__(0, -2.0),
    ),
    "a tensor": (torch.tensor(1.0), lambda h: h, lambda h: h.fill_(-2)),
    "a tensor in a tuple": ((torch.tensor(1.0),), lambda h: h[0], lambda h: h[0].fill_(-2)),
    "an array": (np.ones(1), lambda h: float(h[0]), lambda h: h.fill(-2)),
    "a large array": (np.ones(100_000), lambda h: float(h[0]), lambda h: h.fill(-2)),
    "a field of a list": (OwnList(), lambda h: getattr(h, "factor", 1.0), lambda h: setattr(h, "factor", -2.0)),
}


def changed_after(model, change):
    """A first explanation, the change, a second one: that of the model as it is then."""
    before = funcam.explain(model, IMAGES, 1, layer="conv").outputs
    change()
    result = funcam.explain(model, IMAGES, 1, layer="conv")
    maps, outputs = grad_cam(model, IMAGES, 1)
    torch.testing.assert_close(result.outputs, outputs)
    torch.testing.assert_close(result.maps, maps)
    assert not torch.allclose(before, outputs), "the change does something"


@pytest.mark.parametrize("name", HOLDERS)
def test_what_a_module_holds(name):
    holder, read, write = HOLDERS[name]

    class Holding(Times):
        def prepare(self):
            self.holder = holder

        def where(self):
            return read(self.holder)

    changed_after(Holding().eval(), lambda: write(holder))


def by_attribute(model, monkeypatch):
    monkeypatch.setattr(type(model), "factor", -2.0)


def by_method(model, monkeypatch):
    monkeypatch.setattr(type(model), "where", lambda self: -2.0)


def by_forward(model, monkeypatch):
    monkeypatch.setattr(type(model), "forward", lambda self, x: self.body(x) * -2)


def by_property(model, monkeypatch):
    monkeypatch.setattr(type(model), "where", property(lambda self: lambda: -2.0))


@pytest.mark.parametrize("change", [by_attribute, by_method, by_forward, by_property])
def test_a_class_that_is_changed(change, monkeypatch):
    class Own(Times):
        factor = 1.0

    model = Own().eval()
    changed_after(model, lambda: change(model, monkeypatch))


class OfGlobal(Times):
    def where(self):
        return FACTOR


class OfGlobalDict(Times):
    def where(self):
        return SETTINGS["factor"]


class OfHelper(Times):
    def forward(self, x):
        return helped(self.body(x))


class OfClass(Times):
    def where(self):
        return Fixed.factor


def test_globals_that_code_names(monkeypatch):
    here = globals()
    for model in (OfGlobal(), OfHelper()):
        changed_after(model.eval(), lambda: monkeypatch.setitem(here, "FACTOR", -2.0))
        monkeypatch.setitem(here, "FACTOR", 1.0)
    changed_after(OfGlobalDict().eval(), lambda: monkeypatch.setitem(SETTINGS, "factor", -2.0))
    changed_after(OfClass().eval(), lambda: monkeypatch.setattr(Fixed, "factor", -2.0))


class Switch:
    """A hook that does nothing until it is switched on."""

    def __init__(self):
        self.channel = None

    def __call__(self, _module, _given, output):
        if self.channel is None:
            return None
        output = output.clone()
        output[:, self.channel] = 0
        return output

    def method(self, module, given, output):
        return self(module, given, output)


@pytest.mark.parametrize("kind", ["object", "method", "closure", "variable"])
def test_hooks_that_are_switched_on_later(kind):
    model, switch, flags, on = Base().eval(), Switch(), {"on": False}, False

    def by_variable(_module, _given, output):
        return output * -3 if on else None

    def turn():
        nonlocal on
        on = flags["on"] = True
        switch.channel = slice(0, 5)

    hooks = {
        "object": switch,
        "method": switch.method,
        "closure": lambda _m, _g, output: output * -3 if flags["on"] else None,
        "variable": by_variable,
    }
    model.conv.register_forward_hook(hooks[kind])
    changed_after(model, turn)


def test_signatures_of_a_model_that_stays_as_it_is_are_equal():
    class Holding(Times):
        def prepare(self):
            self.holders = [holder for holder, _, _ in HOLDERS.values()]

    model = Holding()
    seen = []
    model.register_forward_hook(lambda *_: seen.append(1))
    before, hooks = signature(model), hooks_state(model)
    with torch.no_grad():
        model.fc.weight.mul_(2)
    model.train()
    assert (signature(model), hooks_state(model)) == (before, hooks)
    model(IMAGES)
    assert signature(model) == before
    assert hooks_state(model) != hooks
