"""What a network of the zoo knows of itself (how it takes pictures, its classes), for who doesn't spell it out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import nn

from funcam.errors import FuncamError, quoted
from funcam.imaging.fit import View
from funcam.imaging.reading import Pixels
from funcam.network.cutting import Split
from funcam.network.wrappers import unwrapped
from funcam.recipe import Scores
from funcam.targets.wording import Wording
from funcam.zoo.batches import Batch, fit_images
from funcam.zoo.labels import find_meant
from funcam.zoo.net import Net


@dataclass(frozen=True, eq=False)
class Context:
    """What an explanation is of, as far as it is known.

    Attributes:
        net: what the network is called.
        classes: the name of each class.
        images: the pictures, uint8 RGB `[H, W, 3]` each.
        views: which part of each the network saw.
        scores: what makes probabilities of the logits; None to find out.
        wording: what is explained, where it isn't the logits of classes.
    """

    net: str = ""
    classes: tuple[str, ...] = ()
    images: tuple[Pixels, ...] = field(default=(), repr=False)
    views: tuple[View, ...] = ()
    scores: Scores | None = None
    wording: Wording | None = None


class Asked(NamedTuple):
    """What `explain` was asked, spelled out."""

    model: Any
    images: Any
    targets: Any
    output: Any
    scores: Any
    context: Context | None


def spelled_out(model: Any, images: Any, targets: Any, output: Any, scores: Any) -> Asked:
    """What was asked, with the model, the tensor and the classes' numbers of a network of the zoo in the place of it.

    Args:
        model: a network of the zoo, or any model, which is left as it is.
        images: a batch of a network's, or pictures for it; anything else is left for the model.
        targets: of a network classes may be told by name.
        output: None for the network's own.
        scores: None for the network's own.

    Raises:
        FuncamError: a picture can't be read or put before the network, no class has a name that was given, or there is
            neither a model nor a tensor.
    """
    if not isinstance(model, Net) and not isinstance(images, Batch):
        if not isinstance(images, torch.Tensor) and not isinstance(model, nn.Module | Split | tuple | list):
            if isinstance(model, str):
                raise FuncamError(
                    f"{model!r} is a name, not a model; give a network, which takes pictures: "
                    f"funcam.load_net({model!r}); for tensors a module, funcam.zoo.load_net({model!r}).model or one of "
                    "torchvision's"
                )
            unwrapped(model)  # says what is wrong with it, sooner than that no model takes such images
        return Asked(model, images, targets, output, scores, None)
    batch = images if isinstance(images, Batch) else fit_images(model, images)
    net = model if isinstance(model, Net) else batch.net
    scores = net.scores if scores is None else scores
    return Asked(
        net.model if model is net else model,
        batch.tensor,
        _numbers(targets, net.classes),
        net.output if output is None else output,
        scores,
        Context(net.name, net.classes, batch.images, batch.views, scores),
    )


def _numbers(targets: Any, classes: tuple[str, ...]) -> Any:
    """Targets with a class's number in the place of its name."""
    if isinstance(targets, str) and (targets != "all" or "all" in classes):
        index = find_meant(targets, classes)
        if index < 0:
            raise FuncamError(
                f"targets are classes, and {quoted(targets)} is none; give funcam.counterfactual({~index})"
            )
        return index
    if isinstance(targets, list | tuple):
        return [_numbers(each, classes) for each in targets]
    return targets
