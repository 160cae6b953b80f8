"""What is kept of a model is freed with it at once, without the garbage collector, and is never more than a little."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from small import small
from torch import nn

import funcam
from funcam import FuncamError
from funcam.network.finer import finer_layer
from funcam.network.known import known_of

IMAGES = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))


class Moody(nn.Module):
    """A model that only a tap can follow."""

    def __init__(self):
        super().__init__()
        self.net = small()

    def forward(self, x):
        return self.net(x) if x.sum() > -1e9 else -self.net(x)


def halved(model):
    model.register_forward_hook(lambda _m, _i, logits: logits / 2)
    return model


def failing(model):
    model.register_forward_hook(lambda *_: 1 / 0)
    return model


def last(model):
    return "fc" if hasattr(model, "fc") else "net.fc"


CALLS = {
    **{
        method: lambda m, method=method: funcam.explain(m, IMAGES, method=method)
        for method in (
            *("grad-cam", "ablation-cam", "prototype-cam", "finer-cam", "score-cam", "guided-backprop", "full-grad"),
            *("cam", "smooth-grad", "dff", "ss-cam"),
        )
    },
    "several layers": lambda m: funcam.explain(m, IMAGES, layer=[n for n, _ in m.named_modules() if "conv" in n][:2]),
    "list": lambda m: funcam.list_layers(m, IMAGES),
    "split": lambda m: funcam.split(m)(IMAGES),
    "hooks": lambda m: funcam.explain(halved(m), IMAGES),
    "without hooks": lambda m: funcam.explain(halved(m), IMAGES, hooks=False),
    "failing hook": lambda m: funcam.explain(failing(m), IMAGES),
    "unknown layer": lambda m: funcam.explain(m, IMAGES, layer="nowhere"),
    "no feature map": lambda m: funcam.explain(m, IMAGES, layer=last(m)),
    "images": lambda m: funcam.explain(m, IMAGES[:, :2]),
    "type": lambda m: funcam.explain(m, IMAGES.double()),
    "class": lambda m: funcam.explain(m, IMAGES, [99]),
    "not finite": lambda m: funcam.explain(m, IMAGES * float("nan")),
    "by fx alone": lambda m: funcam.split(m, via="fx", example=IMAGES),
}


def called(name, model):
    """Call, and keep the message alone."""
    try:
        CALLS[name](model)
    except FuncamError as error:
        return str(error)
    return ""


@pytest.mark.usefixtures("quick_collections")
@pytest.mark.parametrize("make", [small, Moody])
@pytest.mark.parametrize("name", CALLS)
def test_a_model_is_freed_at_once(name, make):
    called(name, make())  # imports, and what torch makes once
    gc.collect()
    gc.disable()
    try:
        model = make()
        parameters = [weakref.ref(parameter) for parameter in model.parameters()]
        called(name, model)
        del model
        assert not [kept for kept in parameters if kept() is not None]
    finally:
        gc.enable()


@torch.no_grad()
def test_a_split_outlives_its_model_and_keeps_what_it_needs():
    for make in (small, Moody):
        model = make().eval()
        want, split = model(IMAGES), funcam.split(model, example=IMAGES)
        weight, gone = weakref.ref(next(model.parameters())), weakref.ref(model)
        del model
        assert gone() is None
        A, head = split(IMAGES)
        torch.testing.assert_close(head(A), want)
        wide = torch.cat([IMAGES, IMAGES], -1)
        assert split(wide)[0].shape[-1] == 2 * A.shape[-1], "images of another kind are checked with what is left"
        del split, A, head
        assert weight() is None


def test_100_sizes_of_images_leave_a_few_facts():
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)).eval()
    for side in range(8, 108):
        images = torch.zeros(1, 3, side, 8)
        funcam.explain(model, images, 0)
        finer_layer(model, "1", images)
    known = known_of(model)
    traced = known.traced(model)
    assert len(known.facts) <= known.facts.most == 64
    sizes = {name: len(value) for name, value in {**vars(known), **vars(traced)}.items() if hasattr(value, "__len__")}
    assert {name: size for name, size in sizes.items() if size > 64 and name != "state"} == {}
