"""The sizes that the kernels are measured at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from benchmarks.suite.case import Setting

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Shape:
    """Features `[B, C, S, S]` and gradients `[K, B, C, S, S]` of a type."""

    C: int
    S: int
    B: int
    K: int
    dtype: torch.dtype = torch.float32

    def __str__(self) -> str:
        name = str(self.dtype).removeprefix("torch.")
        return f"C={self.C}, S={self.S}x{self.S}, B={self.B}, K={self.K}, {name}"

    def features(self, setting: Setting) -> torch.Tensor:
        """Not negative, as behind a ReLU."""
        return setting.tensor(self.B, self.C, self.S, self.S, dtype=self.dtype)

    def gradients(self, setting: Setting) -> torch.Tensor:
        """Of both signs."""
        return setting.tensor(self.K, self.B, self.C, self.S, self.S, dtype=self.dtype, seed=1) - 0.5

    @property
    def cells(self) -> int:
        """Elements of the features."""
        return self.B * self.C * self.S * self.S

    @property
    def bytes(self) -> int:
        """Of features and gradients."""
        return self.cells * (1 + self.K) * self.dtype.itemsize


def shapes(setting: Setting, *classes: int) -> Iterator[Shape]:
    """ResNet-50's last layer, VGG-16's, and an early one; several images; every type. Quick: one small one a type."""
    if setting.quick:
        yield from (Shape(64, 7, 1, classes[0], dtype) for dtype in DTYPES)
        yield Shape(64, 7, 2, classes[-1] if classes[-1] < 100 else 100)
        return
    for dtype in DTYPES:
        yield from (Shape(2048, 7, 1, count, dtype) for count in classes)
        yield from (Shape(512, 14, 1, classes[0], dtype), Shape(256, 56, 1, classes[0], dtype))
        yield from (Shape(2048, 7, batch, classes[0], dtype) for batch in (16, 64))
