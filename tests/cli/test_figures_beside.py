"""Figures of several questions in one folder: none replaces another's, and one that stopped goes on under its name."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import Funcam, photo
from PIL import Image

SCENES = ("--scenes", "2", "--net", "scenes", "-m", "layer-cam", "--out", "out")
RUNS = {
    "compare": ("compare", *SCENES),
    "evaluate": ("evaluate", *SCENES, "--quick", "-l", "trunk_output", "--by", "energy"),
}
RECORD = {"compare": "results", "evaluate": "recipe"}
OTHERS: dict[str, Callable[[tuple[str, ...]], tuple[str, ...]]] = {
    "fit": lambda run: (*run, "--fit", "pad"),
    "images": lambda run: (*run, "--scenes", "3"),
    "network": lambda run: tuple("scenes=random" if word == "scenes" else word for word in run),
}


def figures() -> dict[str, bytes]:
    """What is in the folder, without what is kept of all questions."""
    return {path.name: path.read_bytes() for path in Path("out").iterdir() if path.suffix != ".jsonl"} | {
        "costs.json": b""
    }


def ran(funcam: Funcam, *words: object) -> str:
    told = funcam(*words)
    assert told.code == 0
    assert [line for line in told.err.splitlines() if not line.startswith("funcam: stage ")] == []
    return told.out


@pytest.mark.parametrize(
    ("command", "other"),
    [
        *(("compare", other) for other in OTHERS),
        ("evaluate", "network"),
        *(pytest.param("evaluate", other, marks=pytest.mark.slow) for other in ("fit", "images")),
    ],
)
def test_figures_of_another_question_stay(funcam: Funcam, command: str, other: str) -> None:
    run, usual = RUNS[command], RECORD[command]
    other_run = OTHERS[other](run)
    assert "are called" not in ran(funcam, *run)
    first = figures()
    said = ran(funcam, *other_run)
    both = figures()
    assert {name: both[name] for name in first} == first
    (record,) = {name for name in both.keys() - first.keys() if name.endswith(".json")}
    name = record.removesuffix(".json")
    assert f"{usual}.json in 'out' is of other options" in said
    assert f"these are called {name}; --overwrite takes it" in said
    assert sorted(json.loads(both[record])["files"].values()) == sorted(both.keys() - first.keys())

    again = json.loads(ran(funcam, *other_run, "--json"))
    assert again == json.loads(figures()[record])
    assert figures().keys() == both.keys()
    ran(funcam, *other_run, "--quiet", "--overwrite")
    assert figures().keys() == first.keys()
    assert json.loads(figures()[f"{usual}.json"])["asked"] == again["asked"]


def test_the_table_is_the_records(funcam: Funcam) -> None:
    for run in (RUNS["compare"], OTHERS["fit"](RUNS["compare"])):
        document: dict[str, Any] = json.loads(ran(funcam, *run, "--json"))
        with open(Path("out", document["files"]["table"]), newline="") as stream:
            values = [float(row["value"]) for row in csv.DictReader(stream)]
        assert values == [row["value"] for row in document["results"]]


def test_other_truth_is_another_question_and_mended_truth_the_same(funcam: Funcam, image: Path) -> None:
    Image.fromarray(photo(seed=1)).save("other.png")
    for name, box in (("a.csv", "30,5,60,35"), ("b.csv", "0,0,20,20")):
        Path(name).write_text(f"file,class_index,x0,y0,x1,y1\npic.png,3,{box}\nother.png,3,{box}\n")
    run = ("compare", "pic.png", "other.png", "--net", "scenes", "-m", "layer-cam", "--out", "out", "--quiet")
    ran(funcam, *run, "--truth", "a.csv")
    first = figures()
    ran(funcam, *run, "--truth", "b.csv")
    both = figures()
    assert {name: both[name] for name in first} == first
    assert len(both) == len(first) + 2
    Path("a.csv").write_text(Path("a.csv").read_text().replace("30,5,60,35", "40,15,70,45"))
    Image.fromarray(photo(seed=2)).save("other.png")
    ran(funcam, *run, "--truth", "a.csv")
    assert figures().keys() == both.keys()
    assert figures()["results.json"] != first["results.json"]


@pytest.mark.parametrize("stops_at", ["results.json", "results.csv"])
def test_one_that_stopped_while_it_wrote(funcam: Funcam, monkeypatch: pytest.MonkeyPatch, stops_at: str) -> None:
    """In an empty folder, and over its own earlier results: the same command goes on under the same name."""
    from funcam.files import write_atomically

    def write(path: Path, data: bytes, **named: Any) -> None:
        if Path(path).name == stops_at:
            raise KeyboardInterrupt
        write_atomically(path, data, **named)

    whole: dict[str, bytes] = {}
    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr("funcam.comparison.findings.write_atomically", write)
            assert funcam(*RUNS["compare"]).code == 130
        ran(funcam, *RUNS["compare"], "--quiet")
        assert figures().keys() == {"results.json", "results.csv", "costs.json"}
        assert not whole or figures() == whole
        whole = figures()


MINE = ('{"mine": 1}', '{"mine": 1}\n{"mine": 2}\n', '["mine"]', "mine", "")


@pytest.mark.parametrize(
    ("command", "mine"),
    [
        *(("compare", mine) for mine in MINE),
        ("evaluate", MINE[0]),
        *(pytest.param("evaluate", mine, marks=pytest.mark.slow) for mine in MINE[1:]),
    ],
)
def test_a_file_of_the_users_stays(funcam: Funcam, command: str, mine: str) -> None:
    Path("out").mkdir()
    Path("out", f"{RECORD[command]}.json").write_text(mine)
    ran(funcam, *RUNS[command], "--quiet")
    assert figures()[f"{RECORD[command]}.json"] == mine.encode()
    ran(funcam, *RUNS[command], "--quiet", "--overwrite")
    assert json.loads(figures()[f"{RECORD[command]}.json"])["files"]["record"] == f"{RECORD[command]}.json"


@pytest.mark.parametrize("mine", [pytest.param('{"apples": 3}', marks=pytest.mark.slow), "[1]"])
def test_costs_of_something_else_stay(funcam: Funcam, mine: str) -> None:
    Path("out").mkdir()
    Path("out/costs.json").write_text(mine)
    for _ in range(2):
        assert json.loads(ran(funcam, *RUNS["evaluate"], "--json"))["best"]["cost"] > 0
        assert Path("out/costs.json").read_text() == mine


@pytest.mark.parametrize("more", [(), ("--overwrite",)])
@pytest.mark.parametrize("command", RUNS)
def test_a_folder_in_their_place_stays(funcam: Funcam, command: str, more: tuple[str, ...]) -> None:
    place = Path("out", f"{RECORD[command]}.json")
    place.mkdir(parents=True)
    told = json.loads(ran(funcam, *RUNS[command], *more, "--json"))
    assert place.is_dir()
    assert Path("out", told["files"]["record"]).is_file()


@pytest.mark.parametrize("command", ["compare", "evaluate", "explain"])
def test_a_store_takes_no_other_files(funcam: Funcam, image: Path, command: str) -> None:
    """They would keep it from being gone on with."""
    batch = ("batch", image, "--net", "scenes", "--out", "out", "--quiet")
    ran(funcam, *batch)
    before = {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()}
    run = RUNS.get(command, ("explain", "pic.png", "--net", "scenes", "--out", "out"))
    funcam(*run).error(2, "--out: 'out' is a store of funcam batch; give another folder")
    assert before == {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()}
    ran(funcam, *batch, "--skip-done")


@pytest.mark.parametrize("command", RUNS)
def test_skip_done_is_what_they_do_anyway(funcam: Funcam, command: str) -> None:
    ran(funcam, *RUNS[command])
    journal = Path("out/images.jsonl").read_bytes()
    without, with_it = ran(funcam, *RUNS[command]), ran(funcam, *RUNS[command], "--skip-done")
    assert without == with_it
    assert "images were measured before" in with_it
    assert Path("out/images.jsonl").read_bytes() == journal
