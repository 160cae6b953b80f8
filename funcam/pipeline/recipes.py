"""Recipes by name, and those that `funcam evaluate` found. No torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from funcam.errors import FuncamError, nearest, shown
from funcam.files import MIB, exists, parse_json, read_text
from funcam.recipe import COMBINATIONS, SMOOTHINGS, Recipe

ALL = "all"
"""Instead of methods' names: every method that the network can have."""

CAMS = ("grad-cam", "grad-cam++")
GUIDED = ("guided-backprop", "guided-grad-cam")
"""With `CAMS` the usual methods; these where the network has ReLUs."""

RECIPES: dict[str, Recipe] = {
    "localise": Recipe(
        ("prototype-cam",),
        scale=2,
        passes=4,
        summary="tight boxes on photos of one object: Prototype CAM of an image of twice the size",
    ),
}
"""Chosen on one half of 300 photos, measured on the other: `docs/comparison.md`. Four times the pixels are four
passes; measured they were 4.3 to 7.8."""


def find_recipe(text: str) -> Recipe:
    """A recipe by its name, or the best one in a `recipe.json` of `funcam evaluate`; it has one method.

    Args:
        text: the name or the path.

    Raises:
        FuncamError: no recipe has that name and there is no such file, or the file holds none.

    Example:
        >>> find_recipe("localise").size_for(224)
        448
    """
    if text in RECIPES:
        return RECIPES[text]
    if not exists(text):
        raise FuncamError(
            f"unknown recipe {text!r}; expected {', '.join(RECIPES)} (nearest: {nearest(text, RECIPES, 1)}), or the "
            "recipe.json that `funcam evaluate` writes"
        )
    try:
        return _recipe_in(parse_json(read_text(text, most=MIB, name="the file"), "the file", "write it again"))
    except FuncamError as error:
        raise FuncamError(
            f"recipe {text!r} can't be read ({error}); expected the recipe.json that `funcam evaluate` writes"
        ) from None


def _recipe_in(document: Any) -> Recipe:
    best = document.get("best", document) if isinstance(document, dict) else None
    entry: dict[str, Any] = best if isinstance(best, dict) else {}
    missing = [word for word in _ENTRIES if word not in entry]
    if missing:
        raise FuncamError(f"KeyError: it has no {', '.join(missing)}")
    for word, (fits, kind) in _ENTRIES.items():
        if not fits(entry[word]):
            raise FuncamError(f"{word} {shown(entry[word])} should be {kind}")
    return Recipe(
        (entry["method"],),
        tuple(entry["layers"]),
        entry["combine"],
        tuple(entry["smooth"]),
        input_size=entry["input_size"],
        passes=entry.get("cost") if _is_cost(entry.get("cost")) else None,
    )


def _is_cost(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < 1e9


def _is_size(value: Any) -> bool:
    return type(value) is int and value <= _LARGEST_SIZE  # what is too small, `Recipe` refuses


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_WORD


def _are_words(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= _MOST_WORDS and all(map(_is_word, value))


_LONGEST_WORD, _MOST_WORDS, _LARGEST_SIZE = 255, 64, 2**11

_ENTRIES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "method": (_is_word, "the name of a method"),
    "layers": (_are_words, "a list of names"),
    "combine": (lambda value: value in (None, *COMBINATIONS), f"one of {', '.join(COMBINATIONS)}, or null"),
    "smooth": (
        lambda value: _are_words(value) and set(value) <= set(SMOOTHINGS),
        f"a list of {' and '.join(SMOOTHINGS)}",
    ),
    "input_size": (_is_size, f"a number of pixels, at most {_LARGEST_SIZE}"),
}
"""What a recipe in a file has to have, what fits, and what is said to be expected."""
