"""The whole program, from the shell: Python, the help, the import of torch, and one picture."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.suite.case import Case, Group, Setting
from benchmarks.suite.drawn import photos
from benchmarks.suite.records import ROOT

TITLE = "the whole program from the shell"
FOR = "cpu"
TAKES: tuple[str, ...] = ("nets",)
IMPORT = "import torch, torchvision"
FUNCAM = "import sys; from funcam.cli import main; sys.exit(main())"


def groups(setting: Setting) -> Iterator[Group]:
    for name in setting.nets_or("mobilenet_v2", "densenet121"):
        yield Group(f"processes, {name}", partial(_cases, name, setting.quick), once=True)


def _cases(name: str, quick: bool) -> dict[str, Case]:
    """Quick: only what doesn't import torch, since each is started several times."""
    folder = tempfile.TemporaryDirectory()
    (photo,) = photos(Path(folder.name), 1, (224, 224))
    explain = ["explain", str(photo), "--net", name, "--weights", "random", "--out", folder.name]

    def case(*words: str) -> Case:
        return Case(partial(_started, words), keeps=folder)

    light = {"python -c pass": case("-c", "pass"), "funcam --help": case("-c", FUNCAM, "--help")}
    if quick:
        return light
    return light | {
        IMPORT: case("-c", IMPORT),
        "import funcam": case("-c", "import funcam"),
        f"funcam explain, {name}": case("-c", FUNCAM, *explain),
    }


def _started(words: tuple[str, ...]) -> None:
    """Run Python; what a program that fails says is the error."""
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, *words], env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError((done.stderr or done.stdout).strip().splitlines()[-1])
