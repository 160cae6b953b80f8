"""Which layer to name instead of one that the outputs don't depend on: those that they do, by differentiating."""

from __future__ import annotations

from torch import nn

from funcam.errors import FuncamError
from funcam.network.defaults import leading_places
from funcam.network.failures import WITHOUT_GRADIENTS, reason_of
from funcam.network.tap import Inputs, Manner, Place

_MOST_NAMED = 3


def instead(model: nn.Module, inputs: Inputs, place: Place, manner: Manner) -> str:
    """What to do about a layer that the outputs have no derivative by, in words: the layers next to it that they have.

    Args:
        model: a module; it is only read.
        inputs: a sample.
        place: the layer.
        manner: how the model has to be run.
    """
    try:
        places, leading = leading_places(model, inputs, manner)
    except (FuncamError, RuntimeError) as error:
        return f"name one further from it (not all layers have a derivative: {reason_of(error)})"
    if not leading:
        return f"nor on any other: {WITHOUT_GRADIENTS}"
    at = places.index(place) if place in places else len(places)
    nearest = sorted(leading, key=lambda other: abs(places.index(other) - at))
    named = dict.fromkeys(str(other) for other in nearest if other.path)
    return f"name one on which they do: {', '.join(map(repr, list(named)[:_MOST_NAMED]))}"
