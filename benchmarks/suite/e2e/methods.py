"""Every method beside the peers that have it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import funcam
from benchmarks.suite.case import Case, Group, Setting
from benchmarks.suite.networks import network
from benchmarks.suite.peers import FORWARD, SLOW, method_cases, sampled_cases

TITLE = "every method beside the peers that have it"
FOR = "any"
TAKES: tuple[str, ...] = ("nets",)
MANY_PASSES = ("ablation-cam", "smooth-grad", "smooth-grad-cam++", "full-grad")
_SIDE, _SAMPLES = 64, 4
"""Of methods that pass 512 channels several times: at 224 pixels and the papers' 35 samples one takes half an hour."""


def groups(setting: Setting) -> Iterator[Group]:
    for name in setting.nets_or("resnet50"):
        yield Group(f"{name}, batch 1", partial(_cases, setting, name, False), FORWARD)
    if setting.quick:
        return
    yield Group(
        "resnet18, methods of a pass for each channel", partial(_cases, setting, "resnet18", True), FORWARD, once=True
    )
    title = f"resnet18 at {_SIDE} pixels, methods of {_SAMPLES} passes for each channel"
    yield Group(title, partial(_sampled, setting), FORWARD, once=True)


def _cases(setting: Setting, name: str, slow: bool) -> dict[str, Case]:
    """Quick: one of each that isn't dear, funcam's alone."""
    model, images = network(name, setting), setting.images(1)
    layer = funcam.split(model, example=images).layer
    calls = method_cases(model, layer)
    if setting.quick:
        names = [title for title in calls if title in (FORWARD, *funcam.METHODS) and title not in (*SLOW, *MANY_PASSES)]
    else:
        names = [title for title in calls if title == FORWARD or (title.split()[-1] in SLOW) == slow]
    return {title: Case(calls[title](images), images=1) for title in names}


def _sampled(setting: Setting) -> dict[str, Case]:
    model, images = network("resnet18", setting), setting.images(1, _SIDE)
    calls = sampled_cases(model, funcam.split(model, example=images).layer, _SAMPLES)
    return {title: Case(calls[title](images), images=1) for title in calls}
