"""Recipes by name and from a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from funcam.errors import FuncamError
from funcam.methods import METHODS
from funcam.pipeline.recipes import RECIPES, find_recipe

BEST = {"method": "layer-cam", "layers": ["a", "b"], "combine": "mean", "smooth": ["aug"], "input_size": 448, "cost": 9}


def test_every_named_recipe_is_of_a_method_there_is() -> None:
    for recipe in RECIPES.values():
        assert recipe.method in METHODS
        assert recipe.passes
        assert recipe.summary


def test_a_recipe_scales_the_networks_own_size() -> None:
    assert find_recipe("localise").size_for(224) == 448
    assert find_recipe("localise").size_for(128) == 256


def test_the_file_of_evaluate(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({"net": "x", "best": {**BEST, "layer": "a+b"}}))
    found = find_recipe(str(path))
    assert (found.method, found.layers, found.combine, found.smooth) == ("layer-cam", ("a", "b"), "mean", ("aug",))
    assert found.size_for(224) == 448
    assert found.passes == 9


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("no JSON", "can't be read"),
        ("{}", "KeyError"),
        (json.dumps({**BEST, "input_size": "big"}), "input_size 'big'"),
        (json.dumps({**BEST, "input_size": 0}), "input_size is 0"),
        (json.dumps({**BEST, "layers": "layer4"}), "layers 'layer4'"),
        (json.dumps({**BEST, "smooth": "aug"}), "smooth 'aug'"),
        (json.dumps({**BEST, "smooth": ["aug", "blur"]}), "smooth .* should be a list of aug and eigen"),
        (json.dumps({**BEST, "input_size": -1}), "input_size is -1; expected at least 1"),
        (json.dumps({**BEST, "input_size": 10**12}), "at most 2048"),
        (json.dumps({**BEST, "input_size": True}), "input_size True"),
        (json.dumps({**BEST, "input_size": 2.5}), "input_size 2.5"),
        (json.dumps({**BEST, "layers": "nope"}), "layers 'nope' should be a list of names"),
        (json.dumps({**BEST, "layers": [["a"]]}), "layers .* should be a list of names"),
        (json.dumps({**BEST, "layers": None}), "layers None should be a list of names"),
        (json.dumps({**BEST, "combine": {}}), "combine {} should be one of mean"),
        (json.dumps({**BEST, "method": "x" * 5000}), "method a str should be the name"),
        (json.dumps({"best": []}), "it has no method, layers"),
        ("[" * 100_000, "nested too deeply"),
        ("9" * 5000, "can't be read"),
        ("null", "it has no method"),
    ],
)
def test_a_file_that_is_none_is_told(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(content)
    with pytest.raises(FuncamError, match=told):
        find_recipe(str(path))


def test_an_unknown_name_gives_the_nearest() -> None:
    with pytest.raises(FuncamError, match="unknown recipe 'lokalise'; expected localise"):
        find_recipe("lokalise")
