"""How a map is made: a recipe can be a key, says its size and its one method, and refuses what is none."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from funcam.errors import FuncamError
from funcam.recipe import Recipe


def test_equal_recipes_are_one_key() -> None:
    one = Recipe(("score-cam",), ("a", "b"), "mean", ("aug",), {"score-cam": {"strongest": 3}}, input_size=448)
    same = replace(one, options={"score-cam": {"strongest": 3}}, passes=4.0, summary="what it costs is no part of it")
    assert {one: "kept"}[same] == "kept"
    for change in (
        {"methods": ("fem",)},
        {"layers": ("b", "a")},
        {"combine": "max"},
        {"smooth": ()},
        {"options": {"score-cam": {"strongest": 4}}},
        {"input_size": None},
        {"scale": 2},
    ):
        assert replace(one, **change) not in {one}


@pytest.mark.parametrize(
    ("recipe", "side"), [(Recipe(), 224), (Recipe(scale=3), 672), (Recipe(input_size=64), 64)], ids=str
)
def test_the_size_of_the_input(recipe: Recipe, side: int) -> None:
    assert recipe.size_for(224) == side


@pytest.mark.parametrize(("methods", "shown"), [((), "none"), (("fem", "cam"), "fem, cam")])
def test_one_method_or_none_at_all(methods: tuple[str, ...], shown: str) -> None:
    with pytest.raises(FuncamError, match=f"one method was expected; this one has {shown}"):
        _ = Recipe(methods).method


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"methods": "grad-cam"}, "methods are 'grad-cam'; expected a tuple"),
        ({"layers": ["layer4"]}, "layers are .'layer4'.; expected a tuple"),
        ({"smooth": "aug"}, "smooth are 'aug'; expected a tuple"),
        ({"input_size": 0}, "input_size is 0; expected at least 1"),
        ({"scale": 0}, "scale is 0; expected at least 1"),
    ],
)
def test_what_is_no_recipe(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(FuncamError, match=message):
        Recipe(**arguments)  # type: ignore[arg-type]


def test_it_needs_no_torch() -> None:
    program = (
        "import funcam.recipe, funcam.comparison.plan, funcam.pipeline.recipes, sys; print('torch' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "False\n"
    )
