"""Which hooks certainly only watch: told by their code, and where there is a doubt, not."""

from __future__ import annotations

import functools

import pytest
import torch
from small import small
from torch import nn

import funcam
from funcam.network.watching import only_watches

KEPT, NAMED = [], {}


class Recorder:
    def __init__(self):
        self.kept, self.named, self.on, self.last = [], {}, True, None

    def append(self, _module, _given, out):
        self.kept.append(out.detach().cpu())

    def name(self, _module, _given, out, name):
        self.named[name] = out.data

    def set_last(self, _module, _given, out):
        if self.on:
            self.last = out

    def __call__(self, _module, given, _out):
        for tensor in given:
            self.kept.append(tensor)


class Careful(Recorder):
    def __setattr__(self, name, value):
        super().__setattr__(name, value.zero_() if isinstance(value, torch.Tensor) else value)


def named(name):
    def hook(_module, _given, out):
        NAMED[name] = out.detach()

    return hook


@torch.no_grad()
def reported(module, _given, out):
    if torch.isnan(out).any():
        print(f"NaN behind {module}", out.shape)


def checked(_module, _given, out):
    assert isinstance(out, torch.Tensor)


def in_closure():
    kept = []
    return lambda *_: kept.append(1)


RECORDER = Recorder()
WATCHING = (
    *(print, reported, checked, named("x"), in_closure(), lambda *_: None, lambda _m, _i, out: KEPT.append(out)),
    *(RECORDER.append, RECORDER.set_last, RECORDER, functools.partial(RECORDER.name, name="x")),
    *(lambda _m, _i, out: NAMED.update(x=out), lambda _m, _i, out: KEPT.append((out.size(0), len(KEPT)))),
    lambda *given: KEPT.append(given[2].max().item()),
)


@pytest.mark.parametrize("hook", WATCHING)
def test_hooks_whose_code_only_looks_are_believed(hook):
    assert only_watches(hook)
    model = small(5).eval()
    model.blocks.register_forward_hook(hook)
    assert funcam.split(model, "blocks.1", example=torch.randn(1, 3, 32, 32)).way == "fx"


def in_place(_m, _i, out):
    out.clamp_(max=1)


def by_entry(_m, _i, out):
    out[out > 1] = 1


def by_operator(_m, _i, out):
    out *= 0.5


def by_out(_m, _i, out):
    torch.mean(out, out=out)


def by_array(_m, _i, out):
    numbers = out.detach().numpy()
    numbers[:] = 0


def by_bound_method(_m, _i, out):
    clamp = out.clamp_
    clamp(max=1)


def by_inner_function(_m, _i, out):
    def inner():
        out.zero_()

    inner()


def by_argument(_m, _i, out):
    print(out.clamp_(max=1))


def by_keywords(_m, _i, given):
    given.update(x=2)


def by_choice(_m, _i, out):
    (out if out.max() > 1 else NAMED)["x"] = 1


def by_choice_of_call(module, _i, out):
    (module if out.max() > 1 else print)(out)


def by_call_with_choice(module, given, out):
    module(out.shape, out, out if out.max() else given)


def by_module(module, _i, _out):
    module.slope = 2


def by_moving(module, _i, _out):
    other = module
    other.float()


def by_handler(_m, _i, out):
    try:
        assert out.max() < 1
    except AssertionError:
        out.zero_()


def by_tensor_hook(_m, _i, out):
    out.register_hook(lambda g: 2 * g)


ACTING = (
    *(in_place, by_entry, by_operator, by_out, by_array, by_bound_method, by_inner_function, by_argument, by_keywords),
    *(by_choice, by_choice_of_call, by_call_with_choice, by_module, by_moving, by_handler, by_tensor_hook),
    *(nn.ReLU(), torch.relu, functools.partial(torch.clamp, max=1), Careful().set_last),
    *(lambda _m, _i, out: out.clamp(max=1), lambda _m, _i, out: KEPT.append(out) or out.clamp(max=1)),
    *(lambda _m, _i, out: [KEPT.append(1), out][1].detach(), lambda _m, _i, out: (KEPT.append(1), out)[1]),
    *(lambda _m, _i, out: out if out.max() < 1 else None, lambda _m, _i, out: out and KEPT.append(1)),
)


@pytest.mark.parametrize("hook", ACTING)
def test_hooks_that_may_act_are_not_believed(hook):
    assert not only_watches(hook)


def test_what_the_model_reads_is_nothing_to_watch_into():
    """A list that a hook fills, and the model's code looks into for some images."""

    class Reading(nn.Module):
        def __init__(self, kept):
            super().__init__()
            self.kept, self.conv, self.fc = kept, nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

        def forward(self, x):
            y = self.conv(x)
            return self.fc((self.kept[-1] if len(self.kept) > 99 else y).mean((2, 3)))

    kept, images = [], torch.randn(2, 3, 8, 8)
    for known, way in ((kept, "tap"), ([], "fx")):
        model = Reading(known).eval()
        model.conv.register_forward_hook(lambda _m, _i, out: kept.append(2 * out))
        assert funcam.split(model, "conv", example=images).way == way
