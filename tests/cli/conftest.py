"""Running the command line: in this process or in one of its own, with a photo and a file of weights."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from command_line import FORCING, Funcam, Ran, photo
from PIL import Image

from funcam.cli.main import main
from funcam.zoo.nets import build_net

if TYPE_CHECKING:
    from terminal import Terminals


@pytest.fixture
def funcam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Funcam:
    """Run the command line in this process, in an empty folder; nothing that is cached outside is found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no-cache"))
    for name in FORCING:
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object) -> Ran:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["funcam", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capfd.readouterr()
        return Ran(caught.value.code, out, err)  # type: ignore[arg-type]

    return run


def environment() -> dict[str, str]:
    """The variables of a terminal that does everything, and nothing that says otherwise."""
    return {name: value for name, value in os.environ.items() if name not in FORCING} | {"TERM": "xterm-256color"}


@pytest.fixture(scope="session")
def terminals() -> Iterator[Terminals]:
    """Runs command lines on terminals."""
    pytest.importorskip("termios", reason="pseudo-terminals are Unix's")
    from terminal import Terminals

    opened = Terminals(environment())
    yield opened
    opened.close()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a fresh Python in an empty folder, its output piped; none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object, **options: object) -> subprocess.Popen[str]:
        command = [sys.executable, *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        started.append(subprocess.Popen(command, cwd=tmp_path, env=environment(), **pipes))  # type: ignore[call-overload]
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A photo in the folder in which the command line runs."""
    Image.fromarray(photo()).save(tmp_path / "pic.png")
    return Path("pic.png")


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of the smallest ShuffleNet, in a file."""
    file = tmp_path_factory.mktemp("weights") / "small.pth"
    torch.save(build_net("shufflenet_v2_x0_5").model.state_dict(), file)
    return file
