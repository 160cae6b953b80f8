"""The two halves of a cut network, and the head's vector-Jacobian product."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch.func import vjp, vmap

import funcam
from benchmarks.suite.case import Case, Group, Setting
from benchmarks.suite.networks import network
from benchmarks.suite.peers import FORWARD, forward

TITLE = "a network cut at its default layer: features, head, and the head's derivative"
FOR = "any"
TAKES: tuple[str, ...] = ("nets", "batches")


def groups(setting: Setting) -> Iterator[Group]:
    for name in setting.nets_or("resnet50", "mobilenet_v2", "vgg16"):
        for batch in setting.batches_or(1, 16):
            yield Group(f"{name}, batch {batch}", partial(_cases, setting, name, batch), FORWARD)


def _cases(setting: Setting, name: str, batch: int) -> dict[str, Case]:
    model, images = network(name, setting), setting.images(batch)
    split = funcam.split(model, example=images)
    with torch.no_grad():
        A, head = split(images)
        _, head_of_images = split(images)
    rows = torch.eye(head(A).shape[1], device=A.device)

    def features() -> object:
        with torch.no_grad():
            return split(images)[0]

    def tail() -> object:
        with torch.no_grad():
            return head(A)

    def derivative(classes: int) -> object:
        logits, pullback = vjp(head_of_images, A)
        cotangents = rows[:classes, None].expand(classes, *logits.shape)
        return pullback(cotangents[0]) if classes == 1 else vmap(lambda v: pullback(v)[0])(cotangents)

    return {
        FORWARD: Case(lambda: forward(model, images), images=batch),
        "features": Case(features, images=batch),
        "head": Case(tail, images=batch),
        "vjp of the head, 1 class": Case(partial(derivative, 1), images=batch),
        "vjp of the head, 10 classes": Case(partial(derivative, 10), images=batch),
    } | ({} if setting.quick or batch > 1 else {"vjp of the head, 100 classes": Case(partial(derivative, 100))})
