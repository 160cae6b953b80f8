"""`--recipe` and `--input-size`: how large the network's input is, and what a recipe asks for besides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from funcam.cli.messages import UsageError
from funcam.errors import FuncamError
from funcam.pipeline.recipes import Prescription, find_recipe

if TYPE_CHECKING:
    from funcam.zoo.nets import Net


@dataclass(frozen=True)
class Sized:
    """The side of the network's input, as the command line or a recipe asks for it."""

    side: int | None
    prescribed: Prescription | None

    def of(self, net: Net) -> Net:
        """The network with that input."""
        from funcam.zoo.nets import at_size

        return at_size(net, self.prescribed.size_for(net.input_size) if self.prescribed else self.side)


def prescribed(recipe: str | None, *others: object) -> Prescription | None:
    """The recipe of `--recipe`, which names everything that the other options would.

    Raises:
        UsageError: there is no such recipe, or other options were given too.
    """
    if recipe is None:
        return None
    if any(others):
        raise UsageError("--recipe names method, layers, smoothing and input size; leave out the options for them")
    try:
        return find_recipe(recipe)
    except FuncamError as error:
        raise UsageError(f"--recipe: {error}") from error
