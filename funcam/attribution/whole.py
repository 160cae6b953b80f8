"""A network run whole, cut nowhere, where every method is made of that one run: its attention, or the image's gradient.

So the pass that finds the class is the pass that is differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn

from funcam.methods import METHODS, Method
from funcam.network.cut_runs import run_cut
from funcam.network.derivative import may_be_plain
from funcam.network.rewrites.attention import AttentionRun, attention_run
from funcam.network.rewrites.guidance import guided
from funcam.network.rewrites.once import once
from funcam.network.settled import Settled, TapCut
from funcam.network.tap import Inputs
from funcam.network.taps import Tail

Kind = Literal["attention", "image", "guided image"]
OfGradient = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True, eq=False)
class Whole:
    """A network that is run whole.

    Attributes:
        inputs: what it is differentiated with respect to: the image, or nothing.
        tail: `(*inputs) -> (outputs, no features)`.
        attention: the blocks of a Vision Transformer, where they are what was asked for.
    """

    inputs: tuple[torch.Tensor, ...]
    tail: Tail
    attention: AttentionRun | None = None


def _same(gradient: torch.Tensor, _images: torch.Tensor) -> torch.Tensor:
    return gradient


OF_IMAGE_GRADIENT: dict[str, tuple[Kind, OfGradient]] = {
    "gradient": ("image", _same),
    "input-x-gradient": ("image", torch.mul),
    "guided-backprop": ("guided image", _same),
}
"""Methods that are a function of the image's gradient and the image: through which network, and the function."""


def kind_of(methods: Sequence[Method]) -> Kind | None:
    """What all of the methods are made of, if it is one thing and nothing else.

    Example:
        >>> kind_of([METHODS["gradient"], METHODS["input-x-gradient"]]), kind_of([METHODS["smooth-grad"]])
        ('image', None)
    """
    kinds = {_kind(method) for method in methods}
    return kinds.pop() if len(kinds) == 1 else None


def _kind(method: Method) -> Kind | None:
    if method.takes == ("attention_g",):
        return "attention"
    of_images = method.name in OF_IMAGE_GRADIENT and METHODS[method.name] is method
    return OF_IMAGE_GRADIENT[method.name][0] if of_images else None


def whole(kind: Kind | None, cut: Settled, source: Callable[[], nn.Module] | None, given: Inputs) -> Whole | None:
    """Run a network whole, or say how; None where it can't be, or is better run image by image.

    Args:
        kind: what the methods are made of.
        cut: how the model is cut.
        source: the model as it is now; None for a pair of functions.
        given: what goes into it.

    Raises:
        FuncamError: the model has no such attention, or no ReLU to be guided.
    """
    if kind is None or source is None or not len(given.images) or given.has_others:
        return None
    if kind == "attention":
        blocks = attention_run(source(), given.images)
        return Whole((), lambda: (blocks.outputs, ()), blocks)
    if isinstance(cut.cut, TapCut) or cut.way == "functions" or len(given.images) > 1:
        return None  # (several images are differentiated a few at a time: their activations are many)
    network = _guided(source(), given.images) if kind == "guided image" else _network(cut, source, given)
    return Whole((given.images,), lambda images: (network(images), ()))


def _guided(model: nn.Module, images: torch.Tensor) -> Callable[[torch.Tensor], Any]:
    made = guided(model, images)
    return once(made.graph).module if may_be_plain(images) else made.network


def _network(cut: Settled, source: Callable[[], nn.Module], given: Inputs) -> Callable[[torch.Tensor], Any]:
    def network(images: torch.Tensor) -> Any:
        A, head = run_cut(cut, source, replace(given, images=images))
        return head(A)

    return network
