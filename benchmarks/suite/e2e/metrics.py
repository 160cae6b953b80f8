"""The metrics that run the network, over their own forward passes; and those of maps and masks alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

from benchmarks.suite.case import Case, Group, Setting
from benchmarks.suite.networks import network
from benchmarks.suite.peers import forward
from funcam import metrics

TITLE = "what a metric costs"
FOR = "any"
TAKES: tuple[str, ...] = ("nets",)


def groups(setting: Setting) -> Iterator[Group]:
    steps = 4 if setting.quick else 50
    for name in setting.nets_or("resnet50", "mobilenet_v2"):
        passes = _passes(steps)
        yield Group(f"{name}, curves of {steps} steps", partial(_curves, setting, name, steps), passes, once=True)
    yield Group("maps and masks", partial(_of_maps, setting))


def _passes(steps: int) -> str:
    return f"{steps + 1} forward passes, one batch"


def _curves(setting: Setting, name: str, steps: int) -> dict[str, Case]:
    model, images = network(name, setting), setting.images(1)
    maps = metrics.prepared(setting.tensor(1, 7, 7), images.shape[2:])
    targets = torch.tensor([0], device=images.device)
    rows = images.expand(steps + 1, -1, -1, -1).contiguous()
    run = partial(forward, model)
    options = {"steps": steps, "chunk": steps + 1}
    return {
        _passes(steps): Case(lambda: run(rows)),
        "insertion": Case(lambda: metrics.insertion(run, images, maps, targets, **options)),
        "deletion": Case(lambda: metrics.deletion(run, images, maps, targets, **options)),
        "confidence": Case(lambda: metrics.confidence(run, images, maps, targets)),
    }


def _of_maps(setting: Setting) -> dict[str, Case]:
    maps = setting.tensor(8, setting.size, setting.size)
    masks = setting.tensor(8, 2, setting.size, setting.size, seed=1) > 0.5
    named = (metrics.pointing_game, metrics.energy, metrics.iou_at, metrics.coverage)
    cases = {metric.__name__: Case(partial(metric, maps, masks), images=8) for metric in named}
    return cases | {"complexity": Case(lambda: metrics.complexity(maps), images=8)}
