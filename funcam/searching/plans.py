"""Recipes that share passes through a network, put together into plans of a comparison. No torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from funcam.comparison.plan import Plan
from funcam.recipe import Recipe


def plans_of(recipes: Iterable[Recipe], base: Plan) -> list[tuple[Plan, list[Recipe]]]:
    """The recipes, those together that share the passes through the network: a plan for each such group.

    Args:
        recipes: what is to be computed, of one method each.
        base: everything else: metrics, fit, batch.

    Example:
        >>> recipes = [Recipe((m,), (l,)) for m in ("grad-cam", "layer-cam") for l in ("layer3", "layer4")]
        >>> [(plan.recipe.methods, plan.recipe.layers) for plan, _ in plans_of(recipes, Plan())]
        [(('grad-cam', 'layer-cam'), ('layer3', 'layer4'))]
    """
    methods: dict[Recipe, list[str]] = defaultdict(list)
    for recipe in dict.fromkeys(recipes):
        methods[replace(recipe, methods=())].append(recipe.method)
    cuts: dict[Recipe, list[tuple[str, ...]]] = defaultdict(list)
    for rest, names in methods.items():
        alone = len(rest.layers) == 1  # any number of these are cut in one pass
        shared = replace(rest, methods=tuple(names), layers=() if alone else rest.layers)
        cuts[shared].append(rest.layers)
    return [_plan(shared, layers, base) for shared, layers in cuts.items()]


def _plan(shared: Recipe, cuts: Sequence[tuple[str, ...]], base: Plan) -> tuple[Plan, list[Recipe]]:
    """The methods at each of the cuts, all in one pass."""
    together = replace(shared, layers=tuple(layer for cut in cuts for layer in cut))
    apart = [replace(shared, methods=(method,), layers=cut) for method in shared.methods for cut in cuts]
    return replace(base, recipe=together), apart
