"""A split is kept as long as its model lives, and sees every change of it."""

from __future__ import annotations

import copy
import gc
import weakref

import pytest
import torch
from cutting_cases import IMAGES, equals_the_model
from small import Small, randomised, small
from torch import nn

import funcam
from funcam import FuncamError
from funcam.network import known


def test_a_model_is_traced_once_and_cut_once_for_each_layer(monkeypatch):
    traces, cuts = [], []
    trace, make_cut = known.trace, known.make_cut
    monkeypatch.setattr(known, "trace", lambda model: traces.append(model) or trace(model))
    monkeypatch.setattr(known, "make_cut", lambda *args: cuts.append(args[1]) or make_cut(*args))
    model = small()
    for layer in ["stem", "blocks.0", "stem", None, "blocks.1"]:
        funcam.split(model, layer)(IMAGES)
        funcam.explain(model, IMAGES, layer=layer)
    funcam.guided(model)
    funcam.list_layers(model)
    model.train().requires_grad_(False)
    funcam.split(model)(IMAGES)
    assert len(traces) == 1
    assert cuts == ["stem", "blocks.0", "blocks", "blocks.1"]
    funcam.split(small())
    assert len(traces) == 2


def test_nothing_keeps_the_model_alive():
    model = small()
    model.own = model.forward  # a method of its own among its settings
    cut = funcam.split(model)
    result = funcam.explain(model, IMAGES, method="guided-grad-cam")
    funcam.list_layers(model)
    A, head = cut(IMAGES)
    want = model(IMAGES)
    gone, part = weakref.ref(model), weakref.ref(model.blocks[0])
    del model
    gc.collect()
    assert gone() is None
    assert part() is None
    torch.testing.assert_close(head(A), want)  # but a split still computes
    torch.testing.assert_close(cut(IMAGES)[0], A)
    assert result.maps.shape == (2, 3, 32, 32)
    guided = funcam.explain(cut, IMAGES, method="guided-grad-cam").maps  # by the modules that it kept
    torch.testing.assert_close(guided, result.maps)


def test_the_cache_lets_go_of_the_tensors_too():
    model = small()
    funcam.explain(model, IMAGES, method="guided-grad-cam")
    weight = weakref.ref(model.fc.weight)
    del model
    gc.collect()
    assert weight() is None


def shrink(model):
    with torch.no_grad():
        model.stem[0].weight.mul_(0.5)
        model.fc.bias.add_(1)


def load(model):
    model.load_state_dict(randomised(Small(), 5).state_dict())


def load_assign(model):
    model.load_state_dict(randomised(Small(), 5).state_dict(), assign=True)


def new_fc(model):
    model.fc = nn.Linear(6, 7)


def new_activation(model):
    model.blocks[1].relu = nn.Tanh()


def new_block(model):
    model.blocks[0] = nn.Conv2d(6, 6, 1)


def new_eps(model):
    model.blocks[1].bn2.eps = 0.7


def statistics(model):
    model.train()
    model(torch.randn(8, 3, 32, 32))


def half_statistics(model):
    model.stem[1].running_var = model.stem[1].running_var * 2


def own_forward(model):
    model.blocks[1].forward = lambda x: 2 * x


@pytest.mark.parametrize(
    "change",
    [
        *(shrink, load, load_assign, new_fc, new_activation, new_block, new_eps, statistics, half_statistics),
        own_forward,
    ],
)
def test_changes_of_the_model_are_seen_by_a_split_made_before(change):
    model = small()
    cut = funcam.split(model, "stem")
    A, head = cut(IMAGES)
    old = head(A)
    change(model)
    new = equals_the_model(cut, model, IMAGES)[1](cut(IMAGES)[0])
    assert old.shape != new.shape or (old - new).abs().max() > 1e-3
    equals_the_model(funcam.split(model, "stem"), model, IMAGES)
    result = funcam.explain(cut, IMAGES)
    torch.testing.assert_close(result.logits, copy.deepcopy(model).eval()(IMAGES).detach())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_change_of_type_is_seen(dtype):
    model = small()
    cut = funcam.split(model)
    cut(IMAGES)
    model.to(dtype)
    A, head = cut(IMAGES.to(dtype))
    assert A.dtype == head(A).dtype == dtype
    torch.testing.assert_close(head(A), model(IMAGES.to(dtype)))


def test_a_layer_that_was_removed_since_is_named():
    model = small()
    cut = funcam.split(model, "blocks.1.conv2")
    model.blocks[1] = nn.Identity()
    with pytest.raises(FuncamError, match=r"layer 'blocks.1.conv2' is not in Small"):
        cut(IMAGES)


@pytest.mark.usefixtures("quick_collections")
def test_replacing_modules_again_and_again_is_always_seen():
    """Freed modules' addresses are used again: an ``id`` alone would not tell a new module from an old one."""
    model = small()
    cut = funcam.split(model, "stem")
    for seed in range(12):
        torch.manual_seed(seed)
        model.fc = nn.Linear(6, 5)
        model.blocks[1].relu = [nn.ReLU, nn.Tanh, nn.SiLU][seed % 3]()
        A, head = cut(IMAGES)
        torch.testing.assert_close(head(A), model(IMAGES))
        gc.collect()
