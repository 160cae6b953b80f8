"""Grad-CAM for larger and larger batches, each twice the last, until the next would not fit."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import funcam
from benchmarks.suite.case import Case, Group, Setting
from benchmarks.suite.networks import network
from benchmarks.suite.peers import FORWARD, PEERS, forward, peer_case, there
from benchmarks.suite.timers import bytes_free, timer_for

TITLE = "throughput by batch size"
FOR = "any"
TAKES: tuple[str, ...] = ("nets", "batches")
MOST = 1024


def groups(setting: Setting) -> Iterator[Group]:
    for name in setting.nets_or("resnet50", "mobilenet_v2"):
        sizes = setting.batches or ((1, 2) if setting.quick else doubled(setting, name))
        for batch in sizes:
            yield Group(f"{name}, batch {batch}", partial(_cases, setting, name, batch), FORWARD, once=batch > 16)


def doubled(setting: Setting, name: str) -> Iterator[int]:
    """1, 2, 4, ... while a peer's call, which needs the most memory, would fit twice as large as well."""
    model, timer, batch = network(name, setting), timer_for(setting.device), 1
    layer = funcam.split(model, example=setting.images(1)).layer
    dearest = next(filter(there, PEERS), None)
    while batch <= MOST:
        yield batch
        images = setting.images(batch)
        run = (
            peer_case(dearest, "grad-cam", model, layer)(images) if dearest else partial(funcam.explain, model, images)
        )
        if 2 * timer.peak(run)[1] > 0.8 * bytes_free(setting.device):
            return
        batch *= 2


def _cases(setting: Setting, name: str, batch: int) -> dict[str, Case]:
    model, images = network(name, setting), setting.images(batch)
    layer = funcam.split(model, example=images).layer
    cases = {
        FORWARD: Case(lambda: forward(model, images), images=batch),
        "grad-cam": Case(lambda: funcam.explain(model, images).maps, images=batch),
    }
    for peer in filter(there, PEERS):
        cases[f"{peer} grad-cam"] = Case(peer_case(peer, "grad-cam", model, layer)(images), images=batch)
    return cases
