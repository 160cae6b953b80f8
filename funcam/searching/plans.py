"""A recipe: everything that makes one map of an image for one network. No torch."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from funcam.comparison.plan import Plan


@dataclass(frozen=True)
class Recipe:
    """How a map is made.

    Attributes:
        method: the method.
        layers: where to cut; several are combined, none is for a method without a layer.
        input_size: side of the network's input in pixels.
        combine: how several layers' maps become one.
        smooth: `aug`, `eigen` or both.
    """

    method: str
    layers: tuple[str, ...]
    input_size: int
    combine: str | None = None
    smooth: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """The layers as a result names them."""
        return "+".join(self.layers) or "whole network"

    @property
    def words(self) -> str:
        """The recipe in one line.

        Example:
            >>> Recipe("layer-cam", ("layer4", "layer3"), 448, "mean", ("aug",)).words
            'layer-cam at layer4+layer3 (mean), smoothed by aug, 448 pixels'
        """
        combined = f" ({self.combine})" if self.combine else ""
        smoothed = f", smoothed by {' and '.join(self.smooth)}" if self.smooth else ""
        return f"{self.method} at {self.place}{combined}{smoothed}, {self.input_size} pixels"

    def options(self, own_size: int) -> str:
        """The words after `funcam explain` that ask for it.

        Args:
            own_size: side of the network's own input, for which no option is needed.

        Example:
            >>> Recipe("layer-cam", ("layer4", "layer3"), 448, "mean", ("aug",)).options(224)
            '--method layer-cam --layer layer4 --layer layer3 --combine mean --smooth aug --input-size 448'
        """
        words = ["--method", self.method]
        for option, values in (
            ("--layer", self.layers),
            ("--combine", (self.combine,) if self.combine else ()),
            ("--smooth", self.smooth),
            ("--input-size", (str(self.input_size),) if self.input_size != own_size else ()),
        ):
            for value in values:
                words += [option, value]
        return shlex.join(words)

    def document(self) -> dict[str, Any]:
        """The recipe for JSON; `layer` is its layers as a result names them."""
        return {
            "layer": self.place,
            "layers": list(self.layers),
            "method": self.method,
            "combine": self.combine,
            "smooth": list(self.smooth),
            "input_size": self.input_size,
        }


def plans_of(recipes: Iterable[Recipe], label: str, base: Plan) -> list[tuple[Plan, list[Recipe]]]:
    """The recipes, those together that share the passes through the network: a plan for each such group.

    Args:
        recipes: what is to be computed.
        label: the network's.
        base: everything else: metrics, fit, batch.

    Example:
        >>> recipes = [Recipe(m, (l,), 224) for m in ("grad-cam", "layer-cam") for l in ("layer3", "layer4")]
        >>> [(plan.methods, plan.layers) for plan, _ in plans_of(recipes, "net", Plan())]
        [(('grad-cam', 'layer-cam'), {'net': ('layer3', 'layer4')})]
    """
    methods: dict[Recipe, list[str]] = defaultdict(list)
    for recipe in dict.fromkeys(recipes):
        methods[replace(recipe, method="")].append(recipe.method)
    cuts: dict[tuple[Recipe, tuple[str, ...]], list[tuple[str, ...]]] = defaultdict(list)
    for shared, names in methods.items():
        alone = len(shared.layers) == 1  # any number of these are cut in one pass
        cuts[replace(shared, layers=()) if alone else shared, tuple(names)].append(shared.layers)
    return [_plan(shared, group, places, label, base) for (shared, group), places in cuts.items()]


def _plan(
    shared: Recipe, methods: tuple[str, ...], cuts: Sequence[tuple[str, ...]], label: str, base: Plan
) -> tuple[Plan, list[Recipe]]:
    """The methods at each of the cuts, all in one pass."""
    layers = {label: tuple(layer for cut in cuts for layer in cut)}
    plan = replace(base, methods=methods, layers=layers, combine=shared.combine, smooth=shared.smooth)
    return plan, [replace(shared, method=method, layers=cut) for method in methods for cut in cuts]
