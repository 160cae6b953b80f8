"""Grad-CAM at each stage of a network and at all at once, beside the backward pass that it needs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import funcam
from benchmarks.suite.case import Case, Group, Setting
from benchmarks.suite.networks import network
from benchmarks.suite.peers import FIVE_LAYERS, FORWARD, backward_of_tail, forward

TITLE = "Grad-CAM at one layer, and at several at once"
FOR = "any"
TAKES: tuple[str, ...] = ("nets",)


def groups(setting: Setting) -> Iterator[Group]:
    """ResNets alone: the layers are theirs."""
    for name in setting.nets_or("resnet50"):
        if "resnet" in name:
            yield Group(f"{name}, batch 1", partial(_cases, setting, name), FORWARD)


def _cases(setting: Setting, name: str) -> dict[str, Case]:
    model, images = network(name, setting), setting.images(1)

    def at(layer: str | list[str]) -> Case:
        return Case(lambda: funcam.explain(model, images, layer=layer).maps)

    return {
        FORWARD: Case(lambda: forward(model, images)),
        **{layer: at(layer) for layer in FIVE_LAYERS},
        "five layers at once": at(list(FIVE_LAYERS)),
        f"autograd from the logits to {FIVE_LAYERS[0]}": Case(backward_of_tail(model, images)),
    }
