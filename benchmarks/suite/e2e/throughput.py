"""A GPU's throughput: Grad-CAM compiled, in bfloat16 and large batches, over the compiled forward pass.

A quick run compiles nothing, whatever the names of its rows say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch.func import vjp

import funcam
from benchmarks.suite import compiling
from benchmarks.suite.case import Case, Group, Setting
from benchmarks.suite.networks import network
from benchmarks.suite.peers import PEERS, forward, peer_case, there
from benchmarks.suite.roofline import forward_work

TITLE = "compiled Grad-CAM in half precision and large batches"
FOR = "cuda"
BASELINE = "forward, compiled"


def groups(setting: Setting) -> Iterator[Group]:
    for name in setting.nets_or("resnet50"):
        for batch in setting.batches_or(64, 256):
            number = 2 if setting.quick else batch
            yield Group(f"{name}, bfloat16, batch {number}", partial(_cases, setting, name, number), BASELINE)


def _cases(setting: Setting, name: str, batch: int) -> dict[str, Case]:
    dtype = torch.bfloat16
    model = network(name, setting).to(dtype, memory_format=torch.channels_last)
    images = setting.images(batch).to(dtype, memory_format=torch.channels_last)
    split = funcam.split(model, example=images)
    work = forward_work(model, images)
    optimised: Callable[..., Any] = (lambda function: function) if setting.quick else compiling.compiled

    def case(function: Callable[[torch.Tensor], object]) -> Case:
        return Case(lambda: function(images), images=batch, work=work, dtype=dtype, compiles=not setting.quick)

    classes = torch.zeros(batch, dtype=torch.long, device=images.device)  # half precision may predict another
    exact = partial(_exact, network(name, setting), setting.images(batch), classes)
    plain = partial(forward, model)
    cases = {
        BASELINE: case(optimised(plain)),
        "forward": Case(lambda: plain(images), images=batch, work=work, dtype=dtype),
        "grad-cam": replace(
            case(lambda images: funcam.explain(split, images, classes).maps), exact=exact, compiles=False
        ),
        "grad-cam, compiled": replace(case(optimised(partial(_grad_cam, split, classes))), exact=exact),
    }
    for peer in filter(there, PEERS):
        cases[f"{peer} grad-cam"] = Case(
            peer_case(peer, "grad-cam", model, split.layer)(images), images=batch, work=work, dtype=dtype
        )
    return cases


def _exact(model: torch.nn.Module, images: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """The eager float32 maps of the same weights."""
    return funcam.explain(model, images, classes).maps


def _grad_cam(split: funcam.Split, classes: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """The equation on the two halves of the cut."""
    A, head = split(images)
    logits, pullback = vjp(head, A)
    (g,) = pullback(torch.nn.functional.one_hot(classes, logits.shape[1]).to(logits.dtype))
    return torch.func.vmap(funcam.grad_cam)(A.float(), g.float())
