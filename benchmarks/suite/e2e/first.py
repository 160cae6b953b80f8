"""The first call of a model, in which it is traced and checked, beside the next ones; and the two ways to cut."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial

import funcam
from benchmarks.suite.case import Case, Group, Setting
from benchmarks.suite.networks import network, there
from benchmarks.suite.peers import FORWARD, forward

TITLE = "the first call of a model, and taps beside traced graphs"
FOR = "any"
TAKES: tuple[str, ...] = ("nets",)
NETS = ("resnet18", "resnet50", "mobilenet_v2", "vit_b_16", "swin_t", "convnext_tiny", "densenet121")


def groups(setting: Setting) -> Iterator[Group]:
    for name in filter(there, setting.nets_or(*NETS)):
        yield Group(f"{name}, batch 1", partial(_first, setting, name), FORWARD, once=True)
        yield Group(f"{name}, batch 1, by each way", partial(_next, setting, name), FORWARD)


def _first(setting: Setting, name: str) -> dict[str, Case]:
    model, images = network(name, setting), setting.images(1)
    return {
        FORWARD: Case(lambda: forward(model, images)),
        "a copy of the model": Case(lambda: copy.deepcopy(model)),
        "a copy of the model, and its first Grad-CAM": Case(lambda: funcam.explain(copy.deepcopy(model), images)),
    }


def _next(setting: Setting, name: str) -> dict[str, Case]:
    model, images = network(name, setting), setting.images(1)
    layer = funcam.split(copy.deepcopy(model), example=images).layer

    def through(via: str) -> Case:
        split = funcam.split(model, layer, via=via, example=images)
        return Case(lambda: funcam.explain(split, images).maps)

    return {
        FORWARD: Case(lambda: forward(model, images)),
        **{f"grad-cam, {via}": through(via) for via in _ways(setting, name)},
    }


def _ways(setting: Setting, name: str) -> tuple[str, ...]:
    """The usual one, and taps where the layer is a module: DenseNet's last ReLU is a function."""
    model, images = network(name, setting), setting.images(1)
    split = funcam.split(model, example=images)
    tapped = ("tap",) if split.layer in dict(model.named_modules()) else ()
    return tuple(dict.fromkeys((split.way, *tapped)))
