"""Run as a program: imports what takes long, once, and forks for every command line, which dies where it is told to.

What counts is how many functions were called, not how long it took: every moment is one that can be had again.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from types import FrameType
from typing import Any

_SLOW = (
    *("torch", "torchvision", "rich.progress", "funcam.cli", "funcam.pipeline.explaining", "funcam.comparison.run"),
    *("funcam.pipeline.writing", "funcam.report", "funcam.searching.search", "funcam.searching.recommendation"),
)


class Mortals:
    """Command lines that are killed by SIGKILL at a call of theirs."""

    def __init__(self, host: Popen[str]) -> None:
        self._host = host

    def run(self, folder: Path, *arguments: object, last: int | None = None) -> int:
        """Run `funcam` in a folder; give the number of calls that it made.

        Args:
            folder: where.
            arguments: the words after `funcam`.
            last: the call at which it is killed; None to let it live.
        """
        request = {"folder": str(folder), "arguments": list(map(str, arguments)), "last": last}
        assert self._host.stdin is not None
        assert self._host.stdout is not None
        print(json.dumps(request), file=self._host.stdin, flush=True)
        answer = json.loads(self._host.stdout.readline())
        assert answer["code"] == (0 if last is None else -signal.SIGKILL), answer
        return int(answer["calls"])


@contextmanager
def mortals() -> Iterator[Mortals]:
    """The program, which imports once."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with Popen([sys.executable, __file__], stdin=PIPE, stdout=PIPE, text=True, env=environment) as host:
        yield Mortals(host)


def serve() -> None:
    """Read requests, one a line; say how each ended."""
    for name in _SLOW:
        importlib.import_module(name)
    for line in sys.stdin:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            _run(json.loads(line), writing)
        os.close(writing)
        with os.fdopen(reading) as stream:
            said = stream.read()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps({"code": code, "calls": int(said or 0)}), flush=True)


def _run(request: dict[str, Any], writing: int) -> None:
    os.chdir(request["folder"])
    said = os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    sys.argv = ["funcam", *request["arguments"]]
    from funcam.cli.main import main

    calls = 0

    def count(_frame: FrameType, _event: str, _argument: object) -> None:
        nonlocal calls
        calls += 1
        if calls == request["last"]:
            os.kill(os.getpid(), signal.SIGKILL)

    code = 1
    sys.setprofile(count)
    try:
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.setprofile(None)
        sys.stdout.flush()
        os.write(writing, str(calls).encode())
        os._exit(code)


if __name__ == "__main__":
    serve()
