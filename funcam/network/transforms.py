"""What of a model's run the transformations of `torch.func` have to see: what depends on a tap, and nothing before it.

Each operation that a transformation sees takes it some microseconds more, on ResNet-50 three in a hundred.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack

import torch

from funcam.errors import FuncamError
from funcam.network.tracing import is_compiled, transformations, untracked, untransformed


class Unseen(ExitStack):
    """Inside, until `end`, the transformation around a run sees nothing of it.

    Only where it is the only one: then it is the one by whose inputs, what the taps add, the run is differentiated.

    Example:
        >>> from torch.func import grad
        >>> seen, images = [], torch.ones(2)
        >>> def loss(added: torch.Tensor) -> torch.Tensor:
        ...     with Unseen(images) as unseen:
        ...         seen.append(transformations())
        ...         unseen.end("layer")
        ...         seen.append(transformations())
        ...         return (added * torch.arange(2)).sum()
        >>> grad(loss)(torch.zeros(2)), seen
        (tensor([0., 1.]), [0, 1])
    """

    def __init__(self, given: torch.Tensor | None) -> None:
        """Set it up.

        Args:
            given: what the run is given; None where it isn't known whether a transformation's inputs are in it.
        """
        super().__init__()
        self._apart = given is not None and untracked(given) is given and not is_compiled()
        self._thread = threading.get_ident()

    def __enter__(self) -> Unseen:
        """Begin."""
        self._around = transformations()
        if self._apart and self._around == 1:
            self.enter_context(untransformed())
            self._around = 0
        return self

    def end(self, layer: str) -> None:
        """From here on it is seen.

        Args:
            layer: the one whose tap comes now, for the error.

        Raises:
            FuncamError: the model's own code transforms what the layer computes.
        """
        if threading.get_ident() != self._thread:
            return  # transformations are a thread's own
        if transformations() != self._around:
            raise FuncamError(
                f"layer {layer!r} is called in a transformation of torch.func (vmap, grad) of the model's own "
                "code, where it has neither batch nor gradient of its own; name a layer before or behind it"
            )
        self.close()
        self._around = transformations()
