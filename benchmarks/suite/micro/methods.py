"""Every method's own arithmetic on features and gradients that are given, for 1, 10 and 1,000 classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch.func import vmap

from benchmarks.suite.case import Case, Group, Setting
from benchmarks.suite.roofline import Work
from benchmarks.suite.shapes import Shape, shapes
from funcam.methods import METHODS, Method

TITLE = "every method's arithmetic on given features and gradients"
FOR = "any"
TAKES: tuple[str, ...] = ()
SLOW = ("eigen-cam", "eigen-grad-cam", "seg-eigen-cam", "kpca-cam")
"""Their factorizations of 1,000 classes take minutes; of cells x cells matrices at 56x56 gigabytes."""


def groups(setting: Setting) -> Iterator[Group]:
    for shape in shapes(setting, 1, 10, 1000):
        yield Group(str(shape), partial(_cases, setting, shape), once=shape.K * shape.B > 1)


def _cases(setting: Setting, shape: Shape) -> dict[str, Case]:
    A, g = shape.features(setting), shape.gradients(setting)
    cases = {}
    for name, method in METHODS.items():
        big = shape.K * shape.B > 100 or shape.S > 28
        if set(method.takes) <= {"A", "g"} and not (name in SLOW and big):
            cases[name] = _case(method, shape, A, g)
    return cases


def _case(method: Method, shape: Shape, A: torch.Tensor, g: torch.Tensor) -> Case:
    run = batched(method)
    reads = shape.bytes if "g" in method.takes else shape.bytes // (1 + shape.K)
    same_sign = method.name not in SLOW  # a rounding error may turn a component, or choose another
    exact = partial(run, A.float(), g.float()) if same_sign and shape.dtype != torch.float32 else None
    return Case(partial(run, A, g), work=Work(0.0, reads), exact=exact)


def batched(method: Method) -> Callable[[torch.Tensor, torch.Tensor], Any]:
    """A method for one image and one class as one for all, as `funcam.explain` batches it."""
    function = method.function()
    if method.takes == ("A",):
        return lambda A, _: vmap(function)(A)
    return vmap(vmap(function), in_dims=(None, 0))
