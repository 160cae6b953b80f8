"""The least time that a network's forward pass can take on a machine: its arithmetic and its traffic over the rates.

The rates are measured on the spot, by a product of matrices and by a copy, not read from a data sheet. The traffic is
told three times: eager (each operation reads its inputs and writes its output), with pointwise operations fused into
what makes their input (only what else they read counts), and fully fused (image, weights and outputs, each once).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from benchmarks.suite.timers import Timer

FUSIONS = ("eager", "pointwise fused", "fully fused")


@dataclass(frozen=True)
class Work:
    """Floating-point operations, and bytes that are read and written."""

    flops: float
    bytes: float

    def __add__(self, other: Work) -> Work:
        return Work(self.flops + other.flops, self.bytes + other.bytes)


@dataclass(frozen=True)
class Rates:
    """What a machine does: floating-point operations and bytes a second."""

    flops: float
    bytes: float

    def seconds(self, work: Work) -> float:
        """The least time for some work: arithmetic and traffic go on at the same time.

        Example:
            >>> Rates(flops=10, bytes=2).seconds(Work(flops=20, bytes=8))
            4.0
        """
        return max(work.flops / self.flops, work.bytes / self.bytes)


@dataclass(frozen=True)
class Forward:
    """What a forward pass takes.

    Attributes:
        macs: multiply-accumulates; a batch norm counts two for each element, as in fvcore.
        activations: elements that convolutions and linear layers return.
        operations: each operation's work, eager.
        fused: the same where pointwise operations are fused.
        once: arithmetic, and image, weights and outputs once.
    """

    macs: float
    activations: float
    operations: tuple[Work, ...]
    fused: tuple[Work, ...]
    once: Work

    def limits(self, rates: Rates) -> dict[str, float]:
        """Seconds at the least, for each kind of fusion."""
        kinds = (self.operations, self.fused, (self.once,))
        return {name: sum(map(rates.seconds, kind)) for name, kind in zip(FUSIONS, kinds, strict=True)}


def forward_work(model: nn.Module, images: torch.Tensor) -> Forward:
    """Run the model once and add up what its operations do."""
    seen = _Operations()
    with torch.no_grad(), seen:
        outputs = model(images)
    weights = [*model.parameters(), *model.buffers()]
    once = Work(sum(work.flops for work in seen.eager), _bytes([images, *weights, *_tensors(outputs)]))
    return Forward(seen.macs, seen.activations, tuple(seen.eager), tuple(seen.fused), once)


class _Operations(TorchDispatchMode):  # type: ignore[misc]
    """Notes the work of every operation that runs within."""

    def __init__(self) -> None:
        super().__init__()
        self.macs = self.activations = 0.0
        self.eager: list[Work] = []
        self.fused: list[Work] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        packet = func.overloadpacket
        if not func.is_view and packet not in _FREE:
            self._note(packet, args, kwargs or {}, result)
        return result

    def _note(self, packet: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        inputs, outputs = list(_tensors((args, kwargs))), list(_tensors(result))[:1]
        traffic = _bytes([*inputs, *outputs])
        elements = sum(output.numel() for output in outputs)
        if packet in flop_registry:
            flops = float(flop_registry[packet](*args, **kwargs, out_val=result))
            self.macs += flops / 2
            self.activations += elements
            self.fused.append(Work(flops, traffic))
        else:
            norm = "batch_norm" in str(packet)
            flops = elements * (2.0 if norm else 1.0)
            self.macs += flops if norm else 0
            self.fused.append(Work(flops, _bytes(inputs[1:]) if _is_pointwise(packet) or norm else traffic))
        self.eager.append(Work(flops, traffic))


_FREE = {torch.ops.aten.detach, torch.ops.aten.empty, torch.ops.aten.alias, torch.ops.aten.lift_fresh}


def _is_pointwise(packet: Any) -> bool:
    overloads = (getattr(packet, name) for name in packet.overloads())
    return any(torch.Tag.pointwise in overload.tags for overload in overloads)


def _tensors(tree: Any) -> Iterator[torch.Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor))


def _bytes(tensors: list[torch.Tensor]) -> float:
    return float(sum(tensor.numel() * tensor.element_size() for tensor in tensors))


def measured_rates(timer: Timer, device: str, dtype: torch.dtype, *, quick: bool = False) -> Rates:
    """A product of square matrices and a copy that no cache holds, the best of some repeats each.

    The matrices are the first whose product takes 5 ms, by doubling: smaller ones don't fill a fast device.
    """
    side, length = _SMALLEST, 2**23 if quick else 2**28
    product = _product(timer, device, dtype, side)
    while product < 0.005 and not quick:
        side *= 2
        product = _product(timer, device, dtype, side)
    source = torch.ones(length, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy = _best(timer, lambda: target.copy_(source))
    return Rates(flops=2 * side**3 / product, bytes=2 * length / copy)


_SMALLEST = 512


def _product(timer: Timer, device: str, dtype: torch.dtype, side: int) -> float:
    a, b = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
    return _best(timer, lambda: a @ b)


def _best(timer: Timer, run: Callable[[], object], rounds: int = 5) -> float:
    """The fast end of the repeats: a limit is what the machine can do when nothing disturbs it."""
    seconds = timer.ready(run).seconds
    return min(seconds(timer.temperatures[-1]) for _ in range(rounds))


def limits_of(work: Work | Forward, rates: Rates) -> dict[str, float]:
    """Seconds at the least; of work that nobody says how it is fused the one limit that there is.

    Example:
        >>> limits_of(Work(flops=20, bytes=8), Rates(flops=10, bytes=2))
        {'fully fused': 4.0}
    """
    return work.limits(rates) if isinstance(work, Forward) else {FUSIONS[-1]: rates.seconds(work)}


@dataclass(frozen=True)
class Machine:
    """The rates of a machine for each type of numbers, measured when they are first wanted."""

    timer: Timer
    device: str
    quick: bool = False
    _known: dict[torch.dtype, Rates | None] = field(default_factory=dict)

    def rates(self, dtype: torch.dtype) -> Rates | None:
        """The rates; None where the device can't multiply numbers of that type."""
        if dtype not in self._known:
            self._known[dtype] = None
            with suppress(RuntimeError):
                self._known[dtype] = measured_rates(self.timer, self.device, dtype, quick=self.quick)
        return self._known[dtype]

    def told(self) -> dict[str, dict[str, float]]:
        """What was measured so far, for the report."""
        known = {str(dtype).removeprefix("torch."): rates for dtype, rates in self._known.items()}
        return {name: {"flops": rates.flops, "bytes": rates.bytes} for name, rates in known.items() if rates}
