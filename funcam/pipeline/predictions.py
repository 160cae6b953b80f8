"""What a network says of an image: its likeliest classes, with their probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from funcam.targets.probabilities import as_probabilities
from funcam.zoo.net import Net

_MOST = 5
_OPPOSITE = "not "


@dataclass(frozen=True)
class Prediction:
    """A class and what the network says of it.

    Attributes:
        index: of the class.
        name: its name, or `not NAME` for what speaks against it.
        logit: what the network returned (with the other sign for `not NAME`).
        probability: as `Net.scores` says, or one less it; None where the network returns plain numbers.
    """

    index: int
    name: str
    logit: float
    probability: float | None


def likeliest(net: Net, logits: torch.Tensor) -> tuple[Prediction, ...]:
    """The likeliest classes, the likeliest first; of a network with one logit that class and its opposite.

    Args:
        net: the network.
        logits: of one image, `[N]`.

    Example:
        >>> from funcam.zoo import own_net
        >>> net = own_net(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 1)), input_size=1, classes=["cat"])
        >>> [prediction.name for prediction in likeliest(net, torch.tensor([-2.0]))]
        ['not cat', 'cat']
    """
    indices = logits.topk(min(_MOST, len(logits))).indices.tolist()
    if len(logits) == 1 and net.scores != "softmax":
        both = predictions(net, logits, [0, ~0])
        return (
            tuple(sorted(both, key=lambda one: -(one.probability or 0)))
            if both[0].probability is not None
            else both[:1]
        )
    return predictions(net, logits, indices)


def predictions(net: Net, logits: torch.Tensor, classes: Sequence[int]) -> tuple[Prediction, ...]:
    """What the network says of some classes.

    Args:
        net: the network.
        logits: of one image, `[N]`.
        classes: their indices; `~index` for the opposite of a class.
    """
    probabilities = as_probabilities(logits.double(), net.scores)
    are = net.scores != "none" or bool(((probabilities >= 0) & (probabilities <= 1)).all())

    def of(index: int) -> Prediction:
        if index >= 0:
            return Prediction(
                index, net.classes[index], float(logits[index]), float(probabilities[index]) if are else None
            )
        own = ~index
        against = 1 - float(probabilities[own]) if are else None
        return Prediction(own, opposite(net.classes[own]), -float(logits[own]), against)

    return tuple(map(of, classes))


def opposite(name: str) -> str:
    """What is said against a class.

    Example:
        >>> opposite("cat")
        'not cat'
    """
    return _OPPOSITE + name


def meaning(net: Net, said: Prediction) -> str | None:
    """How the probabilities of a prediction were made, in words; None for the usual softmax."""
    if net.scores == "softmax":
        return None
    if net.scores == "sigmoid":
        each = "its one logit" if len(net.classes) == 1 else "each logit by itself"
        return f"probabilities are the sigmoid of {each} (--scores says otherwise)"
    if said.probability is None:
        return "what the network returns is shown as it is, not as probabilities (--scores says otherwise)"
    return "the network returns probabilities, which are taken as they are (--scores says otherwise)"
