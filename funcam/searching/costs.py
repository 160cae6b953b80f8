"""What a recipe costs: its time over that of the network's own forward pass on the same images, in the same run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch

from funcam.comparison.dataset import Example
from funcam.comparison.plan import Plan, Rival
from funcam.errors import FuncamError
from funcam.files import MIB, exists, parse_json, read_text, write_atomically
from funcam.imaging.reading import Pixels
from funcam.pipeline.explain_recipe import explain_recipe
from funcam.recipe import Recipe
from funcam.targets.target import logits_of
from funcam.zoo.preprocessing import fitted, normalised

COSTS = "costs.json"
_ON = " on "  # in each of its keys
_MOST_BYTES = 2**24  # of the file
_TIMED = 4  # images
_MOST_PASSES = 1e6
_ROUNDS = 2  # behind one that is not counted: it traces the network


def costs_of(
    recipes: Sequence[Recipe],
    rival: Rival,
    examples: Sequence[Example],
    base: Plan,
    folder: Path,
    timed: Callable[[int], None] = lambda _count: None,
) -> dict[Recipe, float]:
    """What recipes cost on the first few images of a data set; each is timed once, and kept in a file in the folder.

    A file of the name that is somebody else's stays, and nothing is kept.

    Args:
        recipes: the recipes.
        rival: the network at its own size.
        examples: the data set.
        base: what the recipes were measured with besides.
        folder: where the file is.
        timed: called with the number of recipes whose costs have just become known.
    """
    path = folder / COSTS
    kept = _kept(path)
    known = dict(kept or {})
    keys = {recipe: f"{replace(base, recipe=recipe).key(rival)}{_ON}{rival.device}" for recipe in recipes}
    pictures = [] if set(keys.values()) <= known.keys() else _pictures(examples)
    for recipe, key in keys.items():
        if key not in known:
            known[key] = round(cost_of(recipe, rival, pictures, base.fit), 2)
            if kept is not None:
                write_atomically(path, json.dumps(known, indent=1).encode(), links=False)
        timed(1)
    return {recipe: known[key] for recipe, key in keys.items()}


def _kept(path: Path) -> dict[str, float] | None:
    """What was timed before; a file that is damaged is as good as none. None where it holds something else."""
    try:
        kept = parse_json(read_text(path, most=MIB), repr(str(path)), "write it again") if exists(path) else {}
    except FuncamError:
        return {}
    if not isinstance(kept, dict) or not all(_ON in key for key in kept):
        return None
    return {key: float(cost) for key, cost in kept.items() if type(cost) in (int, float) and 0 < cost < _MOST_PASSES}


def _pictures(examples: Sequence[Example]) -> list[Pixels]:
    """The first few images that can be read."""
    pictures: list[Pixels] = []
    for example in examples:
        if len(pictures) == _TIMED:
            break
        with suppress(FuncamError):
            pictures.append(example.load())
    return pictures


def cost_of(recipe: Recipe, rival: Rival, pictures: Sequence[Pixels], fit: str) -> float:
    """How many forward passes of the network at its own size a recipe takes, by the clock.

    Both are timed in turns and the quickest of each counts, so that another program's work is in neither.

    Args:
        recipe: the recipe.
        rival: the network at its own size.
        pictures: some images.
        fit: how they are put before the network.

    Example:
        >>> cost_of(Recipe(("grad-cam",)), rival, pictures, "squash")  # doctest: +SKIP
        1.04
    """
    net, sized = rival.net, rival.sized(recipe)
    own = _inputs(rival, pictures, fit)
    images = own if sized is rival else _inputs(sized, pictures, fit)

    def forward() -> torch.Tensor:
        with torch.no_grad():
            return logits_of(net.model(own), net.output)

    def explained() -> torch.Tensor:
        return explain_recipe(net.model, images, None, recipe, output=net.output, scores=net.scores)[0].maps

    _seconds(forward), _seconds(explained)
    rounds = [(_seconds(explained), _seconds(forward)) for _ in range(_ROUNDS)]
    return min(one for one, _ in rounds) / min(other for _, other in rounds)


def _inputs(rival: Rival, pictures: Sequence[Pixels], fit: str) -> torch.Tensor:
    return normalised(rival.net, [fitted(rival.net, picture, fit)[0] for picture in pictures], rival.device)


def _seconds(run: Callable[[], torch.Tensor]) -> float:
    start = time.perf_counter()
    run().cpu()  # waits for a GPU
    return time.perf_counter() - start
