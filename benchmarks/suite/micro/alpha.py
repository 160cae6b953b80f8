"""Grad-CAM++'s alpha terms for many classes: vmap, a loop over classes, a broadcast by hand, and both compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch.func import vmap

from benchmarks.suite import compiling
from benchmarks.suite.case import Case, Group, Setting
from benchmarks.suite.roofline import Work
from benchmarks.suite.shapes import Shape, shapes

TITLE = "Grad-CAM++'s alpha terms, batched in five ways"
FOR = "any"
TAKES: tuple[str, ...] = ()


def groups(setting: Setting) -> Iterator[Group]:
    for shape in shapes(setting, 1, 10, 1000):
        yield Group(str(shape), partial(_cases, setting, shape), baseline="vmap", once=shape.K == 1000)


def _cases(setting: Setting, shape: Shape) -> dict[str, Case]:
    A, g = shape.features(setting), shape.gradients(setting)
    work = Work(7.0 * shape.cells * shape.K, shape.bytes)

    def case(function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], *, compiles: bool = False) -> Case:
        exact = partial(by_hand, A.double(), g.double())
        return Case(partial(function, A, g), work=work, dtype=shape.dtype, exact=exact, compiles=compiles)

    cases = {"vmap": case(by_vmap), "loop over classes": case(by_loop), "broadcast": case(by_hand)}
    if compiling.there():
        cases["vmap, compiled"] = case(compiling.compiled(by_vmap), compiles=True)
        cases["broadcast, compiled"] = case(compiling.compiled(by_hand), compiles=True)
    return cases


def weights(A: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """Eq. 19's channel weights for one image and one class, `[C, *S]` -> `[C]`, divided by `g^2` above and below."""
    positive = g.relu()
    divisor = 2 + A.flatten(1).sum(1).view(-1, 1, 1) * positive
    return (positive / divisor).flatten(1).sum(1)


def by_vmap(A: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """`[B, C, S, S]`, `[K, B, C, S, S]` -> `[K, B, C]`: images and classes by vmap."""
    result: torch.Tensor = vmap(vmap(weights), in_dims=(None, 0))(A, g)
    return result


def by_loop(A: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """The same, class by class and image by image in Python."""
    return torch.stack([torch.stack([weights(a, one) for a, one in zip(A, row, strict=True)]) for row in g])


def by_hand(A: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """The same with the axes written out."""
    positive = g.relu()
    return (positive / (2 + A.sum((2, 3))[:, :, None, None] * positive)).sum((3, 4))
