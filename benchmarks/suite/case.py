"""What is measured: cases in groups that are run in turn, and the setting that they are made for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from benchmarks.suite.roofline import Forward, Work

Run = Callable[[], object]


@dataclass(frozen=True)
class Setting:
    """What the suites are run for.

    Attributes:
        device: `cpu` or `cuda`.
        quick: small networks and images, so that the whole suite runs in under two minutes.
        nets: torchvision's names; none for each suite's own.
        batches: batch sizes; none for each suite's own.
        photos: a folder of pictures for `files`; None for pictures that are drawn.
        pictures: so many of them; None for 30, quick one.
    """

    device: str = "cpu"
    quick: bool = False
    nets: tuple[str, ...] = ()
    batches: tuple[int, ...] = ()
    photos: Path | None = None
    pictures: int | None = None

    @property
    def size(self) -> int:
        """The side of the images."""
        return 64 if self.quick else 224

    def nets_or(self, *usual: str) -> tuple[str, ...]:
        """The networks that were asked for, else a suite's usual ones; a quick run has a small one in their place."""
        return self.nets or (("resnet18",) if self.quick else usual)

    def batches_or(self, *usual: int) -> tuple[int, ...]:
        """The batch sizes that were asked for, else a suite's usual ones; a quick run has the first."""
        return self.batches or (usual[:1] if self.quick else usual)

    def tensor(self, *shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
        """Random numbers, uniform in 0..1, the same each time."""
        numbers = torch.rand(*shape, generator=torch.Generator().manual_seed(seed))
        return numbers.to(self.device, dtype)

    def images(self, batch: int, size: int | None = None) -> torch.Tensor:
        """Random images."""
        side = size or self.size
        return self.tensor(batch, 3, side, side)


@dataclass(frozen=True)
class Case:
    """One call.

    Attributes:
        run: the call.
        images: how many images it takes, for images a second.
        work: the least that it has to compute and move, or a whole forward pass, for its share of the machine's limit.
        dtype: of the numbers, whose rate the limit is of.
        exact: what it should return, computed in float32; None where nothing is compared.
        compiles: whether the first call compiles.
        calls: how many calls it is, for one that does many; seconds are told of one.
        capture: whether it may be put into a CUDA graph; what has graphs of its own, or waits for the card, may not.
        keeps: what has to live as long as the case, such as a temporary folder.
    """

    run: Run
    images: int = 0
    work: Work | Forward | None = None
    dtype: torch.dtype = torch.float32
    exact: Callable[[], torch.Tensor] | None = None
    compiles: bool = False
    calls: int = 1
    capture: bool = True
    keeps: object = None


@dataclass(frozen=True)
class Group:
    """Cases that are run in turn, each right behind the baseline, so that what the machine does meets all of them.

    Attributes:
        title: what they have in common, e.g. `resnet50, batch 8`.
        make: makes the cases; what is big is made here, not before.
        baseline: the case that the others' times are divided by; None for none.
        memory: whether each case is run in a fresh process for its peak memory.
        once: too slow to be repeated as often as the others.
    """

    title: str
    make: Callable[[], dict[str, Case]]
    baseline: str | None = None
    memory: bool = False
    once: bool = False


class Suite(Protocol):
    """A module in `micro` or `e2e`.

    Attributes:
        TITLE: what it measures.
        FOR: the device that it is about: `any`; `cpu`, and on another device it is left out; `cuda`, and rows of a CPU
            only show that the suite runs.
        TAKES: which fields of a setting it has a use for, of those that not every suite has.
    """

    TITLE: str
    FOR: str
    TAKES: tuple[str, ...]

    def groups(self, setting: Setting) -> Iterator[Group]:
        """The groups of the suite, one after the other."""
