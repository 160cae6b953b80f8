"""A recipe applied to a batch: the one place where its words become arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from funcam.attribution.explanation import Explanation, Model, explain_methods
from funcam.attribution.fast import prepared_for, said_of
from funcam.attribution.finite import without_warnings
from funcam.attribution.prepared import Prepared
from funcam.attribution.preparing import OtherMaps
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


def explain_prepared(
    model: Model,
    images: torch.Tensor,
    targets: Targets,
    recipe: Recipe,
    plainly: Callable[[Sequence[str]], list[Explanation]],
    *,
    output: Output = None,
    scores: Scores | None = None,
) -> tuple[list[Explanation], list[str]]:
    """By the prepared function of each method, or by the model as it is where that says another thing.

    Args:
        model: a module.
        images: as in `explain_recipe`.
        targets: classes, as in `funcam.explain`.
        recipe: the recipe.
        plainly: some of its methods by the model as it is.
        output: as in `funcam.explain`.
        scores: as in `funcam.explain`.

    Returns:
        The explanations, and what there is to say of how they were had.

    Raises:
        FuncamError: the model can't be prepared.
    """
    results: list[Explanation] = []
    notes = []
    for name in recipe.methods:
        one = replace(recipe, methods=(name,))
        try:
            (run,) = prepared_recipe(model, images, targets, one, output=output, scores=scores)
            with without_warnings():  # notes tell them
                results.append(run(images, targets if run.takes_classes else None))
            notes.append(said_of(run))
        except OtherMaps as error:
            results += plainly([name])
            notes.append(f"{name} is by the model as it is: {error}")
    return results, list(dict.fromkeys(notes))
