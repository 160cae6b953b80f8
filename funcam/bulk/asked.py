"""What is asked of every image of a store, and how that is written down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from funcam.errors import FuncamError
from funcam.methods import METHODS
from funcam.recipe import Recipe
from funcam.resuming.question import computed_by
from funcam.truth.names import labeller
from funcam.zoo.nets import Net

Target = int | Literal["predicted", "label"]
"""The class that is explained: an index (`~index` for what speaks against it), the predicted, or the source's own."""


@dataclass(frozen=True)
class Asked:
    """What is asked of every image.

    Attributes:
        net: the network, on the device, at the size that is wanted.
        recipe: how the map is made; one method.
        target: the class that is explained.
        fit: how an image is put before the network.
        layout: how the layer's tensor holds the map, in words; None to find out.
        threshold: the share of the peak that the box goes round.
        device: where the network is.
    """

    net: Net
    recipe: Recipe
    target: Target = "predicted"
    fit: str = "squash"
    layout: str | None = None
    threshold: float = 0.5
    device: str = "cpu"

    def __post_init__(self) -> None:
        method, *others = self.recipe.methods
        if others or METHODS[method].gives != "map":
            raise FuncamError(f"a store holds one map of each image; {', '.join(self.recipe.methods)} gives others")


def question_of(asked: Asked, *, map_type: str, shard_size: int, batch_size: int) -> dict[str, Any]:
    """Everything that the rows of a store depend on, as JSON can say it.

    Args:
        asked: what is asked of every image.
        map_type: how maps are kept: `float16`, `uint8`, or `none`.
        shard_size: images of a file of the store.
        batch_size: images that go through the network at once.

    Example:
        >>> from funcam.zoo import build_net
        >>> asked = Asked(build_net("resnet18"), Recipe(methods=("grad-cam",)))
        >>> question_of(asked, map_type="float16", shard_size=512, batch_size=32)["target"]
        'predicted'
    """
    net, recipe = asked.net, asked.recipe
    (method,) = recipe.methods
    return {
        **computed_by(net, asked.device),
        "weights": net.weights,  # the store tells it
        "method": method,
        "options": {name: repr(value) for name, value in sorted(recipe.options.get(method, {}).items())},
        "layers": list(recipe.layers),
        "layout": asked.layout,
        "combine": recipe.combine,
        "smooth": list(recipe.smooth),
        "target": asked.target,
        "input": {  # as `funcam.fit_image` takes it, for whoever draws
            "size": list(net.size),
            "resize": net.resize_size,
            "interpolation": net.interpolation,
            "fit": asked.fit,
        },
        "threshold": asked.threshold,
        "map_type": map_type,
        "shard_size": shard_size,
        "batch_size": batch_size,
    }


def target_of(asked: Asked) -> Callable[[str | None], int | None]:
    """The function from an image's own class, as the source tells it, to the class that is explained.

    It gives None for the predicted one, and raises `FuncamError` where a class is wanted and none, or no class of the
    network's, was told.

    Args:
        asked: what is asked of every image.

    Example:
        >>> from funcam.zoo import build_net
        >>> target_of(Asked(build_net("resnet18"), Recipe(methods=("grad-cam",)), "label"))("tabby")
        281
    """
    if isinstance(asked.target, int):
        index = asked.target
        return lambda _label: index
    if asked.target == "predicted":
        return lambda _label: None
    found = labeller(asked.net.classes)

    def told(label: str | None) -> int:
        if label is None:
            raise FuncamError("the source tells no class of it; explain the predicted one (--target predicted)")
        indices: Sequence[int] = found(label)
        if len(indices) != 1:
            raise FuncamError(f"{label!r} means {len(indices)} classes of {asked.net.name}; tell one")
        return indices[0]

    return told


def on_device(asked: Asked, device: str) -> Asked:
    """The same, with the network somewhere else.

    Args:
        asked: what is asked of every image.
        device: such as `cuda:0`.
    """
    return replace(asked, net=replace(asked.net, model=asked.net.model.to(device)), device=device)
