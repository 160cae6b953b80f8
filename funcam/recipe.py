"""How a map is made, and the words for it. No torch: the command line checks them before it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from funcam.errors import FuncamError, shown, whole_number

SCALES = ("none", "per-map", "per-image", "per-batch")
"""What maps are divided by the maximum of."""

COMBINATIONS = ("mean", "max", "product")
"""How the maps of several layers become one."""

SMOOTHINGS = ("aug", "eigen")
"""Flipped and rescaled copies of the image; the first principal component."""


Scores = Literal["softmax", "sigmoid", "none"]
SCORES: tuple[str, ...] = get_args(Scores)
"""What makes probabilities of what a network returns: a softmax over classes, a sigmoid of each, or nothing."""


@dataclass(frozen=True)
class Recipe:
    """How a map of an image is made, whatever the network, the image and the class. It can be a key of a dictionary.

    Attributes:
        methods: names of methods; none for the usual ones of whoever uses the recipe.
        layers: where to cut the network; none for its default layer.
        combine: how several layers' maps become one (`funcam.combine_maps`); None to keep them apart.
        smooth: `aug`, `eigen` or both (`funcam.explain`).
        options: options of methods, by the method's name.
        input_size: side of the network's input in pixels; None for `scale` times its own.
        scale: how many times the network's own size.
        passes: what it costs, in forward passes of the network at its own size; None where nobody knows. Like
            `summary` it is told of the recipe and is no part of it: recipes are compared without.
        summary: what it is for.

    Raises:
        FuncamError: names that are no tuple, or a size or a scale below 1.

    Example:
        >>> Recipe(("layer-cam",), ("layer4", "layer3"), "mean") == Recipe(("layer-cam",), ("layer4", "layer3"), "max")
        False
    """

    methods: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    combine: str | None = None
    smooth: tuple[str, ...] = ()
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)
    input_size: int | None = None
    scale: int = 1
    passes: float | None = field(default=None, compare=False)
    summary: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        for name, names in (("methods", self.methods), ("layers", self.layers), ("smooth", self.smooth)):
            if not isinstance(names, tuple):
                raise FuncamError(
                    f"a recipe's {name} are {shown(names)}; expected a tuple of names such as ('one', 'two')"
                )
        for name, number in (("input_size", self.input_size), ("scale", self.scale)):
            if number is not None and whole_number(f"a recipe's {name}", number) < 1:
                raise FuncamError(f"a recipe's {name} is {number}; expected at least 1")

    @property
    def method(self) -> str:
        """The method of a recipe that has exactly one.

        Raises:
            FuncamError: it has none, or several.
        """
        if len(self.methods) != 1:
            raise FuncamError(f"a recipe of one method was expected; this one has {', '.join(self.methods) or 'none'}")
        return self.methods[0]

    def size_for(self, own: int) -> int:
        """The side of the input of a network whose own is `own` pixels.

        Example:
            >>> Recipe(scale=2).size_for(224), Recipe(input_size=320).size_for(224)
            (448, 320)
        """
        return self.scale * own if self.input_size is None else self.input_size
