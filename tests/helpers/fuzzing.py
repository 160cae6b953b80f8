"""Readers fuzzed in a process of their own, watched from outside: 5 seconds of a processor and 1 GB of memory an input.

python tests/helpers/fuzzing.py --inputs 10000     # the table in docs/safety.md; weights alone: --kinds weights
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import re
import tempfile
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from fuzz_seeds import KINDS, made_worse

SECONDS, GIGABYTE = 5, 10**9
_WAIT = 60
"""So many seconds in all, for one that waits and for a processor that others use too."""
_LOOKS = 50
"""So many looks a second at what the process holds."""


@dataclass
class Tally:
    """What came of the inputs of one kind."""

    inputs: int = 0
    past_header: int = 0
    escapes: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    large: list[str] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        return self.escapes + self.hangs + self.large + self.crashes


def _answer(kind: str, path: Path) -> str:
    """What the reader makes of a file: "" where it reads it, its refusal, or "escape: ..."."""
    from funcam.errors import FuncamError

    try:
        KINDS[kind].read(path)
    except FuncamError as error:
        told = str(error)
        unfit = told.count("\n") > 1 or len(told) > 1200 or any(ord(letter) < 32 for letter in told.replace("\n", ""))
        return f"escape: a message that is none: {told[:300]!r}" if unfit else f"refused: {told}"
    except BaseException:  # a panic in Rust is no Exception
        return f"escape: {traceback.format_exc()[-1500:]}"
    return ""


def _work(kind: str, pipe: Connection, coverage_file: str) -> None:
    """The process that reads: a path in, an answer out."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what libtiff and its like have to say
    with contextlib.ExitStack() as stack:
        if coverage_file:
            import coverage

            measured = coverage.Coverage(coverage_file, source=["funcam"], data_suffix=True)
            stack.callback(measured.save)
            stack.enter_context(measured.collect())
        while path := pipe.recv():
            pipe.send(_answer(kind, Path(path)))


class Watched:
    """A process that reads, started anew when it was killed."""

    def __init__(self, kind: str, coverage_file: str = "") -> None:
        self.kind, self.coverage_file = kind, coverage_file
        self.start()

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(self.kind, theirs, self.coverage_file), daemon=True)
        self.process.start()
        theirs.close()

    def read(self, path: Path, patience: int = SECONDS) -> str:
        """What came of a file: an answer of `_answer`'s, or "hang", "large", "crash"."""
        self.pipe.send(str(path))
        begun = self.spent()
        for _ in range(_WAIT * _LOOKS):
            if self.pipe.poll(1 / _LOOKS):
                try:
                    answer: str = self.pipe.recv()
                except EOFError:
                    return self.again("crash")
                return answer if self.peak() <= GIGABYTE else self.again("large")
            if self.peak() > GIGABYTE:
                return self.again("large")
            if self.spent() - begun > patience:
                break
        return self.again("hang")

    def peak(self) -> int:
        """The most bytes that the process ever held in memory."""
        with contextlib.suppress(OSError), open(f"/proc/{self.process.pid}/status") as status:
            held = re.search(r"VmHWM:\s+(\d+) kB", status.read())
            return 1024 * int(held[1]) if held else 0
        return 0

    def spent(self) -> float:
        """The seconds of a processor that the process has had."""
        with contextlib.suppress(OSError), open(f"/proc/{self.process.pid}/stat") as status:
            fields = status.read().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return 0.0

    def again(self, why: str) -> str:
        self.process.kill()
        self.process.join()
        self.start()
        return why

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self.pipe.send("")
        self.process.join(20)
        self.process.kill()


def fuzz(kind: str, numbers: Iterable[int], coverage_file: str = "") -> Tally:
    """Read the files of a kind with these numbers."""
    seeds, tally = KINDS[kind].seeds(), Tally()
    places = {"hang": tally.hangs, "large": tally.large, "crash": tally.crashes}
    watched = Watched(kind, coverage_file)
    with tempfile.TemporaryDirectory() as folder:
        good = Path(folder, f"good{seeds[0].suffix}")
        good.write_bytes(seeds[0].data)
        watched.read(good, patience=60)  # what it imports is not the input's
        for number in numbers:
            suffix, data = made_worse(kind, seeds, number)
            path = Path(folder, f"{kind}{suffix}")
            path.write_bytes(data)
            answer = watched.read(path)
            tally.inputs += 1
            if answer in places:
                watched.read(good, patience=60)
                answer = _read_alone(kind, good, path) if coverage_file else answer
            if answer in places:
                places[answer].append(f"{kind} {number}: {answer}")
            elif answer.startswith("escape"):
                tally.escapes.append(f"{kind} {number}: {answer}")
            if not (answer.startswith("refused") and re.search(KINDS[kind].door, answer)):
                tally.past_header += 1
    watched.stop()
    return tally


def _read_alone(kind: str, good: Path, path: Path) -> str:
    """What comes of a file where nobody counts lines, which makes Python three times as slow."""
    watched = Watched(kind)
    watched.read(good, patience=60)
    answer = watched.read(path)
    watched.stop()
    return answer


def _share_covered(kind: str, coverage_file: str) -> str:
    import coverage

    import funcam

    data = coverage.Coverage(coverage_file)
    data.combine()
    room = Path(funcam.__file__).parent
    counts = [data.analysis2(str(room / name)) for name in KINDS[kind].readers]
    lines, missing = sum(len(each[1]) for each in counts), sum(len(each[3]) for each in counts)
    return f"{100 * (lines - missing) / lines:.0f} %"


def main() -> None:
    """Fuzz, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    arguments = parser.parse_args()
    print("| kind | inputs | past the header | escapes | crashes | hangs | over 1 GB | lines of the readers |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for kind in arguments.kinds:
        with tempfile.TemporaryDirectory() as folder:
            coverage_file = str(Path(folder, "coverage"))
            tally = fuzz(kind, range(arguments.inputs), coverage_file)
            covered = _share_covered(kind, coverage_file)
        faults = " | ".join(str(len(each)) for each in (tally.escapes, tally.crashes, tally.hangs, tally.large))
        past = f"{100 * tally.past_header / tally.inputs:.0f} %"
        print(f"| {kind} | {tally.inputs:,} | {past} | {faults} | {covered} |", flush=True)
        for fault in tally.faults():
            print(fault, flush=True)


if __name__ == "__main__":
    main()
