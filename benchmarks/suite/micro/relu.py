"""The guided ReLU beside the plain one, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch.func import vjp

from benchmarks.suite.case import Case, Group, Setting
from benchmarks.suite.roofline import Work
from benchmarks.suite.shapes import Shape, shapes
from funcam.network.rewrites.guidance import guided_relu

TITLE = "guided ReLU beside ReLU, with its vector-Jacobian product"
FOR = "any"
TAKES: tuple[str, ...] = ()


def groups(setting: Setting) -> Iterator[Group]:
    for shape in shapes(setting, 1):
        yield Group(str(shape), partial(_cases, setting, shape), baseline="relu")


def _cases(setting: Setting, shape: Shape) -> dict[str, Case]:
    x, v = shape.gradients(setting)[0], shape.features(setting)
    once = shape.cells * shape.dtype.itemsize

    def both(function: Callable[[torch.Tensor], torch.Tensor]) -> Case:
        return Case(lambda: vjp(function, x)[1](v)[0], work=Work(0.0, 5.0 * once))

    return {
        "relu": Case(x.relu, work=Work(0.0, 2.0 * once)),
        "guided relu": Case(lambda: guided_relu(x), work=Work(0.0, 2.0 * once)),
        "relu and vjp": both(torch.relu),
        "guided relu and vjp": both(guided_relu),
    }
