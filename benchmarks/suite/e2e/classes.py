"""Many classes of one image at once.

Behind several linear layers a thousand classes are a thousand rows that pass back through each of them: what that costs
alone, with a forward pass, is a case of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

import funcam
from benchmarks.suite.case import Case, Group, Setting
from benchmarks.suite.networks import network
from benchmarks.suite.peers import FORWARD, forward

TITLE = "1 to 1,000 classes at once"
FOR = "any"
TAKES: tuple[str, ...] = ("nets",)
METHODS = ("grad-cam", "grad-cam++", "layer-cam", "hires-cam")


def groups(setting: Setting) -> Iterator[Group]:
    for name in setting.nets_or("resnet50", "vgg16", "densenet121"):
        yield Group(f"{name}, batch 1", partial(_cases, setting, name), FORWARD, memory=not setting.quick)


def _cases(setting: Setting, name: str) -> dict[str, Case]:
    model, images = network(name, setting), setting.images(1)
    cases = {FORWARD: Case(lambda: forward(model, images))}
    for method in METHODS[:2] if setting.quick else METHODS:
        for count in (1, 10) if setting.quick else (1, 10, 100, 1000):
            targets = torch.arange(count, device=images.device)[None]
            cases[f"{method}, {count} of the classes"] = Case(partial(_explained, model, images, targets, method))
    linear = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    if len(linear) > 1:
        cases[f"{FORWARD} and all rows' products"] = Case(partial(_with_products, model, images, linear))
    return cases


@torch.no_grad()
def _with_products(model: torch.nn.Module, images: torch.Tensor, linear: list[torch.nn.Linear]) -> torch.Tensor:
    """A forward pass, and the rows of the last layer times the weights of those before it."""
    model(images)
    rows = linear[-1].weight
    for layer in reversed(linear[:-1]):
        rows = rows @ layer.weight
    return rows


def _explained(model: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor, method: str) -> object:
    return funcam.explain(model, images, targets, method=method).maps
