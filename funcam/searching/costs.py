"""What a recipe costs: its time over that of the network's own forward pass on the same images, in the same run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch

from funcam.attribution.explanation import explain
from funcam.comparison.dataset import Example
from funcam.comparison.plan import Plan, Rival
from funcam.errors import FuncamError
from funcam.files import write_atomically
from funcam.imaging.reading import Pixels
from funcam.searching.plans import Recipe, plans_of
from funcam.targets.target import logits_of
from funcam.zoo.nets import Net, at_size
from funcam.zoo.preprocessing import fitted, normalised

COSTS = "costs.json"
_TIMED = 4  # images
_ROUNDS = 2  # behind one that is not counted: it traces the network


def costs_of(
    recipes: Sequence[Recipe], rival: Rival, examples: Sequence[Example], base: Plan, folder: Path, device: str
) -> dict[Recipe, float]:
    """What recipes cost on the first few images of a data set; each is timed once, and kept in a file in the folder.

    Args:
        recipes: the recipes.
        rival: the network at its own size, on the device.
        examples: the data set.
        base: what the recipes were measured with besides.
        folder: where the file is.
        device: where to compute.
    """
    path = folder / COSTS
    known: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}
    keys = {recipe: f"{_key(recipe, rival, base)} on {device}" for recipe in recipes}
    pictures = [] if set(keys.values()) <= known.keys() else _pictures(examples)
    for recipe, key in keys.items():
        if key not in known:
            known[key] = round(cost_of(recipe, rival, pictures, base.fit, device), 2)
            write_atomically(path, json.dumps(known, indent=1).encode())
    return {recipe: known[key] for recipe, key in keys.items()}


def _key(recipe: Recipe, rival: Rival, base: Plan) -> str:
    ((plan, _),) = plans_of([recipe], rival.label, base)
    return plan.key(replace(rival, net=at_size(rival.net, recipe.input_size)))


def _pictures(examples: Sequence[Example]) -> list[Pixels]:
    """The first few images that can be read."""
    found: list[Pixels] = []
    for example in examples:
        if len(found) == _TIMED:
            break
        with suppress(FuncamError):
            found.append(example.load())
    return found


def cost_of(recipe: Recipe, rival: Rival, pictures: Sequence[Pixels], fit: str, device: str) -> float:
    """How many forward passes of the network at its own size a recipe takes, by the clock.

    Both are timed in turns and the quickest of each counts, so that another program's work is in neither.

    Args:
        recipe: the recipe.
        rival: the network at its own size, on the device.
        pictures: some images.
        fit: how they are put before the network.
        device: where.

    Example:
        >>> cost_of(Recipe("grad-cam", (), 224), rival, pictures, "squash", "cpu")  # doctest: +SKIP
        1.04
    """
    net = rival.net
    own = _inputs(net, pictures, fit, device)
    images = (
        own if recipe.input_size == net.input_size else _inputs(at_size(net, recipe.input_size), pictures, fit, device)
    )

    def forward() -> torch.Tensor:
        with torch.no_grad():
            return logits_of(net.model(own))

    def explained() -> torch.Tensor:
        layers = list(recipe.layers) or None
        how = recipe.combine
        return explain(net.model, images, method=recipe.method, layer=layers, combine=how, smooth=recipe.smooth).maps

    _seconds(forward), _seconds(explained)
    rounds = [(_seconds(explained), _seconds(forward)) for _ in range(_ROUNDS)]
    return min(one for one, _ in rounds) / min(other for _, other in rounds)


def _inputs(net: Net, pictures: Sequence[Pixels], fit: str, device: str) -> torch.Tensor:
    return normalised(net, [fitted(net, picture, fit)[0] for picture in pictures], device)


def _seconds(run: Callable[[], torch.Tensor]) -> float:
    start = time.perf_counter()
    run().cpu()  # waits for a GPU
    return time.perf_counter() - start
