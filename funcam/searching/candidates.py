"""What a search for the best recipe tries: the layers of a network, and the variations of a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, pairwise

from funcam.comparison.plan import Rival
from funcam.errors import FuncamError
from funcam.methods import METHODS
from funcam.recipe import COMBINATIONS, Recipe

_MOST_LAYERS = 4


def candidate_layers(rival: Rival) -> list[str]:
    """The default layer, and the last of the outermost layers of each larger grid before it, the coarsest first.

    Raises:
        FuncamError: the network can't be followed.

    Example:
        >>> from funcam.zoo.nets import build_net
        >>> candidate_layers(Rival("net", build_net("resnet18")))
        ['layer4', 'layer3', 'layer2', 'layer1']
    """
    from funcam.network.listing import list_layers

    side = rival.net.input_size
    known = list_layers(rival.net.model, (1, 3, side, side))
    end = next(i for i, layer in enumerate(known) if layer.default)
    outermost: dict[tuple[int, ...], str] = {}
    for layer in known[: end + 1]:
        before = outermost.get(layer.shape[2:])
        if before is None or layer.name.count(".") <= before.count("."):
            outermost[layer.shape[2:]] = layer.name
    others = [name for name in reversed(outermost.values()) if name != known[end].name]
    return [known[end].name, *others][:_MOST_LAYERS]


def named_layer(rival: Rival, name: str | None) -> str:
    """The name that results give to a layer: `last-conv` is a rule; None is the default layer.

    Args:
        rival: the network.
        name: what the layer was called.

    Raises:
        FuncamError: there is no such layer.
    """
    import torch

    from funcam.network.cutting import split

    side = rival.net.input_size
    return split(rival.net.model, name, example=torch.zeros(1, 3, side, side, device=rival.device)).layer


def first_recipes(methods: Sequence[str], layers: Sequence[str], input_size: int) -> list[Recipe]:
    """Every method at every layer."""
    return [
        Recipe((method,), cut, input_size=input_size)
        for method in methods
        for cut in ([(layer,) for layer in layers] if METHODS[method].at_layer else [()])
    ]


def takes(rival: Rival, size: int) -> bool:
    """Whether a network takes images of a size: where it doesn't say, one pass over nothing tells.

    Example:
        >>> from funcam.zoo.nets import build_net
        >>> takes(Rival("net", build_net("resnet18")), 448), takes(Rival("net", build_net("vit_b_16")), 448)
        (True, False)
    """
    import torch

    from funcam.zoo.nets import at_size

    if rival.net.fixed_size:
        return size == rival.net.input_size
    try:
        at_size(rival.net, size)
        with torch.no_grad():
            rival.net.model(torch.zeros(1, 3, size, size, device=rival.device))
    except Exception:  # a layer's own, of any kind: a linear layer behind a flattening, an assertion
        return False
    return True


def variations(recipe: Recipe, layers: Sequence[str], largest: int) -> list[Recipe]:
    """A recipe with one thing changed each: smoothed, combined with the layers beside its own, at a larger input.

    Args:
        recipe: a method, at one layer if it has any.
        layers: the candidates, the coarsest first.
        largest: the larger input's side; the recipe's own for none.
    """
    smoothings = ("aug", "eigen") if _can_be_eigen(recipe.method) else ("aug",)
    varied = [replace(recipe, smooth=(word,)) for word in smoothings]
    if len(recipe.layers) == 1:
        varied += [
            replace(recipe, layers=pair, combine=how)
            for pair in _pairs(recipe.layers[0], layers)
            for how in COMBINATIONS
        ]
    if largest != recipe.input_size:
        varied.append(replace(recipe, input_size=largest))
    return varied


def combined(plain: Recipe, order: Sequence[Recipe]) -> list[Recipe]:
    """A recipe with the best of its changes together, two of them and three.

    A change that made it worse is left alone; but the larger input is always tried with the best other change.

    Args:
        plain: the recipe.
        order: it and its variations, the best first.

    Example:
        >>> plain = Recipe(("grad-cam",), ("layer4",), input_size=224)
        >>> smooth, large = replace(plain, smooth=("aug",)), replace(plain, input_size=448)
        >>> [(recipe.smooth, recipe.input_size) for recipe in combined(plain, [smooth, plain, large])]
        [(('aug',), 448)]
    """
    best: dict[str, Recipe] = {}
    for recipe in order:
        best.setdefault(_change(recipe, plain), recipe)
    behind = order[order.index(plain) :]
    good = [recipe for change, recipe in best.items() if change and recipe not in behind]
    together = [*combinations(good, 2), *combinations(good, 3)]
    others = [recipe for change, recipe in best.items() if change not in ("", "size")]
    if "size" in best and others:
        together.append((best["size"], others[0]))
    return list(dict.fromkeys(_merged(recipes, plain) for recipes in together))


def _change(recipe: Recipe, plain: Recipe) -> str:
    """What is changed in a variation; "" for the recipe itself."""
    if recipe.combine:
        return "layers"
    if recipe.smooth:
        return "smooth"
    return "" if recipe == plain else "size"


def _merged(varied: Sequence[Recipe], plain: Recipe) -> Recipe:
    """A recipe with the changes of several variations of it, each of another thing."""
    merged = plain
    for one in varied:
        if one.combine:
            merged = replace(merged, layers=one.layers, combine=one.combine)
        elif one.smooth:
            merged = replace(merged, smooth=one.smooth)
        else:
            merged = replace(merged, input_size=one.input_size)
    return merged


def _pairs(layer: str, layers: Sequence[str]) -> list[tuple[str, str]]:
    """A layer with the next finer candidate, and with the next coarser one."""
    where = layers.index(layer)
    return [pair for pair in pairwise(layers) if layers[where] in pair]


def _can_be_eigen(method: str) -> bool:
    from funcam.attribution.dispatch import resolve_method

    try:
        return resolve_method(method, {}, eigen=True).eigen
    except FuncamError:
        return False
