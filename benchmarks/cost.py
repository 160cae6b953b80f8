"""What a map costs, in forward passes: funcam beside its peers, in the same run, on a CPU or a GPU.

    python benchmarks/cost.py --json FILE                                  # ResNet-50, batches of 1, 8 and 16
    python benchmarks/cost.py --suite methods --batches 1                  # every method beside the peers that have it
    python benchmarks/cost.py --device cuda --nets resnet50,mobilenet_v2   # needs torch and torchvision only

Every figure is a ratio against one `no_grad` forward pass of the same model.

Times: in each round every case runs in turn, right behind a forward pass that its time is divided by. The table shows
the median, least and largest ratio; the row of the forward pass itself shows the noise.

Memory: each case runs once in a process of its own. What counts is the peak of the whole process (on a GPU, of the
allocator, the weights included) and, stricter, what it rose above the level before the case.

A peer that isn't installed is left out, and without rich the table is plain text.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from cases import FORWARD, PEERS, SLOW, Case, Run, grad_cases, method_cases, there

import funcam

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
HEADINGS = ("case", "time", "least", "largest", "ms", "peak memory", "MB", "above the start", "MB")


@dataclass(frozen=True)
class Place:
    """A network, a batch and a device: what a case runs on."""

    net: str
    batch: int
    device: str
    size: int

    def model(self) -> nn.Module:
        """The network, in evaluation mode, with random weights: what it costs does not depend on them."""
        torch.manual_seed(0)
        model: nn.Module = torchvision.models.get_model(self.net, weights=None)
        return model.eval().to(self.device)

    def images(self) -> torch.Tensor:
        """Random images."""
        return torch.rand(self.batch, 3, self.size, self.size, device=self.device)


@dataclass
class Row:
    """A line of the table. Ratios against the forward pass; seconds and bytes of the case itself."""

    net: str
    batch: int
    case: str
    ratio: float
    least: float
    largest: float
    seconds: float
    peak: int | None = None
    peak_ratio: float | None = None
    above_start: int | None = None
    above_start_ratio: float | None = None


def main() -> None:
    options = _options()
    if options.memory_of:
        print(json.dumps(_peak_of(_place(options, options.nets, int(options.batches)), options)))
        return
    absent = [name for name in PEERS if not there(name)]
    if absent:
        print(f"not installed, so left out: {', '.join(absent)}")
    if options.threads:
        torch.set_num_threads(options.threads)
    rows: list[Row] = []
    for net in options.nets.split(","):
        for batch in map(int, options.batches.split(",")):
            rows += _measured(_place(options, net, batch), options)
            _show(f"{net}, batch {batch}: times one no_grad forward pass", rows, net, batch)
    if options.json:
        report = {
            "command": _command(),
            "machine": _machine(options),
            "absent": absent,
            "rows": list(map(asdict, rows)),
        }
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--nets", default="resnet50", help="torchvision's names, with commas between")
    parser.add_argument("--batches", default="1,8,16")
    parser.add_argument("--size", type=int, default=224, help="side of the images")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--suite", choices=("grad", "methods"), default="grad", help="Grad-CAM, or every method")
    parser.add_argument("--cases", help="only these cases, with semicolons between, e.g. 'Grad-CAM;captum Grad-CAM'")
    parser.add_argument("--threads", type=int, help="torch's threads (default: torch's own choice)")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu, with --threads 1, stands a busy machine")
    parser.add_argument("--no-memory", action="store_true", help="times only")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    return parser.parse_args()


def _place(options: argparse.Namespace, net: str, batch: int) -> Place:
    return Place(net, batch, options.device, options.size)


def _cases(place: Place, model: nn.Module, suite: str) -> dict[str, Case]:
    """What is measured: name -> (images -> the call). Each peer at funcam's default layer."""
    layer = funcam.split(model, example=torch.rand(1, 3, place.size, place.size)).layer
    return method_cases(model, layer) if suite == "methods" else grad_cases(model, layer, place.batch)


def _measured(place: Place, options: argparse.Namespace) -> list[Row]:
    model = place.model()
    images = place.images()
    table = _cases(place, model, options.suite)
    if options.cases:
        table = {name: case for name, case in table.items() if name in (FORWARD, *options.cases.split(";"))}
    elif options.suite == "methods":
        table = {name: case for name, case in table.items() if name.split()[-1] not in SLOW}
    times = _times({name: case(images) for name, case in table.items()}, options)
    del model, images
    rows = [_row(place, name, times) for name in table]
    if not options.no_memory:
        _add_memory(rows, options)
    return rows


def _times(runs: dict[str, Run], options: argparse.Namespace) -> dict[str, list[tuple[float, float]]]:
    """Seconds of each case and of the forward pass just before it, in each round; every second round goes backwards."""
    if options.rounds > 1:
        for run in runs.values():  # traces the model, fills caches
            run()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for index in range(options.rounds):
        for name in _in_turn(runs, index):
            forward = _seconds(runs[FORWARD], options)
            times[name].append((_seconds(runs[name], options), forward))
    return times


def _seconds(run: Run, options: argparse.Namespace) -> float:
    clock = CLOCKS[options.clock]
    _synchronise(options.device)
    start = clock()
    run()
    _synchronise(options.device)
    return clock() - start


def _in_turn(names: Iterable[str], index: int) -> list[str]:
    order = list(names)
    return order if index % 2 == 0 else order[::-1]


def _synchronise(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def _row(place: Place, name: str, times: dict[str, list[tuple[float, float]]]) -> Row:
    ratios = [case / forward for case, forward in times[name]]
    seconds = statistics.median(case for case, _ in times[name])
    return Row(place.net, place.batch, name, statistics.median(ratios), min(ratios), max(ratios), seconds)


def _add_memory(rows: list[Row], options: argparse.Namespace) -> None:
    """Run each case in a process of its own, one after the other."""
    forward = None
    for row in rows:
        row.peak, row.above_start = _in_a_process(row, options)
        forward = forward or (row.peak, row.above_start)
        row.peak_ratio, row.above_start_ratio = row.peak / forward[0], row.above_start / max(1, forward[1])


def _in_a_process(row: Row, options: argparse.Namespace) -> tuple[int, int]:
    # One threshold for the C library's allocator, so that a freed tensor goes back to the system at once and the
    # process's size follows the tensors that live.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    where = ["--nets", row.net, "--batches", str(row.batch), "--size", str(options.size), "--device", options.device]
    where += ["--suite", options.suite]
    command = [sys.executable, str(Path(__file__)), "--memory-of", row.case, *where]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{row.case} failed in its own process:\n{done.stderr}")
    peak, above = json.loads(done.stdout.splitlines()[-1])
    return peak, above


def _peak_of(place: Place, options: argparse.Namespace) -> tuple[int, int]:
    """Peak bytes of one case, and how far that is above the level before it. A small image warms everything up."""
    model = place.model()
    run = _cases(place, model, options.suite)[options.memory_of]
    run(place.images()[:, :, : place.size // 2, : place.size // 2])()
    if place.device.startswith("cuda"):
        return _peak_on_gpu(run, place)
    images = place.images()
    before = _reset_peak()
    run(images)()
    peak = _resident("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return peak, peak - before


def _peak_on_gpu(run: Callable[[torch.Tensor], Run], place: Place) -> tuple[int, int]:
    images = place.images()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run(images)()
    torch.cuda.synchronize()
    peak = torch.cuda.max_memory_allocated()
    return peak, peak - before


def _reset_peak() -> int:
    """Bytes in use now. On Linux the kernel's record of the peak starts again from here."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _resident("VmRSS") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _resident(field: str) -> int:
    """A line of Linux's process status in bytes; 0 elsewhere."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    return 0


def _show(title: str, rows: list[Row], net: str, batch: int) -> None:
    """Print the table of one network and batch."""
    lines = [[row.case, *_cells(row)] for row in rows if (row.net, row.batch) == (net, batch)]
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        print(title)
        for line in [list(HEADINGS), *lines]:
            print(line[0].ljust(24), *(cell.rjust(15) for cell in line[1:]))
        return
    table = Table(title=title)
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "case" else "right")
    for line in lines:
        table.add_row(*line)
    Console(width=None if sys.stdout.isatty() else 130).print(table)


def _cells(row: Row) -> list[str]:
    megabytes = ["-" if size is None else f"{size / 1e6:.0f}" for size in (row.peak, row.above_start)]
    return [
        *map(_number, (row.ratio, row.least, row.largest)),
        f"{1000 * row.seconds:.0f}",
        *(_number(row.peak_ratio), megabytes[0]),
        *(_number(row.above_start_ratio), megabytes[1]),
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _command() -> str:
    return shlex.join(["python", f"benchmarks/{Path(__file__).name}", *sys.argv[1:]])


def _machine(options: argparse.Namespace) -> dict[str, Any]:
    name = torch.cuda.get_device_name() if options.device.startswith("cuda") else platform.machine()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "device": name,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "clock": options.clock,
        "load_at_the_end": load,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    main()
