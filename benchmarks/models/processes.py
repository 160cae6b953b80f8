"""Each entry in a process of its own, forked from one that has imported everything and run nothing, and watched."""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from benchmarks.models.collecting import PACKAGES, origin_of
from benchmarks.models.entry import Entry
from benchmarks.models.page import PEERS

_POLL = 0.1
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Limits:
    seconds: float
    gigabytes: float


@dataclass
class Job:
    """A forked process: its entry, the end of the pipe that it reports through, and what came."""

    entry: Entry
    process: int
    pipe: int
    start: float = field(default_factory=time.monotonic)
    received: bytes = b""
    inherited: float = field(default_factory=lambda: _resident(os.getpid()))
    peak: float = 0.0
    stopped: str = ""

    def taken(self) -> float:
        """Gigabytes in memory beside what its parent held when it was forked; 0 when the process is gone."""
        return max(_resident(self.process) - self.inherited, 0.0)

    def record(self, status: int) -> dict[str, Any]:
        """The last line that came whole, with what ended the process if it said less than all."""
        lines = [line for line in self.received.split(b"\n") if line]
        record: dict[str, Any] = {"name": self.entry.name, "kind": self.entry.kind, "verdict": "did not finish"}
        for line in lines[:: max(1, len(lines) - 1)]:
            try:
                record = json.loads(line)
            except json.JSONDecodeError:  # cut off
                continue
        if record.get("stage") == "peers":  # what became of them says nothing of funcam
            del record["stage"]
            record["peers"] = dict.fromkeys(PEERS, f"error: {self.stopped or f'ended with {status}'}")
        elif self.stopped or record["verdict"] == "did not finish":
            record["verdict"] = self.stopped or "did not finish"
            record.setdefault("message", f"ended with {status} while {record.get('stage', 'starting')}")
        return record | {"peak_gb": round(self.peak, 2), "wall": round(time.monotonic() - self.start, 2)}


def _resident(process: int) -> float:
    """Gigabytes that a process holds in memory and shares with no file; 0 when it is gone."""
    try:
        with open(f"/proc/{process}/statm", encoding="ascii") as numbers:
            _, resident, shared, *_ = map(int, numbers.read().split())
    except OSError:
        return 0.0
    return (resident - shared) * _PAGE / 2**30


def import_everything(origins: set[str]) -> None:
    """Imports only, of what these origins need: no tensor is made, no thread started that a fork would lose."""
    os.environ.setdefault("YOLO_CONFIG_DIR", tempfile.gettempdir())  # ultralytics writes settings when it is imported
    for name in (
        "torch",
        "torch.export",
        "torch._dynamo",
        "torchvision",
        "funcam",
        *{PACKAGES[o] for o in origins if o in PACKAGES},
    ):
        try:
            importlib.import_module(name)
        except Exception as error:  # a package that is broken is one that isn't there
            if not isinstance(error, ModuleNotFoundError):
                print(f"{name} can't be imported: {error!r}"[:200], file=sys.stderr)
    import funcam

    for info in pkgutil.walk_packages(funcam.__path__, "funcam."):
        if not info.name.endswith("__main__"):
            with suppress(ModuleNotFoundError):  # of an extra
                importlib.import_module(info.name)
    importlib.import_module("benchmarks.models.judge")
    gc.collect()
    gc.freeze()  # a child is not to look through what other models' libraries made, each page of which it would copy


def judged(entries: Sequence[Entry], *, jobs: int, limits: Limits, peers: bool) -> Iterator[dict[str, Any]]:
    """The records of the entries, in the order in which they end."""
    import_everything(set(map(origin_of, entries)))
    waiting, running, done = list(entries), list[Job](), 0
    with selectors.DefaultSelector() as selector:
        while waiting or running:
            while waiting and len(running) < jobs:
                job = _start(waiting.pop(0), peers)
                running.append(job)
                selector.register(job.pipe, selectors.EVENT_READ, job)
            ended = _poll(selector, running, limits)
            for job in ended:
                selector.unregister(job.pipe)
                os.close(job.pipe)
                running.remove(job)
                _, status = os.waitpid(job.process, 0)
                record, done = job.record(os.waitstatus_to_exitcode(status)), done + 1
                _show(record, done, len(entries))
                yield record
    if sys.stderr.isatty():
        print(file=sys.stderr)


def _start(entry: Entry, peers: bool) -> Job:
    reading, writing = os.pipe()
    process = os.fork()
    if process:
        os.close(writing)
        return Job(entry, process, reading)
    os.close(reading)
    try:
        _child(entry, writing, peers)
        os._exit(0)
    except BaseException as error:
        _say(writing, {"name": entry.name, "kind": entry.kind, "verdict": "judge failed", "message": repr(error)[:300]})
        os._exit(1)


def _child(entry: Entry, writing: int, peers: bool) -> None:
    """What the process does: judges, and reports each step. What models print is dropped."""
    import torch

    from benchmarks.models.judge import judge

    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    _say(writing, judge(entry, lambda record: _say(writing, record), peers=peers))


def _say(writing: int, record: dict[str, Any]) -> None:
    os.write(writing, json.dumps(record, default=str).encode() + b"\n")


def _poll(selector: selectors.BaseSelector, running: list[Job], limits: Limits) -> list[Job]:
    """Read what came, stop what is over a limit, and return the jobs whose pipes are at their end."""
    ended = []
    for key, _ in selector.select(_POLL):
        job: Job = key.data
        part = os.read(job.pipe, 2**16)
        job.received += part
        if not part:
            ended.append(job)
    for job in running:
        job.peak = max(job.peak, job.taken())
        slow, large = time.monotonic() - job.start > limits.seconds, job.peak > limits.gigabytes
        if (slow or large) and not job.stopped:
            job.stopped = "too slow" if slow else "too large"
            os.kill(job.process, signal.SIGKILL)
    return ended


def _show(record: dict[str, Any], done: int, total: int) -> None:
    """A bar that moves on a terminal; a line an entry elsewhere."""
    line = f"{done}/{total} {record['name']}: {record['verdict']} ({record['wall']:.1f} s)"
    if sys.stderr.isatty():
        filled = round(24 * done / total)
        print(f"\r\x1b[K[{'#' * filled}{'.' * (24 - filled)}] {line}"[:110], end="", file=sys.stderr, flush=True)
    else:
        print(line, file=sys.stderr, flush=True)
