"""`funcam compare` in the folder of an earlier run, after something that it reads was changed: as in an empty one."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from command_line import Funcam
from PIL import Image

from funcam.cli.main import main
from funcam.comparison import scene_examples
from funcam.zoo.nets import load_net

pytestmark = pytest.mark.long

MINE = """
from pathlib import Path
from torch import nn
from funcam.zoo.nets import load_net

class Settings:
    def __init__(self):
        self.shift = [float(word) for word in Path("shi" + "ft.txt").read_text().split()]

class Mine(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = load_net("scenes").model
        self.settings = Settings()

    def forward(self, images):
        return self.net(images * 1.0 + self.settings.shift[1])

def mine():
    from dataclasses import replace
    net = load_net("scenes")
    return replace(net, model=Mine().eval())
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Photos with truth in words, what they mean, weights and a model in files, and a first run; and a copy of all."""
    folder, kept = tmp_path_factory.mktemp("measured"), tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        written()
        patch.setattr(sys, "argv", ["funcam", *RUN, "--out", "out"])
        with pytest.raises(SystemExit) as caught:
            main()
    assert caught.value.code == 0
    return folder, shutil.copytree(folder, kept, dirs_exist_ok=True)


def written() -> None:
    lines = ["file,class,x0,y0,x1,y1"]
    for number, example in enumerate(scene_examples(3)):
        Image.fromarray(example.load()[:210]).save(f"{number}.png")
        lines.append(f"{number}.png,{'thing' if number else 'star'},20,30,120,200")
    Path("truth.csv").write_text("\n".join(lines) + "\n")
    Path("names.csv").write_text("name,class_index\nthing,3\n")
    torch.save(dict(load_net("scenes").model.state_dict()), "weights.pth")
    Path("mine.py").write_text(MINE)
    Path("shift.txt").write_text("0.0 0.0")


@pytest.fixture
def place(funcam: Funcam, measured: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder as it was after the first run, dates and all: in another one an image is another."""
    folder, kept = measured
    shutil.rmtree(folder)
    shutil.copytree(kept, folder)
    monkeypatch.chdir(folder)


def rewritten(name: str, old: str, new: str) -> None:
    """A file with other words of the same length, of the same date."""
    path, text = Path(name), Path(name).read_text()
    assert old in text
    assert len(old) == len(new)
    before = path.stat()
    path.write_text(text.replace(old, new))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def other_weights() -> None:
    state = torch.load("weights.pth", weights_only=True)
    before = os.stat("weights.pth")
    torch.save(
        {name: value.roll(1, 0) if name == "fc.weight" else value for name, value in state.items()}, "weights.pth"
    )
    os.utime("weights.pth", ns=(before.st_atime_ns, before.st_mtime_ns))


def other_pixels() -> None:
    Image.fromarray(scene_examples(9)[8].load()[:210]).save("1.png")


CHANGES: dict[str, Callable[[], None]] = {
    "truth": lambda: rewritten("truth.csv", "120,200", "121,201"),
    "a class": lambda: rewritten("truth.csv", "1.png,thing", "1.png,heart"),
    "names": lambda: rewritten("names.csv", "thing,3", "thing,5"),
    "pixels": other_pixels,
    "weights": other_weights,
    "settings": lambda: rewritten("shift.txt", " 0.0", " 0.5"),
    "code": lambda: rewritten("mine.py", "images * 1.0", "images * 0.3"),
}
OPTIONS = {
    "method": ("--method", "layer-cam"),
    "layer": ("--layer", "a=trunk_output.block1"),
    "combine": ("--layer", "a=trunk_output", "--layer", "a=trunk_output.block1", "--combine", "max"),
    "smooth": ("--smooth", "aug"),
    "set": ("--method", "score-cam", "--set", "score-cam.strongest=2"),
    "fit": ("--fit", "crop"),
    "size": ("--input-size", "96"),
    "target": ("--target", "predicted"),
}
NETS = ("--net", "a:scenes=weights.pth", "--net", "b:mine.py:mine")
RUN = ("compare", "0.png", "1.png", "2.png", *NETS, "--truth", "truth.csv", "--names", "names.csv")


def results(out: str) -> str:
    return Path(out, "results.csv").read_text()


def figures(funcam: Funcam, out: str, *options: str) -> str:
    ran = funcam(*RUN, *options, "--out", out)
    assert (ran.code, ran.err) == (0, "")
    return results(out)


def test_nothing_that_was_changed(funcam: Funcam, place: None) -> None:
    before, journal = results("out"), Path("out/images.jsonl").read_bytes()
    assert figures(funcam, "out") == before == figures(funcam, "fresh")
    assert Path("out/images.jsonl").read_bytes() == journal


# tests/comparison/test_resuming.py changes them, too, below the command.
ELSEWHERE = {"truth", "a class", "pixels", "code", "layer", "combine", "smooth", "set", "fit", "size", "target"}


@pytest.mark.parametrize(
    "what", [pytest.param(what, marks=pytest.mark.slow) if what in ELSEWHERE else what for what in CHANGES]
)
def test_a_file_that_was_changed(funcam: Funcam, place: None, what: str) -> None:
    before = results("out")
    CHANGES[what]()
    assert figures(funcam, "out") == figures(funcam, "fresh") != before


@pytest.mark.parametrize(
    "what", [pytest.param(what, marks=pytest.mark.slow) if what in ELSEWHERE else what for what in OPTIONS]
)
def test_an_option_that_was_changed(funcam: Funcam, place: None, what: str) -> None:
    before = results("out")
    other = ("--overwrite", *OPTIONS[what])
    assert figures(funcam, "out", *other) == figures(funcam, "fresh", *other) != before
    assert figures(funcam, "out", "--overwrite") == before
