"""A recipe in words: as a result names its layers, in a line, as options of `funcam explain`, as JSON. No torch."""

from __future__ import annotations

import shlex
from typing import Any

from funcam.recipe import Recipe


def layers_in_results(recipe: Recipe) -> str:
    """The layers as a result names them; a recipe of a search has none only where its method has none.

    Example:
        >>> layers_in_results(Recipe(("layer-cam",), ("layer4", "layer3"), "mean")), layers_in_results(Recipe())
        ('layer4+layer3', 'whole network')
    """
    return "+".join(recipe.layers) or "whole network"


def described(recipe: Recipe) -> str:
    """The recipe in one line.

    Example:
        >>> described(Recipe(("layer-cam",), ("layer4", "layer3"), "mean", ("aug",), input_size=448))
        'layer-cam at layer4+layer3 (mean), smoothed by aug, 448 pixels'
    """
    combined = f" ({recipe.combine})" if recipe.combine else ""
    smoothed = f", smoothed by {' and '.join(recipe.smooth)}" if recipe.smooth else ""
    return f"{recipe.method} at {layers_in_results(recipe)}{combined}{smoothed}, {recipe.input_size} pixels"


def explain_options(recipe: Recipe, own_size: int) -> str:
    """The options of `funcam explain` that ask for it.

    Args:
        recipe: the recipe.
        own_size: side of the network's own input, for which no option is needed.

    Example:
        >>> explain_options(Recipe(("layer-cam",), ("layer4", "layer3"), "mean", ("aug",), input_size=448), 224)
        '--method layer-cam --layer layer4 --layer layer3 --combine mean --smooth aug --input-size 448'
    """
    words = ["--method", recipe.method]
    for option, values in (
        ("--layer", recipe.layers),
        ("--combine", (recipe.combine,) if recipe.combine else ()),
        ("--smooth", recipe.smooth),
        ("--input-size", (str(recipe.input_size),) if recipe.size_for(own_size) != own_size else ()),
    ):
        for value in values:
            words += [option, value]
    return shlex.join(words)


def recipe_document(recipe: Recipe) -> dict[str, Any]:
    """The recipe for JSON, as `funcam.pipeline.recipes.find_recipe` reads it; `layer` is its layers in results."""
    return {
        "layer": layers_in_results(recipe),
        "layers": list(recipe.layers),
        "method": recipe.method,
        "combine": recipe.combine,
        "smooth": list(recipe.smooth),
        "input_size": recipe.input_size,
    }
