"""Commands that are killed at any moment and started again: the results of one that went through, no file in part."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from command_line import photo
from PIL import Image

pytestmark = [pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX's"), pytest.mark.long]

if os.name == "posix":
    from mortal import Mortals, mortals

COMMANDS = {
    "compare": "compare --scenes 4 --net scenes --batch 2 --out out --report out/report.html --report out/gallery.md",
    "evaluate": "evaluate --scenes 4 --net scenes --batch 2 -m layer-cam -l trunk_output --by energy --out out",
    "explain": "explain a.png b.png c.png --net scenes -m grad-cam --maps --format png --out out",
    "batch": "batch a.png b.png c.png --net scenes --batch 2 --shard 2 --pictures overlay --out out",
}
TIMES = re.compile(r'"(seconds|cost|created)": ?("[^"]*"|[\d.]+)')  # what no two runs share, as the cheapest recipe
KILLS = {"compare": 8, "evaluate": 6, "explain": 6, "batch": 6}


@pytest.fixture(scope="module")
def programs() -> Iterator[Mortals]:
    with mortals() as opened:
        yield opened


def begun(folder: Path) -> Path:
    """A folder with photos."""
    folder.mkdir()
    for number, name in enumerate("abc"):
        Image.fromarray(photo(seed=number)).save(folder / f"{name}.png")
    return folder


def results(folder: Path) -> dict[str, object]:
    """What was written, by file, without the times; of the journal the lines, in whatever order they came."""
    found: dict[str, object] = {}
    for path in sorted((folder / "out").rglob("*")):
        name = str(path.relative_to(folder))
        if path.name == "images.jsonl":
            lines = [line for line in path.read_text().splitlines() if line]
            found[name] = sorted({line for line in lines if line.endswith("]}")})
        elif path.name in ("lock", "log.jsonl"):  # of a store, when and where
            continue
        elif path.name == "costs.json":
            found[name] = sorted(json.loads(path.read_text()))
        elif path.name == "recipe.json":
            found[name] = {**json.loads(TIMES.sub(r'"\1": 0', path.read_text(encoding="utf-8"))), "frugal": None}
        elif path.suffix in (".json", ".csv", ".md", ".html"):
            found[name] = re.sub(r"Made \S+", "", TIMES.sub("", path.read_text(encoding="utf-8")))
        elif path.suffix == ".npz":
            with np.load(path) as arrays:
                found[name] = {key: values.tobytes() for key, values in arrays.items()}
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


def assert_none_in_part(folder: Path) -> None:
    """Whatever has a name of its own in the folder is all there."""
    for path in folder.glob("out/*"):
        if path.name.startswith("."):
            continue  # a passing file
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix in (".png", ".jpg"):
            with Image.open(path) as image:
                image.load()
        elif path.suffix == ".npz":
            np.load(path).close()


def killed_and_run_again(programs: Mortals, command: str, tmp_path: Path, times: int, kills: int) -> None:
    """Each time killed at some moments, one run after the other, and at last let go on to its end."""
    words = COMMANDS[command].split()
    whole = begun(tmp_path / "whole")
    calls = programs.run(whole, *words)
    expected = results(whole)
    rng = random.Random(command)
    for number in range(times):
        folder = begun(tmp_path / str(number))
        for _ in range(kills):
            programs.run(folder, *words, last=rng.randrange(1, calls // (1 + (kills > 1))))
            assert_none_in_part(folder)
        programs.run(folder, *words)
        assert results(folder) == expected, number
        assert not list(folder.rglob(".*.tmp"))


@pytest.mark.parametrize(  # a store whose writer was killed: tests/store/test_resuming.py
    "command", ["compare", "explain", *(pytest.param(one, marks=pytest.mark.slow) for one in ("evaluate", "batch"))]
)
def test_one_that_was_killed_once(programs: Mortals, tmp_path: Path, command: str) -> None:
    killed_and_run_again(programs, command, tmp_path, times=1, kills=1)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_twenty_that_were_killed(programs: Mortals, tmp_path: Path, command: str) -> None:
    killed_and_run_again(programs, command, tmp_path, times=KILLS[command], kills=1)


@pytest.mark.slow
def test_one_that_is_killed_over_and_over(programs: Mortals, tmp_path: Path) -> None:
    killed_and_run_again(programs, "compare", tmp_path, times=1, kills=5)
