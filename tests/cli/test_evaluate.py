"""``funcam evaluate``: what is chosen on one half is reported on the other."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cli.conftest import Funcam
from funcam.comparison.choosing import ranked
from funcam.errors import FuncamError


def test_the_best_on_one_half_comes_first(funcam: Funcam) -> None:
    ran = funcam(
        "evaluate", "--scenes", 12, "-m", "grad-cam,random-cam", "-l", "trunk_output", "--by", "energy", "--json"
    )
    found = json.loads(ran.out)
    assert (ran.code, ran.err) == (0, "")
    assert [row["method"] for row in found["ranking"]] == ["grad-cam", "random-cam"]
    first = found["ranking"][0]
    assert first["chosen_on"]["n"] > 0
    assert first["found_on"]["n"] > 0
    assert first["found_on"]["value"] > found["ranking"][1]["found_on"]["value"]


def test_layers_are_found_if_none_is_named(funcam: Funcam) -> None:
    out = funcam("evaluate", "--scenes", 4, "-m", "layer-cam").out
    assert "trunk_output.block1" in out
    assert out.splitlines()[-1].startswith("best layer-cam at ")


def test_wrong_words(funcam: Funcam) -> None:
    funcam("evaluate", "--scenes", 4, "--by", "speed").error(2, r"--by 'speed' is no metric; nearest: ")
    funcam("evaluate").error(2, r"no images to compare on")
    funcam("evaluate", "--scenes", 4, "-m", "nothing").error(2, r"unknown method 'nothing'")


def values_of(rng: np.random.Generator) -> tuple[dict, list[str]]:
    images = [f"{number // 2}.png" for number in range(40)]  # two rows an image
    good, bad = rng.random(40) / 2 + 0.5, rng.random(40) / 2
    return {("n", "a", "x"): {"energy": bad}, ("n", "b", "x"): {"energy": good}}, images


def test_halves_share_no_image_and_together_are_all() -> None:
    values, images = values_of(np.random.default_rng(0))
    choices = ranked(values, images, "energy")
    assert [choice.layer for choice in choices] == ["b", "a"]
    for choice in choices:
        assert choice.chosen_on.n + choice.found_on.n == 40
        assert choice.chosen_on.n % 2 == 0
        whole = values["n", choice.layer, "x"]["energy"].sum()
        parts = choice.chosen_on.value * choice.chosen_on.n + choice.found_on.value * choice.found_on.n
        assert parts == pytest.approx(whole)


def test_less_is_better_where_it_is() -> None:
    values, images = values_of(np.random.default_rng(0))
    renamed = {place: {"deletion": columns["energy"]} for place, columns in values.items()}
    assert [choice.layer for choice in ranked(renamed, images, "deletion")] == ["a", "b"]


def test_what_cannot_be_ranked() -> None:
    values, images = values_of(np.random.default_rng(0))
    with pytest.raises(FuncamError, match="unknown metric 'enegy'; nearest: 'energy'"):
        ranked(values, images, "enegy")
    with pytest.raises(FuncamError, match="insertion was not measured; it needs passes"):
        ranked(values, images, "insertion")
    with pytest.raises(FuncamError, match="at least two images"):
        ranked({("n", "a", "x"): {"energy": np.ones(1)}}, ["0.png"], "energy")
