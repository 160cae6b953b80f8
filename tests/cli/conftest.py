"""What the tests of the command line share: running it, the shape of its errors, photos and files of weights."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from funcam.cli.main import main
from funcam.images import Pixels
from funcam.nets import build_net


@dataclass(frozen=True)
class Ran:
    """How a run of the command line ended."""

    code: int
    out: str
    err: str

    def error(self, code: int, expected: str) -> str:
        """The one line that was printed, on standard error, after nothing else."""
        assert self.code == code, self
        assert self.out == ""
        assert re.fullmatch(r"funcam: \S[^\n]*\S\n", self.err), self.err
        assert "Traceback" not in self.err
        assert re.search(expected, self.err), self.err
        return self.err


Funcam = Callable[..., Ran]
FORCING = ("FORCE_COLOR", "TTY_COMPATIBLE", "FUNCAM_DEBUG")


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


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a fresh Python in an empty folder, its output piped; none outlives the test."""
    kept = {name: value for name, value in os.environ.items() if name not in FORCING} | {"TERM": "xterm-256color"}
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object, **options: object) -> subprocess.Popen[str]:
        command = [sys.executable, *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        started.append(subprocess.Popen(command, cwd=tmp_path, env=kept, **pipes))  # type: ignore[call-overload]
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def photo(height: int = 60, width: int = 90, seed: int = 0) -> Pixels:
    """Something to look at: soft colours with a bright disc."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 160, (4, 6, 3), dtype=np.uint8))
    picture = np.array(small.resize((width, height), Image.Resampling.BICUBIC))
    rows, columns = np.ogrid[:height, :width]
    disc = (rows - height / 3) ** 2 + (columns - width / 2) ** 2 < (min(height, width) / 5) ** 2
    picture[disc] = (250, 240, 90)
    return picture


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


SCENES = ("--net", "scenes", "--weights", "random")
"""The fastest network, for what does not depend on one."""
