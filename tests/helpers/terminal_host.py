"""Run as a program: imports what takes long, once, and forks for every command line that is to run on a terminal."""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import signal
import sys
import termios
from typing import Any

_SLOW = (
    "torch",
    "torchvision",
    "rich.progress",
    "funcam.pipeline.explaining",
    "funcam.comparison.run",
    "funcam.searching",
)


def serve() -> None:
    """Read requests, one a line; say when each has its terminal, and how it ended."""
    for name in _SLOW:
        importlib.import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _run(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _run(request: dict[str, Any]) -> None:
    os.setsid()
    tty = os.open(request["tty"], os.O_RDWR)
    fcntl.ioctl(tty, termios.TIOCSCTTY, 0)  # so that Ctrl-C reaches this process
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.write(sys.stdout.fileno(), b"started\n")
    out = os.open(request["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC) if request["out"] else tty
    for number, file in enumerate((tty, out, tty)):
        os.dup2(file, number)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    if request["program"] is not None:
        os.execv(sys.executable, [sys.executable, "-c", request["program"], *request["arguments"]])
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    sys.argv = ["funcam", *request["arguments"]]
    from funcam.cli.main import main

    main()


if __name__ == "__main__":
    serve()
