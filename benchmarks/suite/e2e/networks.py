"""Grad-CAM at the default layer of many networks, over their own forward pass, and that over the machine's limit."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import funcam
from benchmarks.suite.case import Case, Group, Setting
from benchmarks.suite.networks import network, there
from benchmarks.suite.peers import FORWARD, forward
from benchmarks.suite.roofline import forward_work

TITLE = "Grad-CAM on many networks"
FOR = "any"
TAKES: tuple[str, ...] = ("nets", "batches")
ORIGINAL = (
    "vgg16",
    "vgg19",
    "resnet50",
    "resnet101",
    "densenet121",
    "inception_v3",
    "mobilenet_v2",
    "shufflenet_v2_x1_0",
)
OTHERS = (
    "alexnet",
    "squeezenet1_1",
    "googlenet",
    "vit_b_16",
    "swin_t",
    "convnext_tiny",
    "efficientnet_b0",
    "timm/resnet50",
)


def groups(setting: Setting) -> Iterator[Group]:
    for name in filter(there, setting.nets_or(*ORIGINAL, *OTHERS)):
        for batch in setting.batches_or(1, 16):
            yield Group(f"{name}, batch {batch}", partial(_cases, setting, name, batch), FORWARD)


def _cases(setting: Setting, name: str, batch: int) -> dict[str, Case]:
    model, images = network(name, setting), setting.images(batch)
    work = forward_work(model, images)
    return {
        FORWARD: Case(lambda: forward(model, images), images=batch, work=work),
        "grad-cam": Case(lambda: funcam.explain(model, images).maps, images=batch, work=work),
    }
