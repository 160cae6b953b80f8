"""Output that can't be written, words of five thousand letters, Ctrl-C at the very end: one line each, no traceback."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from command_line import Funcam

from funcam.cli.messages import complain, loading

Process = Callable[..., "subprocess.Popen[str]"]
FULL = Path("/dev/full")

AT_THE_END = """
import atexit, os, signal, sys
atexit.register(os.kill, os.getpid(), signal.SIGINT)
from funcam.cli import main
sys.argv = ["funcam", *sys.argv[1:]]
main()
"""

HELD_DOWN = """
import os, signal, sys, threading, time
import funcam.cli
cli = sys.modules["funcam.cli.main"]
signal.signal(signal.SIGINT, signal.default_int_handler)
def held():
    while True:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.002)
def complain(message, code, tell=cli.complain):
    threading.Thread(target=held, daemon=True).start()
    time.sleep(0.05)
    return tell(message, code)
def command(**_):
    threading.Thread(target=time.sleep, args=(0.3,)).start()  # as one that finishes its file
    raise KeyboardInterrupt
cli.complain, cli.app = complain, command
cli.main()
"""


@pytest.mark.skipif(not FULL.exists(), reason="a device that is always full, as Linux has it")
@pytest.mark.parametrize(
    "arguments", [pytest.param(["nets"], marks=pytest.mark.slow), ["--help"], ["--version"], ["methods"]]
)
def test_output_to_a_full_disk(process: Process, arguments: list[str]) -> None:
    with FULL.open("w") as full:
        started = process("-m", "funcam", *arguments, stdout=full)
        (line,) = started.communicate()[1].splitlines()
    assert line == "funcam: the output can't be written (No space left on device); make room or send it elsewhere"
    assert started.returncode == 1


@pytest.mark.skipif(not FULL.exists(), reason="a device that is always full, as Linux has it")
def test_errors_that_can_not_be_written_stop_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    with FULL.open("w") as full:
        monkeypatch.setattr("sys.stderr", full)
        with loading("a network", silent=False):
            pass
        assert complain("an image is damaged", 1) == 1
        with suppress(OSError):  # what could not be written is tried again
            full.close()


@pytest.mark.skipif(not FULL.exists(), reason="a device that is always full, as Linux has it")
def test_errors_to_a_full_disk_keep_their_exit_code(process: Process) -> None:
    with FULL.open("w") as full:
        started = process("-m", "funcam", "nope", stderr=full)
        started.communicate()
    assert started.returncode == 2


@pytest.mark.parametrize("letters", ["x", "\x1b", "\n", "é"])
@pytest.mark.parametrize("before", [["explain", "--fit"], ["explain", "--colormap"], ["evaluate", "--by"]])
def test_wrong_use_of_five_thousand_letters(funcam: Funcam, before: list[str], letters: str) -> None:
    ran = funcam(*before, letters * 5000)
    assert ran.code == 2
    (line,) = ran.err.splitlines()
    assert 100 < len(line) <= 1010


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["nope"], 2)])
def test_ctrl_c_while_python_ends(process: Process, arguments: list[str], code: int) -> None:
    started = process("-c", AT_THE_END, *arguments)
    _, told = started.communicate()
    assert started.returncode == code
    assert "Traceback" not in told
    assert "KeyboardInterrupt" not in told


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_ctrl_c_held_down(process: Process) -> None:
    started = process("-c", HELD_DOWN)
    assert started.communicate() == ("", "funcam: interrupted\n")
    assert started.returncode == 130


WHILE_IT_STARTS = """
import builtins, os, runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
load = builtins.__import__
def interrupted(name, *arguments, **named):
    if name == "funcam.cli.explain":
        os.kill(os.getpid(), signal.SIGINT)
    return load(name, *arguments, **named)
builtins.__import__ = interrupted
sys.argv = ["funcam", "nets"]
runpy.run_module("funcam", run_name="__main__")
"""


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_ctrl_c_while_it_starts(process: Process) -> None:
    started = process("-c", WHILE_IT_STARTS)
    assert started.communicate() == ("", "funcam: interrupted\n")
    assert started.returncode == 130
