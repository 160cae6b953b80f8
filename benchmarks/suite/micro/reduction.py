"""Weights and reductions: the mean of the gradients, and weighted channels as a map."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch.func import vmap

import funcam
from benchmarks.suite.case import Case, Group, Setting
from benchmarks.suite.roofline import Work
from benchmarks.suite.shapes import Shape, shapes

TITLE = "channel weights, and weighted channels made maps"
FOR = "any"
TAKES: tuple[str, ...] = ()


def groups(setting: Setting) -> Iterator[Group]:
    for shape in shapes(setting, 1, 10, 1000):
        yield Group(str(shape), partial(_cases, setting, shape), once=shape.K == 1000)


def _cases(setting: Setting, shape: Shape) -> dict[str, Case]:
    A, g = shape.features(setting), shape.gradients(setting)
    w = g.mean((3, 4))
    features = shape.bytes / (1 + shape.K)
    product = Work(2.0 * shape.K * shape.cells, features)
    exact = partial(_by_einsum, A.double(), w.double())
    over = partial(vmap, in_dims=(None, 0))
    cases = {
        "mean of gradients": Case(lambda: g.mean((3, 4)), work=Work(0.0, shape.bytes - features)),
        "signed_sum, vmap": Case(
            lambda: over(vmap(funcam.signed_sum))(A, w), work=product, dtype=shape.dtype, exact=exact
        ),
        "signed_sum, einsum": Case(partial(_by_einsum, A, w), work=product, dtype=shape.dtype, exact=exact),
        "positive_sum, vmap": Case(lambda: over(vmap(funcam.positive_sum))(A, w), work=product, dtype=shape.dtype),
    }
    if shape.K * shape.B <= 20 and shape.S <= 28:
        cases["first_component, vmap"] = Case(lambda: over(vmap(funcam.first_component))(A, w))
    return cases


def _by_einsum(A: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return torch.einsum("kbc,bchw->kbhw", w, A)
