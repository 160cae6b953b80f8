"""Grad-CAM by `funcam.prepare` over the eager forward pass: folded and in channels_last, compiled, in bfloat16.

A quick run compiles nothing, whatever the names of its rows say.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

import funcam
from benchmarks.suite import compiling
from benchmarks.suite.case import Case, Group, Setting
from benchmarks.suite.networks import network
from benchmarks.suite.peers import FORWARD, forward
from benchmarks.suite.roofline import forward_work

TITLE = "the fast path"
FOR = "any"
TAKES: tuple[str, ...] = ("nets", "batches")


def groups(setting: Setting) -> Iterator[Group]:
    for name in setting.nets_or("resnet50"):
        for batch in setting.batches_or(1, 16):
            yield Group(f"{name}, batch {batch}", partial(_cases, setting, name, batch), FORWARD)


def _cases(setting: Setting, name: str, batch: int) -> dict[str, Case]:
    model, images = network(name, setting), setting.images(batch)
    work = forward_work(model, images)
    backend = "inductor" if compiling.there() and not setting.quick else None
    cases = {
        FORWARD: Case(partial(forward, model, images), images=batch, work=work),
        "funcam Grad-CAM": Case(partial(funcam.explain, model, images), images=batch, work=work),
    }
    kinds: tuple[tuple[str, Any, torch.dtype | None], ...] = (
        (", not compiled", None, None),
        ("", backend, None),
        (", bfloat16", backend, torch.bfloat16),
    )
    for what, by, dtype in kinds:
        fast = funcam.prepare(model, example=images, dtype=dtype, backend=by)
        title = f"funcam Grad-CAM, prepared{what}"
        cases[title] = Case(partial(_maps, fast, images), batch, work, exact=partial(_exact, model, images, fast))
    return cases


def _maps(fast: funcam.Prepared, images: torch.Tensor) -> torch.Tensor:
    return fast(images).maps


def _exact(model: nn.Module, images: torch.Tensor, fast: funcam.Prepared) -> torch.Tensor:
    return funcam.explain(model, images, fast(images).targets).maps
