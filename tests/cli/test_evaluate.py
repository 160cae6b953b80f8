"""``funcam evaluate``: the best recipe, what is printed and written of it, and wrong words."""

from __future__ import annotations

import json
import re
import shutil
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from command_line import Funcam, photo
from PIL import Image

from funcam.cli import progress
from funcam.cli.main import main

SEARCH = ("evaluate", "--scenes", 4, "-m", "layer-cam", "-l", "trunk_output")
WHOLE = (*SEARCH, "--fit", "crop")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a search that went through: the same command finds what it measured there."""
    folder = tmp_path_factory.mktemp("searched")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["funcam", *map(str, WHOLE), "--quiet"])
        with pytest.raises(SystemExit) as caught:
            main()
    assert caught.value.code == 0
    return folder / "evaluation"


@pytest.mark.parametrize(("quick", "stages"), [((), 4), (("--quick",), 2)])
def test_each_step_is_told_where_no_bar_can_be_drawn(
    funcam: Funcam, searched: Path, quick: tuple[str, ...], stages: int
) -> None:
    shutil.copytree(searched, "evaluation")
    told = funcam(*WHOLE, *quick).err.splitlines()
    names = ["methods and layers", *(("variations", "together") if not quick else ()), "costs"]
    steps = [re.fullmatch(r"funcam: stage (\d) of (\d), ([\w ]+): \d+ recipes?(, \d+ images)?", line) for line in told]
    assert [step and (int(step[1]), int(step[2]), step[3], step[4] is None) for step in steps] == [
        (number, stages, name, name == "costs") for number, name in enumerate(names, 1)
    ]
    assert funcam(*WHOLE, *quick, "--quiet").err == ""


@pytest.mark.parametrize(("more", "told"), [((), True), (("--json",), True), (("--quiet",), False)])
def test_long_steps_say_how_far_they_are(
    funcam: Funcam, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...], told: bool
) -> None:
    monkeypatch.setattr(progress, "Lines", partial(progress.Lines, every=0))
    ran = funcam(*SEARCH, "--quick", "--batch", 2, *more)
    lines = [line for line in ran.err.splitlines() if " of " in line and not line.startswith("funcam: stage")]
    found = [
        re.fullmatch(r"funcam: ([\w ]+) \(\d\): (\d+) of (\d+) (\w+), [\d.]+ \w+/s, .* left", line) for line in lines
    ]
    steps = [step and step.groups() for step in found]
    assert steps == [("methods and layers", "2", "4", "images"), ("costs", "1", "2", "recipes")] * told


def test_the_best_on_one_half_comes_first(funcam: Funcam) -> None:
    ran = funcam(
        "evaluate",
        *("--scenes", 12, "-m", "grad-cam,random-cam", "-l", "trunk_output", "--by", "energy", "--json", "--quick"),
    )
    found = json.loads(ran.out)
    assert (ran.code, ran.err) == (0, "")
    assert [row["method"] for row in found["ranking"]] == ["grad-cam", "random-cam"]
    best, other = found["ranking"]
    assert found["images"] == {"chosen_on": best["chosen_on"]["n"], "found_on": best["found_on"]["n"]}
    assert best["found_on"]["value"] > other["found_on"]["value"]
    assert found["best"]["verdict"] == "unsure"
    assert "nothing that was tried is better than the network's default" in found["sentences"][0]
    assert {name: found["best"][name] for name in best} == best == found["default"]


def test_the_recipe_is_written_as_it_is_printed(funcam: Funcam, searched: Path, tmp_path: Path) -> None:
    shutil.copytree(searched, "here")
    (tmp_path / "here" / "recipe.json").unlink()
    ran = funcam(*WHOLE, "--json", "-o", "here")
    found = json.loads(ran.out)
    assert (tmp_path / "here" / "recipe.json").read_text() == ran.out
    assert len(found["ranking"]) == 5  # as it is, aug, eigen, twice the size, that with the better of the others
    best, first = found["best"], found["ranking"][0]
    assert best["words"] == first["words"]
    asked = best["options"].split()
    assert asked[asked.index("--method") + 1] == best["method"]
    assert [word for option, word in pairwise(asked) if option == "--layer"] == best["layers"]
    assert ("--input-size" in asked) == (best["input_size"] != 128)
    assert best["threshold"]["level"] in [step / 20 for step in range(20)]
    assert all(row["cost"] > 0 for row in found["ranking"])


def test_the_table_tells_everything_once(funcam: Funcam, searched: Path) -> None:
    shutil.copytree(searched, "evaluation")
    before, *lines = funcam(*WHOLE).out.splitlines()
    assert before == "4 images were measured before; going on"
    assert lines[0].startswith("scenes, MaxBoxAccV2 in %: chosen on 2 images, found on 2 others")
    assert " ".join(lines[1].split()) == "recipe chosen on found on cost"
    assert sum("grad-cam at trunk_output, 128 pixels (default)" in line for line in lines) == 1
    told = "\n".join(lines[lines.index(next(line for line in lines if line.startswith("best:"))) :])
    for words in ("best: layer-cam at trunk_output", "the network's default", "had no say", "boxes are best above"):
        assert words in told
    assert "to use it: funcam explain ... --method layer-cam --layer trunk_output" in told
    assert re.search(r"to use it: .* --fit crop\n", told)
    assert "or funcam explain ... --recipe evaluation/recipe.json, which has all of this" in lines


def test_layers_and_methods_are_found_if_none_is_named(funcam: Funcam) -> None:
    found = json.loads(funcam("evaluate", "--scenes", 2, "--quick", "--json").out)
    assert {row["layer"] for row in found["ranking"]} == {"trunk_output", "trunk_output.block1", "stem.2"}
    assert {"grad-cam", "finer-cam", "layer-cam"} <= {row["method"] for row in found["ranking"]}


def test_photos_without_truth_choose_by_insertion(funcam: Funcam, tmp_path: Path) -> None:
    for seed in range(2):
        Image.fromarray(photo(seed=seed)).save(tmp_path / f"{seed}.png")
    asked = ("-m", "layer-cam", "-l", "trunk_output", "--quick", "--json", "--input-size", 64)
    found = json.loads(funcam("evaluate", "0.png", "1.png", *asked).out)
    assert found["metric"] == "insertion"
    assert found["best"]["threshold"] is None
    assert found["best"]["options"] == "--method layer-cam --layer trunk_output --input-size 64"
    assert (found["best"]["input_size"], found["default"]["input_size"]) == (64, 128)
    assert found["best"]["difference"]["low"] is None  # one image has no interval
    assert found["best"]["verdict"] == "unsure"


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """An import of it fails."""
    for name in ("funcam.searching.search", "funcam.searching.advice", "torch"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), r"no images to compare on"),
        (("--scenes", 4, "--by", "speed"), r"--by 'speed' is no metric; nearest: "),
        (("pic.png", "--by", "energy"), r"--by energy needs to know where the objects are; give --truth or --scenes"),
        (("--scenes", 4, "-m", "nothing"), r"unknown method 'nothing'"),
        (("--scenes", 4, "-m", "all"), r"--method all is not for a comparison"),
        (("--scenes", 4, "--fit", "stretch"), r"--fit 'stretch' is unknown"),
        (("--scenes", 4, "--net", "resnet5"), r"resnet5"),
        (("--scenes", 4, "--device", "gpu"), r"--device 'gpu' is unknown"),
        (("--scenes", 0), r"--scenes"),
    ],
)
@pytest.mark.usefixtures("image", "no_torch")
def test_wrong_words_are_answered_without_torch(funcam: Funcam, words: tuple[object, ...], message: str) -> None:
    funcam("evaluate", *words).error(2, message)


@pytest.mark.usefixtures("no_torch")
def test_help_is_answered_without_torch(funcam: Funcam) -> None:
    ran = funcam("evaluate", "--help")
    assert ran.code == 0
    assert "--quick" in ran.out


def test_layers_may_have_commas_between(funcam: Funcam) -> None:
    layers = "trunk_output,trunk_output.block1"
    found = json.loads(funcam("evaluate", "--scenes", 2, "--quick", "-m", "layer-cam", "-l", layers, "--json").out)
    assert {row["layer"] for row in found["ranking"]} == set(layers.split(","))


def test_one_image_has_no_halves(funcam: Funcam, image: Path) -> None:
    funcam("evaluate", image, "-m", "layer-cam").error(1, r"at least two images")


def test_the_options_and_the_file_are_explains(funcam: Funcam) -> None:
    found = json.loads(funcam(*SEARCH, "--input-size", 64, "--quick", "--json").out)["best"]
    explain = ("explain", "--scene", 2, "--json")
    records = [
        json.loads(funcam(*explain, *words).out)
        for words in (found["options"].split(), ["--recipe", "evaluation/recipe.json"])
    ]
    for record in records:
        assert record.pop("seconds") > 0
    assert records[0] == records[1]
    assert (records[0]["methods"], records[0]["layer"]) == (["layer-cam"], "trunk_output")
    assert records[0]["input_size"] == {"width": 64, "height": 64}
