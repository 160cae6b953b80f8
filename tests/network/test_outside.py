"""What a model's code keeps outside of its modules: nothing of a trace or a derivative is ever left there."""

from __future__ import annotations

import copy
import functools
import gc
import pickle
import types
import weakref

import pytest
import torch
from by_hand import Base, grad_cam
from torch import nn

import funcam

IMAGES = torch.randn(2, 3, 16, 20, generator=torch.Generator().manual_seed(1))
GLOBAL: dict[str, torch.Tensor] = {}
SHAPES: dict[object, torch.Tensor] = {}
LATEST = None


def scale_in(cache, y):
    if "scale" not in cache:
        cache["scale"] = torch.arange(y.shape[-1], device=y.device).to(y.dtype) + 1
    return y * cache["scale"]


class Scaled(Base):
    """Multiplied by a row of numbers that is made once and kept."""

    def cache(self):
        raise NotImplementedError

    def forward(self, x):
        return self.fc(scale_in(self.cache(), self.features(x)).mean((2, 3)))


class InClass(Scaled):
    kept: dict[str, torch.Tensor] = {}  # noqa: RUF012 - shared, which is the point

    def cache(self):
        return InClass.kept


class InGlobal(Scaled):
    def cache(self):
        return GLOBAL


class Registry:
    kept: dict[str, torch.Tensor] = {}  # noqa: RUF012


class InAnotherClass(Scaled):
    def cache(self):
        return Registry.kept


class Slotted:
    __slots__ = ("kept",)

    def __init__(self):
        self.kept = None


class InSlots(Base):
    def prepare(self):
        self.helper = Slotted()

    def forward(self, x):
        y = self.features(x)
        if self.helper.kept is None:
            self.helper.kept = y.new_ones(y.shape[-1]) * 2
        return self.fc((y * self.helper.kept).mean((2, 3)))


class InSpace(InSlots):
    def prepare(self):
        self.helper = types.SimpleNamespace(kept=None)


class OwnDict(dict):
    """A dict whose keys aren't what was given."""

    def __setitem__(self, key, value):
        super().__setitem__(("own", key), value)

    def __getitem__(self, key):
        return super().__getitem__(("own", key))

    def __contains__(self, key):
        return super().__contains__(("own", key))


class InOwnDict(Scaled):
    def prepare(self):
        self.kept = OwnDict()

    def cache(self):
        return self.kept


class InGlobalName(Base):
    def forward(self, x):
        global LATEST
        LATEST = self.features(x)
        return self.fc(LATEST.mean((2, 3)))


class ByShape(Base):
    def forward(self, x):
        if x.shape not in SHAPES:
            SHAPES[x.shape] = torch.ones(6) * 2
        return self.fc(self.features(x).mean((2, 3)) * SHAPES[x.shape])


@functools.cache
def row(length):
    return torch.arange(length) + 1.0


class Cached(Base):
    def forward(self, x):
        y = self.features(x)
        return self.fc((y * row(y.shape[-1])).mean((2, 3)))


def in_closure():
    model, kept = Base(), {}
    model.forward = lambda x: model.fc(scale_in(kept, model.features(x)).mean((2, 3)))
    return model


def in_variable():
    model, kept = Base(), None

    def forward(x):
        nonlocal kept
        y = model.features(x)
        if kept is None:
            kept = y.new_ones(y.shape[-1]) * 2
        return model.fc((y * kept).mean((2, 3)))

    model.forward = forward
    return model


def in_method():
    kept = {}

    class Local(Scaled):
        def cache(self):
            return kept

    return Local()


MAKERS = (
    *(InClass, InGlobal, InAnotherClass, InSlots, InSpace, InOwnDict, InGlobalName, ByShape, Cached, in_closure),
    *(in_variable, in_method),
)


@pytest.mark.parametrize("make", MAKERS)
def test_the_model_works_afterwards_as_it_did(make):
    for cache in (GLOBAL, SHAPES, InClass.kept, Registry.kept):
        cache.clear()
    row.cache_clear()
    torch.manual_seed(0)
    model = make().eval()
    for _ in range(2):  # with the cache empty, and filled
        result = funcam.explain(model, IMAGES, 1, layer="conv")
        again = model(IMAGES)
        assert type(again) is torch.Tensor
        maps, outputs = grad_cam(model, IMAGES, 1)
        torch.testing.assert_close(result.maps, maps)
        torch.testing.assert_close(result.outputs, outputs)
        torch.testing.assert_close(again, outputs)
    assert all(isinstance(key, str | torch.Size) for key in (*GLOBAL, *SHAPES))


def test_what_a_helper_holds_is_not_written():
    for make in (InSlots, InSpace, InOwnDict):
        model = make().eval()
        funcam.explain(model, IMAGES, 1, layer="conv")
        assert not getattr(model, "kept", None)
        assert getattr(getattr(model, "helper", None), "kept", None) is None


class Branching(Base):
    """`torch.fx` can't follow it, so that it is tapped."""

    latest = None

    def prepare(self):
        self.helper = types.SimpleNamespace(y=None)

    def forward(self, x):
        y = self.features(x)
        if y.max().item() > 1e9:
            y = y * 2
        self.helper.y = Branching.latest = y
        return self.fc(y.mean((2, 3)))


def test_no_wrapper_of_a_derivative_is_left_behind_a_tap():
    model = Branching().eval()
    funcam.explain(model, IMAGES, 1, layer="conv")
    assert funcam.split(model, "conv", example=IMAGES).way == "tap"
    assert model.helper.y is None
    assert not torch._C._functorch.is_functorch_wrapped_tensor(Branching.latest)
    pickle.dumps(model)
    copy.deepcopy(model)


def test_a_mark_stays_itself():
    class Marked(Base):
        def prepare(self):
            self.option = MISSING

        def forward(self, x):
            return self.body(x) if self.option is MISSING else self.body(-x)

    model = Marked().eval()
    torch.testing.assert_close(funcam.explain(model, IMAGES, 1, layer="conv").outputs, model(IMAGES))


class Mark:
    """Nothing but itself."""


MISSING = Mark()


class Remembering(Base):
    def forward(self, x):
        self.latest = y = self.features(x)
        return self.fc(y.mean((2, 3)))


@pytest.mark.parametrize("make", [Remembering, ByShape, InClass])
def test_a_model_that_remembers_is_freed_at_once(make):
    SHAPES.clear()
    model: nn.Module | None = make().eval()
    alive = weakref.ref(model.fc.weight)
    gc.collect()
    gc.disable()
    try:
        funcam.explain(model, IMAGES, 1, layer="conv")
        del model
        assert alive() is None
    finally:
        gc.enable()


class Chain:
    """An object that holds the next."""

    def __init__(self, following):
        self.following = following


def test_a_long_chain_of_objects_is_no_trouble():
    class Chained(Base):
        def prepare(self):
            self.first, self.nested = None, []
            for _ in range(3000):
                self.first, self.nested = Chain(self.first), [self.nested]

    model = Chained().eval()
    torch.testing.assert_close(funcam.explain(model, IMAGES, 1, layer="conv").outputs, model(IMAGES))
