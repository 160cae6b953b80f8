"""A recipe applied to a batch: the one place where its words become arguments."""

from __future__ import annotations

import torch

from funcam.attribution.explanation import Explanation, Model, explain_methods
from funcam.attribution.fast import prepared_for
from funcam.attribution.finite import without_warnings
from funcam.attribution.prepared import Prepared
from funcam.errors import FuncamError
from funcam.network.axes import LayoutLike
from funcam.recipe import Recipe, Scores
from funcam.targets.target import Output, Targets


def explain_recipe(
    model: Model,
    images: torch.Tensor,
    targets: Targets,
    recipe: Recipe,
    *,
    output: Output = None,
    scores: Scores | None = None,
    layout: LayoutLike | None = None,
) -> list[Explanation]:
    """Explain with every method of a recipe, in one forward pass for all of them and all layers.

    Args:
        model: as in `funcam.explain`.
        images: `[B, channels, *size]`, already of the size that the recipe asks for.
        targets: as in `funcam.explain`.
        recipe: the recipe. Where it has one layer, there is nothing to combine.
        output: as in `funcam.explain`.
        scores: as in `funcam.explain`.
        layout: as in `funcam.explain`.

    Returns:
        For each method an explanation at each layer, or one if layers are combined or the method has none.

    Raises:
        FuncamError: as in `funcam.explain`.

    Example:
        >>> import torchvision
        >>> images, recipe = torch.rand(1, 3, 64, 64), Recipe(("grad-cam",), ("layer3", "layer4"), "mean")
        >>> [result.layer for result in explain_recipe(torchvision.models.resnet18(), images, None, recipe)]
        ['layer3+layer4']
    """
    several = len(recipe.layers) > 1
    with without_warnings():  # notes of the command line tell what the API warns of
        return explain_methods(
            model,
            images,
            targets,
            methods=recipe.methods,
            layer=recipe.layers if several else next(iter(recipe.layers), None),
            combine=recipe.combine if several else None,
            smooth=recipe.smooth,
            options=recipe.options,
            output=output,
            scores=scores,
            layout=layout,
        )


def prepared_recipe(
    model: Model,
    images: torch.Tensor,
    targets: Targets,
    recipe: Recipe,
    *,
    output: Output = None,
    scores: Scores | None = None,
) -> list[Prepared]:
    """The prepared function of each method of a recipe with one layer; they are kept for the next images.

    Args:
        model: a module.
        images: as in `explain_recipe`.
        targets: classes, as in `funcam.explain`.
        recipe: the recipe.
        output: as in `funcam.explain`.
        scores: as in `funcam.explain`.

    Raises:
        FuncamError: the model can't be prepared.
    """
    if len(recipe.layers) > 1:
        raise FuncamError(f"one layer can be prepared and {len(recipe.layers)} were given; name one, or leave fast out")
    layer = next(iter(recipe.layers), None)
    settings = {"layer": layer, "smooth": recipe.smooth, "output": output, "scores": scores}
    with without_warnings():
        return [
            prepared_for(model, images, targets, method=method, **settings, **recipe.options.get(method, {}))
            for method in recipe.methods
        ]
