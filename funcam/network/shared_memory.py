"""Layers whose memory something else of the model's code reads or writes: changed maps wouldn't reach that."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from funcam.errors import FuncamError
from funcam.network.checks import Reference, difference
from funcam.network.known import Known
from funcam.network.outputs import leaves
from funcam.network.random_numbers import own_random_numbers
from funcam.network.samples import kind_of
from funcam.network.tap import Inputs, Manner, run


def refuse_shared(known: Known, model: nn.Module, name: str, sample: Inputs, manner: Manner, tapped: Reference) -> None:
    """Refuse a layer with which, where a tensor of its own takes the place of what it returns, the model is another.

    So it is behind an Identity, a Dropout or a view, where code writes in place into what it returns, or into what went
    in, and goes on with both.

    Args:
        known: what is known of the model.
        model: a module; it is only read.
        name: the layer's.
        sample: what goes into the model.
        manner: how it is run.
        tapped: what it did when a tensor of its own took the layer's place.

    Raises:
        FuncamError: it is such a layer.
    """

    def as_it_is() -> list[Tensor]:
        with own_random_numbers(sample.images), torch.no_grad():
            return [tensor for _, tensor in leaves(run(model, sample, {}, manner))]

    if not difference(tapped.outputs, [t for _, t in leaves(known.outputs.get(kind_of(sample), as_it_is))]):
        return
    with own_random_numbers(sample.images):  # what was kept may have been made with other random numbers
        one = as_it_is()
        torch.rand(1, device="cpu"), torch.rand(1, device=sample.images.device)
        draws = bool(difference(as_it_is(), one))
    if not draws and difference(tapped.outputs, one):
        raise FuncamError(
            f"layer {name!r} returns memory that other code of {type(model).__name__} goes on with, and one of them "
            "writes into it in place (an Identity, a Dropout or a view returns what went in, say), so that a changed "
            "map would not reach the other; name the layer before it, or make that operation out-of-place"
        )
