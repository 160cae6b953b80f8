"""Recipes by name, and those that `funcam evaluate` found. No torch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from funcam.errors import FuncamError, nearest
from funcam.recipe import Recipe

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
        summary="tight boxes on photos: Prototype CAM of an image of twice the size",
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
    if not os.path.exists(text):
        raise FuncamError(
            f"unknown recipe {text!r}; expected {', '.join(RECIPES)} (nearest: {nearest(text, RECIPES, 1)}), or the "
            "recipe.json that `funcam evaluate` writes"
        )
    try:
        document = json.loads(Path(text).read_text(encoding="utf-8"))
        return _recipe_in(document.get("best", document))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FuncamError(
            f"recipe {text!r} can't be read ({type(error).__name__}: {error}); expected the recipe.json that `funcam "
            "evaluate` writes"
        ) from None


def _recipe_in(entry: Mapping[str, Any]) -> Recipe:
    method, layers, combine, smooth, size = (
        entry[name] for name in ("method", "layers", "combine", "smooth", "input_size")
    )
    if not isinstance(method, str) or not isinstance(size, int):
        raise TypeError(f"method {method!r} and input_size {size!r} should be a word and a number")
    if isinstance(layers, str) or isinstance(smooth, str):
        raise TypeError(f"layers {layers!r} and smooth {smooth!r} should be lists of words")
    return Recipe((method,), tuple(layers), combine, tuple(smooth), input_size=size, passes=entry.get("cost"))
