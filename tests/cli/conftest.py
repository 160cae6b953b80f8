"""What the tests of the command line share: running it, the shape of its errors, photos and files of weights."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
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


@pytest.fixture
def funcam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Funcam:
    """Run the command line in this process, in an empty folder; nothing that is cached outside is found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no-cache"))
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "FUNCAM_DEBUG"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object) -> Ran:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["funcam", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capfd.readouterr()
        return Ran(caught.value.code, out, err)  # type: ignore[arg-type]

    return run


def python(code: str, *arguments: object, **options: object) -> list[str]:
    """The command that runs code in a fresh Python."""
    return [sys.executable, "-c", code, *map(str, arguments)]


def environment(folder: Path) -> dict[str, str]:
    """The environment of a fresh process: this one's, without colours that somebody forces."""
    kept = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "TTY_COMPATIBLE")}
    return {**kept, "TORCH_HOME": str(folder / "no-cache")}


@pytest.fixture
def process(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start a fresh process in an empty folder, its output piped."""

    def start(command: list[str], **options: object) -> subprocess.Popen[str]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        return subprocess.Popen(command, cwd=tmp_path, env=environment(tmp_path), **pipes)  # type: ignore[call-overload]

    return start


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
