"""One interface for a call's time and memory on the CPU and on a GPU. Nothing else of the suite knows the device.

On the CPU a call is repeated until a block of them is long enough for the clock, with torch's threads fixed. On a GPU
it is captured into a CUDA graph where that is possible, and CUDA events are put around it: around a block of calls, one
behind the other, with the caches as the call before left them (warm); around one call, with them emptied (cold).
"""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.utils._python_dispatch import TorchDispatchMode

Run = Callable[[], object]
BLOCK = 0.002
"""Seconds that a measured block has at least: a thousandfold of what reading the clock costs."""
_BLOCK_ON_GPU = 0.02
"""The same on a GPU, where what is queued behind a call hides what the processor does for the next one."""
MOST = 10_000
"""Calls in a block at most."""


@dataclass(frozen=True)
class Ready:
    """A call that can be measured.

    Attributes:
        seconds: of one, with the caches as a temperature says.
        how: how it is measured.
        first: what the first one took.
        launched: as `seconds`, launched by the processor call by call, where `seconds` replays what was captured.
    """

    seconds: Callable[[str], float]
    how: str
    first: float
    launched: Callable[[str], float] | None = None

    def beside(self, other: Ready) -> Callable[[str], float]:
        """What another is held against: what the processor launches isn't held against a replay."""
        return self.seconds if self.launched is None or other.launched is not None else self.launched


class Timer(Protocol):
    """How calls are measured on a device."""

    temperatures: tuple[str, ...]

    def ready(self, run: Run, *, capture: bool = True, compiled: bool = False) -> Ready:
        """Run a call until everything that is done once (tracing, compiling, caches) is done.

        Args:
            run: the call.
            capture: whether it may be put into a CUDA graph.
            compiled: whether it was compiled.
        """

    def peak(self, run: Run) -> tuple[int, int]:
        """The most bytes in use while a call runs once, and how much more than before it."""

    def words(self) -> dict[str, object]:
        """How is measured, for the report."""


def timer_for(device: str, *, clock: str = "wall", threads: int = 1) -> Timer:
    """The timer of a device, `cpu` or `cuda`."""
    torch.set_num_threads(threads)
    return OnGPU() if device.startswith("cuda") else OnCPU(clock, threads)


def bytes_free(device: str) -> int:
    """Memory that is left on a device."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info()[0])
    with suppress(OSError):
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    return 4 * 2**30  # no way to ask: what any machine has


def wall() -> float:
    return time.perf_counter()


def processor() -> float:
    """Seconds of all processors, of the processes that were started and have ended, too."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


CLOCKS: dict[str, Callable[[], float]] = {"wall": wall, "cpu": processor}


@dataclass(frozen=True)
class OnCPU:
    """Blocks of calls by a clock, threads fixed."""

    clock: str = "wall"
    threads: int = 1
    read: Callable[[], float] | None = None
    temperatures: tuple[str, ...] = ("warm",)

    def ready(self, run: Run, *, capture: bool = True, compiled: bool = False) -> Ready:
        first = self._block(run, 1)
        number = calls_in_block(self._block(run, 1))
        return Ready(lambda _: self._block(run, number) / number, f"blocks of {number}", first)

    def _block(self, run: Run, number: int) -> float:
        read = self.read or CLOCKS[self.clock]
        start = read()
        for _ in range(number):
            run()
        return read() - start

    def peak(self, run: Run) -> tuple[int, int]:
        gc.collect()
        before = _reset_peak()
        run()
        peak = _resident("VmHWM") or _largest_ever()
        return peak, peak - before

    def words(self) -> dict[str, object]:
        return {"device": "cpu", "clock": self.clock, "threads": self.threads}


def calls_in_block(seconds: float, block: float = BLOCK) -> int:
    """How many calls of so many seconds a block of so many needs.

    Example:
        >>> calls_in_block(1.0), calls_in_block(0.001), calls_in_block(0.0)
        (1, 2, 10000)
    """
    return MOST if seconds * MOST <= block else max(1, round(block / seconds))


@dataclass(frozen=True)
class OnGPU:
    """CUDA events, over CUDA graphs where the call can be captured."""

    temperatures: tuple[str, ...] = ("warm", "cold")
    _flush: list[torch.Tensor] = field(default_factory=list)

    def ready(self, run: Run, *, capture: bool = True, compiled: bool = False) -> Ready:
        first = self._first(run)
        for _ in range(3):
            run()
        replay = _captured(run) if capture and (compiled or not _solves(run)) else None
        launched, number = self._in_blocks(run)
        if replay is None:
            return Ready(launched, f"events, blocks of {number}", first)
        replayed, number = self._in_blocks(replay)
        return Ready(replayed, f"CUDA graph, blocks of {number}", first, launched)

    def _in_blocks(self, run: Run) -> tuple[Callable[[str], float], int]:
        number = calls_in_block(self._block(run, 1), _BLOCK_ON_GPU)

        def seconds(temperature: str) -> float:
            if temperature == "cold":
                self._buffer().zero_()
                return self._block(run, 1)
            return self._block(run, number) / number

        return seconds, number

    @staticmethod
    def _first(run: Run) -> float:
        torch.cuda.synchronize()
        start = wall()
        run()
        torch.cuda.synchronize()
        return wall() - start

    @staticmethod
    def _block(run: Run, number: int) -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        for _ in range(number):
            run()
        end.record()
        torch.cuda.synchronize()
        return float(start.elapsed_time(end)) / 1000

    def _buffer(self) -> torch.Tensor:
        """Four times the level-2 cache: writing it leaves nothing else there."""
        if not self._flush:
            size = 4 * torch.cuda.get_device_properties().L2_cache_size
            self._flush.append(torch.empty(size, dtype=torch.uint8, device="cuda"))
        return self._flush[0]

    def peak(self, run: Run) -> tuple[int, int]:
        gc.collect()
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated()
        return peak, peak - before

    def words(self) -> dict[str, object]:
        return {"device": "cuda", "clock": "CUDA events", "threads": torch.get_num_threads()}


class _Operations(TorchDispatchMode):  # type: ignore[misc]
    """Notes the names of the operations that run within."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.names.add(str(func))
        return func(*args, **(kwargs or {}))


def _solves(run: Run) -> bool:
    """Whether a call decomposes matrices: the library for it can't be used any more where a capture has failed.

    (What was compiled must not be asked: in this mode torch runs it as it was, and does so from then on.)
    """
    with _Operations() as seen:
        run()
    return any("linalg" in name for name in seen.names)


def _captured(run: Run) -> Run | None:
    """The call as a CUDA graph; None where it talks to the host."""
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            run()
    except RuntimeError:
        torch.cuda.synchronize()
        return None
    return graph.replay


def _reset_peak() -> int:
    """Bytes in use now. On Linux the kernel's record of the peak starts again from here."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _resident("VmRSS") or _largest_ever()


def _resident(name: str) -> int:
    """A line of Linux's process status in bytes; 0 elsewhere."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    return 0


def _largest_ever() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
