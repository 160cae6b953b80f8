"""Settings of every kind that Python has, changed between two calls: what is computed is the model as it is then."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import operator
import types
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from by_hand import Base, grad_cam
from torch import Tensor, nn

import funcam
from funcam import FuncamError
from funcam.network.state import signature

IMAGES = torch.randn(2, 3, 16, 20, generator=torch.Generator().manual_seed(1))
Pair = collections.namedtuple("Pair", "first second")
Read = Callable[[Any], float]
Change = Callable[[Any], object]


class Mode(enum.StrEnum):
    PLUS = "plus"
    MINUS = "minus"


class Number(float):
    """A number of a class of the caller's."""


class Slots:
    __slots__ = ("factor",)

    def __init__(self) -> None:
        self.factor = 1.0


class Made:
    """A class with a `__new__` of its own."""

    def __new__(cls) -> Made:
        return super().__new__(cls)

    def __init__(self) -> None:
        self.factor = 1.0


def doubled() -> float:
    return doubled.factor


doubled.factor = 1.0


class Times(Base):
    """The logits times a factor, read from a setting."""

    def __init__(self, value: Any, read: Read) -> None:
        super().__init__()
        self.value, self.read = value, read

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) * self.read(self.value)


def explained(model: nn.Module, change: Callable[[nn.Module], object]) -> None:
    """Explain and split a model, change it, and do it again: beside autograd by hand."""
    before = funcam.explain(model, IMAGES, 1, layer="conv").outputs
    split = funcam.split(model, "conv", example=IMAGES)
    change(model)
    result = funcam.explain(model, IMAGES, 1, layer="conv")
    A, head = split(IMAGES)
    maps, outputs = grad_cam(model, IMAGES, 1)
    assert not torch.allclose(before, outputs), "the change does something"
    torch.testing.assert_close(result.outputs, outputs)
    torch.testing.assert_close(result.maps, maps)
    torch.testing.assert_close(head(A), outputs)


def replaced(value: Any) -> Change:
    return lambda model: setattr(model, "value", value)


OTHERS: dict[str, tuple[Any, Any, Read]] = {
    "np.float64": (np.float64(1), np.float64(-3), float),
    "np.float32": (np.float32(1), np.float32(-3), float),
    "np.int64": (np.int64(1), np.int64(-3), float),
    "np.bool_": (np.bool_(1), np.bool_(0), lambda v: 1.0 if v else -3.0),
    "np.complex64": (np.complex64(1), np.complex64(-3), lambda v: float(v.real)),
    "np.str_": (np.str_("a"), np.str_("b"), lambda v: 1.0 if v == "a" else -3.0),
    "np.datetime64": (np.datetime64("2020-01-01"), np.datetime64("2021-01-01"), lambda v: float(v.astype(int)) / 1e4),
    "np.dtype": (np.dtype("f4"), np.dtype("f8"), lambda v: float(v.itemsize)),
    "Decimal": (decimal.Decimal(1), decimal.Decimal(-3), float),
    "Fraction": (fractions.Fraction(1), fractions.Fraction(-3), float),
    "complex": (1 + 0j, -3 + 0j, lambda v: v.real),
    "bytes": (b"\1", b"\3", lambda v: float(v[0])),
    "bytearray": (bytearray(b"\1"), bytearray(b"\3"), lambda v: float(v[0])),
    "range": (range(1), range(3), lambda v: float(len(v))),
    "slice": (slice(1), slice(3), lambda v: float(v.stop)),
    "date": (datetime.date(2020, 1, 1), datetime.date(2020, 1, 3), lambda v: float(v.day)),
    "timedelta": (datetime.timedelta(1), datetime.timedelta(3), lambda v: float(v.days)),
    "namedtuple": (Pair(1.0, 0), Pair(-3.0, 0), lambda v: v.first),
    "frozenset": (frozenset({1}), frozenset({1, 2, 3}), lambda v: float(len(v))),
    "a number's own class": (Number(1), Number(-3), float),
    "an enum": (Mode.PLUS, Mode.MINUS, lambda v: 1.0 if v is Mode.PLUS else -3.0),
    "another type of number": (True, 1, lambda v: 1.0 if v is True else -3.0),
    "an attrgetter": (operator.attrgetter("real"), operator.attrgetter("imag"), lambda v: v(1 - 3j)),
    "a layout": (torch.contiguous_format, torch.channels_last, lambda v: 1.0 if v is torch.contiguous_format else -3.0),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_value_of_any_kind(name: str) -> None:
    first, second, read = OTHERS[name]
    explained(Times(first, read).eval(), replaced(second))
    explained(Times({"held": [(first,)]}, lambda v: read(v["held"][0][0])).eval(), replaced({"held": [(second,)]}))


def _deep(levels: int) -> dict[str, Any]:
    held: dict[str, Any] = {"factor": 1.0}
    for _ in range(levels):
        held = {"inner": [held]}
    return held


def _deepest(held: dict[str, Any]) -> dict[str, Any]:
    while "inner" in held:
        (held,) = held["inner"]
    return held


def _set(name: Any, value: Any = -3.0) -> Change:
    return lambda holder: holder.__setitem__(name, value)


def _field(holder: Any) -> object:
    holder.factor = -3.0
    return None


def _bound() -> Callable[[str], float]:
    return {"factor": 1.0}.get  # type: ignore[return-value]


HELD: dict[str, tuple[Callable[[], Any], Read, Change]] = {
    "a late entry of a list": (lambda: [1.0] * 1000, lambda v: v[800], _set(800)),
    "a late entry of mixed kinds": (lambda: [1.0, [0]] * 1000, lambda v: v[1800], _set(1800)),
    "a late entry of a dict": (lambda: dict.fromkeys(range(1000), 1.0), lambda v: v[800], _set(800)),
    "a late tensor of a dict, in place": (
        lambda: {key: torch.ones(2000) for key in range(100)},
        lambda v: v[80].mean(),
        lambda v: v[80].fill_(-3),
    ),
    "thirty levels deep": (lambda: _deep(30), lambda v: _deepest(v)["factor"], lambda v: _deepest(v).update(factor=-3)),
    "one of many numbers": (lambda: np.ones(200_000), lambda v: float(v[100_003]), _set(100_003)),
    "an array of objects": (lambda: np.array([1.0, None]), lambda v: v[0], _set(0)),
    "array.array": (lambda: array.array("d", [1.0]), lambda v: v[0], _set(0)),
    "bytearray": (lambda: bytearray(b"\1"), lambda v: float(v[0]), _set(0, 3)),
    "slots": (Slots, lambda v: v.factor, _field),
    "a class with a __new__": (Made, lambda v: v.factor, _field),
    "a distribution": (
        lambda: torch.distributions.Normal(1.0, 1.0),
        lambda v: float(v.loc),
        lambda v: setattr(v, "loc", torch.tensor(-3.0)),
    ),
    "a bound method of a dict": (_bound, lambda v: v("factor"), lambda v: _set("factor")(v.__self__)),
    "a field of a function": (lambda: doubled, lambda v: v(), _field),
    "a class": (lambda: type("Held", (), {"factor": 1.0}), lambda v: v.factor, _field),
}


@pytest.mark.parametrize("name", HELD)
def test_what_is_changed_inside_a_value(name: str) -> None:
    make, read, change = HELD[name]
    explained(Times(make(), read).eval(), lambda model: change(model.value))


UNCOPIED: dict[str, tuple[Callable[[], Any], Read, Change]] = {
    "a proxy": (lambda: types.MappingProxyType({"k": [1.0]}), lambda v: v["k"][0], lambda v: _set(0)(v["k"])),
    "a module of Python's": (lambda: types.ModuleType("settings"), lambda v: getattr(v, "factor", 1.0), _field),
}


@pytest.mark.parametrize("name", UNCOPIED)
def test_what_has_no_copies(name: str) -> None:
    make, read, change = UNCOPIED[name]
    model = Times(make(), read).eval()
    funcam.explain(model, IMAGES, 1, layer="conv")
    change(model.value)
    torch.testing.assert_close(funcam.explain(model, IMAGES, 1, layer="conv").outputs, model(IMAGES).detach())


def test_what_is_behind_a_weak_reference() -> None:
    holder = Made()
    explained(Times(weakref.ref(holder), lambda v: v().factor).eval(), lambda _: _field(holder))


class Switched(Base):
    """One of the things that it holds is in use."""

    def __init__(self, choices: dict[str, Any]) -> None:
        super().__init__()
        self.choices, self.used = choices, choices["a"]

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        used = self.used
        return used(y) if callable(used) else y * used["factor"]


CHOICES = {
    "functions": {"a": torch.relu, "b": lambda y: -3 * y},
    "functions of the caller's": {"a": lambda y: y, "b": lambda y: -3 * y},
    "configurations": {"a": {"factor": 1.0}, "b": {"factor": -3.0}},
    "objects": {"a": collections.UserDict(factor=1.0), "b": collections.UserDict(factor=-3.0)},
    "modules": {"a": nn.Identity(), "b": nn.Tanh()},
}


@pytest.mark.parametrize("name", CHOICES)
def test_a_switch_between_things_that_it_holds(name: str) -> None:
    explained(Switched(dict(CHOICES[name])).eval(), lambda model: setattr(model, "used", model.choices["b"]))


class Early(Base):
    """Fields that are set before `nn.Module` sets its own."""

    def __init__(self) -> None:
        self.factor, self.calls = 1.0, []
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append(1)
        return self.body(x) * self.factor


@dataclasses.dataclass(eq=False)
class Data(nn.Module):
    factor: float = 1.0

    def __post_init__(self) -> None:
        super().__init__()
        made = Base()
        self.conv, self.fc, self.made = made.conv, made.fc, made

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).relu().mean((2, 3))) * self.factor


@pytest.mark.parametrize("make", [Early, Data])
def test_fields_before_those_of_the_module(make: type[nn.Module]) -> None:
    explained(make().eval(), lambda model: setattr(model, "factor", -3.0))


def test_a_list_before_those_of_the_module_is_the_twins_own() -> None:
    model = Early().eval()
    funcam.explain(model, IMAGES, 1, layer="conv")
    assert model.calls == []


class Renamed(Base):
    def __init__(self) -> None:
        super().__init__()
        self.upright = True

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) * (1.0 if hasattr(self, "upright") else -3.0)


def _rename(model: nn.Module) -> None:
    del model.upright
    model.flipped = True


def test_a_field_of_another_name() -> None:
    explained(Renamed().eval(), _rename)


def test_a_buffer_of_another_name() -> None:
    model = nn.Module()
    model.register_buffer("one", torch.ones(1))
    before = signature(model)
    model._buffers["two"] = model._buffers.pop("one")
    assert signature(model) != before


def test_a_slope_of_numpys() -> None:
    """A network of a library's modules only, which is known again by its tables."""
    model = nn.Sequential(
        collections.OrderedDict(
            conv=nn.Conv2d(3, 8, 3),
            act=nn.LeakyReLU(np.float64(0.01)),
            pool=nn.AdaptiveAvgPool2d(1),
            flat=nn.Flatten(),
            fc=nn.Linear(8, 5),
        )
    )
    explained(model.eval(), lambda model: setattr(model.act, "negative_slope", np.float64(-2)))


def test_a_prepared_function_knows_that_a_setting_was_changed() -> None:
    for first, second, read in (OTHERS["np.float64"], OTHERS["an enum"]):
        model = Times(first, read).eval()
        run = funcam.prepare(model, "conv", example=IMAGES, targets=1, backend=None)
        assert not run.stale()
        model.value = second
        assert run.stale()
        with pytest.raises(FuncamError, match="changed since it was prepared"):
            run(IMAGES)


class Steering:
    """A hook that does nothing at first."""

    def __init__(self, strength: Any) -> None:
        self.strength = strength

    def __call__(self, _module: nn.Module, _given: Any, output: Tensor) -> Tensor:
        return output + self.strength[-1] * 1.0


def _by_weight(hook: nn.Module) -> None:
    with torch.no_grad():
        hook.weight.fill_(3.0)


@pytest.mark.parametrize("kind", ["np.float32", "a late entry", "a weight"])
def test_a_hook_that_is_switched_on_later(kind: str) -> None:
    """The hook's module is no part of the model, so that its weights are what the hook holds."""
    model, steered = Base().eval(), nn.PReLU(init=0.0)
    if kind == "a weight":
        model.conv.register_forward_hook(lambda _m, _g, output: output + steered.weight.sum())
        explained(model, lambda _: _by_weight(steered))
        return
    steering = Steering([np.float32(0)] if kind == "np.float32" else [0.0] * 512)
    model.conv.register_forward_hook(steering)
    explained(model, lambda _: steering.strength.__setitem__(-1, np.float32(3)))


def test_signatures_of_all_kinds_are_equal_while_nothing_changes() -> None:
    model = Base()
    model.values = [value for first, second, _ in OTHERS.values() for value in (first, second)]
    model.held = [make() for make, _, _ in (*HELD.values(), *UNCOPIED.values())]
    model.switched = [Switched(choices) for choices in CHOICES.values()]
    model.parent = weakref.ref(model)
    model.loop = model.__dict__["values"]
    model.loop.append(model.loop)
    assert signature(model) == signature(model)
