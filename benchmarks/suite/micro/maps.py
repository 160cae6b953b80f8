"""Upsampling and rescaling of maps."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

import funcam
from benchmarks.suite.case import Case, Group, Setting
from benchmarks.suite.roofline import Work
from benchmarks.suite.shapes import DTYPES

TITLE = "maps brought to the image's size, and rescaled"
FOR = "any"
TAKES: tuple[str, ...] = ()


def groups(setting: Setting) -> Iterator[Group]:
    sizes = ((1, 1, 7),) if setting.quick else ((1, 1, 7), (16, 10, 7), (1, 1000, 7), (16, 1, 14))
    for dtype in DTYPES:
        for batch, classes, side in sizes:
            title = f"B={batch}, K={classes}, {side}x{side} to {setting.size}, {str(dtype).removeprefix('torch.')}"
            yield Group(title, partial(_cases, setting, (batch, classes, side), dtype))


def _cases(setting: Setting, shape: tuple[int, int, int], dtype: torch.dtype) -> dict[str, Case]:
    batch, classes, side = shape
    maps = setting.tensor(batch, classes, side, side, dtype=dtype)
    size = (setting.size, setting.size)
    large = funcam.upsample(maps, size)
    exact = None if dtype == torch.float32 else lambda: funcam.upsample(maps.float(), size)
    write = Work(0.0, large.numel() * large.element_size())
    cases = {"upsample": Case(lambda: funcam.upsample(maps, size), work=write, exact=exact)}
    for scale in ("per-map", "per-image", "per-batch"):
        cases[f"rescale {scale}"] = Case(partial(funcam.rescale, large, scale), work=Work(0.0, 3 * write.bytes))
    return cases
