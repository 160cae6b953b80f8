"""Recipes by name, and those that `funcam evaluate` found: everything that makes a map of an image. No torch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from funcam.errors import FuncamError, nearest


@dataclass(frozen=True)
class Prescription:
    """What a recipe asks for.

    Attributes:
        method: the method.
        layers: where to cut; none is the network's default layer.
        combine: how several layers' maps become one.
        smooth: `aug`, `eigen` or both.
        input_size: side of the network's input in pixels; None for `scale` times its own.
        scale: how many times its own size.
        passes: what it costs, in forward passes of the network at its own size; None where nobody knows.
        summary: what it is for.
    """

    method: str
    layers: tuple[str, ...] = ()
    combine: str | None = None
    smooth: tuple[str, ...] = ()
    input_size: int | None = None
    scale: int = 1
    passes: float | None = None
    summary: str = ""

    def size_for(self, own: int) -> int:
        """The side of the input of a network whose own is `own` pixels."""
        return self.input_size or self.scale * own


RECIPES: dict[str, Prescription] = {
    "localise": Prescription(
        "prototype-cam", scale=2, passes=4, summary="tight boxes on photos: Prototype CAM of an image of twice the size"
    ),
}
"""Chosen on one half of 300 photos, measured on the other: `docs/comparison.md`. Four times the pixels are four
passes; measured they were 4.3 to 7.8."""


def find_recipe(text: str) -> Prescription:
    """A recipe by its name, or the best one in a `recipe.json` of `funcam evaluate`.

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
        return _prescribed(document.get("best", document))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FuncamError(
            f"recipe {text!r} can't be read ({type(error).__name__}: {error}); expected the recipe.json that `funcam "
            "evaluate` writes"
        ) from None


def _prescribed(found: Mapping[str, Any]) -> Prescription:
    method, layers, combine, size = (found[name] for name in ("method", "layers", "combine", "input_size"))
    if not isinstance(method, str) or not isinstance(size, int):
        raise TypeError(f"method {method!r} and input_size {size!r} should be a word and a number")
    return Prescription(method, tuple(layers), combine, tuple(found["smooth"]), size, passes=found.get("cost"))
