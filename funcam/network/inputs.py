"""Whatever a model takes beside the images: whether it fits, and what of it belongs to one of the images."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from funcam.errors import FuncamError, shown
from funcam.network.failures import PAIR
from funcam.network.images import check_images
from funcam.network.outputs import leaves, mapped
from funcam.network.tap import Inputs
from funcam.network.wrappers import forward_of, required_of


def inputs_for(images: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, wrt: Any = 0) -> Inputs:
    """What goes into a model, with a channel axis put into waveforms `[B, T]`, so that they are laid out like images.

    Raises:
        FuncamError: what was given for images can be no model's.

    Example:
        >>> import torch
        >>> waves = inputs_for(torch.zeros(2, 490))
        >>> waves.images.shape, waves.taken.shape
        (torch.Size([2, 1, 490]), torch.Size([2, 490]))
    """
    check_images(images, least=2)
    bare = images.ndim == 2
    return Inputs(images[:, None] if bare else images, tuple(args), dict(kwargs or {}), wrt, bare)


def check_wrt(wrt: Any) -> None:
    """Refuse what can't be which of a model's arguments the images are.

    Raises:
        FuncamError: it is neither a position nor a name.
    """
    if isinstance(wrt, bool) or not isinstance(wrt, int | str):
        raise FuncamError(f"wrt is {shown(wrt)}; expected the position or the name of the images among the arguments")


def check_inputs(model: nn.Module, inputs: Inputs) -> None:
    """Refuse what a model's `forward` can't be called with, before it is.

    Args:
        model: a module.
        inputs: the images, and whatever else goes in.

    Raises:
        FuncamError: an input is missing, unknown or given twice, or the images have no such position.
    """
    name, wrt = type(model).__name__, inputs.wrt
    if isinstance(wrt, int) and not 0 <= wrt <= len(inputs.args):
        raise FuncamError(
            f"wrt={wrt} puts the images behind {wrt} others by position, and {len(inputs.args)} are given so; expected "
            "a position from 0, or the images' name, wrt='pixel_values'"
        )
    try:
        signature = inspect.signature(forward_of(model))
    except (TypeError, ValueError):  # nothing is known of it: its call will tell
        return
    try:
        inputs.call(signature.bind, inputs.images)
    except TypeError as error:
        raise FuncamError(f"{name} {_way_out(model, signature, inputs, error)}") from None


def _way_out(model: nn.Module, signature: inspect.Signature, inputs: Inputs, error: TypeError) -> str:
    if inputs.has_others or inputs.wrt != 0:
        taken = ", ".join(str(parameter).partition(":")[0] for parameter in signature.parameters.values())
        return (
            f"can't be called so: {error}; it takes ({taken}): give the images by wrt='their name' and the others by "
            "name, inputs={...}"
        )
    needed = required_of(model)
    if not needed:
        return f"can't be called so: {error}; {PAIR}"
    call = ", ".join(f"{each}=..." for each in needed[1:])
    given = ", ".join(f"{each!r}: ..." for each in needed[1:])
    return (
        f"takes several inputs ({', '.join(needed)}), and the images alone were given; give the others by name, "
        f"split(model)(images, {call}) or explain(model, images, inputs={{{given}}}) (where the images are not the "
        f"first, wrt='their name'), or {PAIR}"
    )


def of_image(inputs: Inputs, index: int) -> Iterator[Inputs]:
    """What one image may go in with, among several: the others as they are, or those of as many rows by its own row.

    Example:
        >>> import torch
        >>> ages = torch.tensor([3.0, 4.0])
        >>> [one.kwargs["age"].tolist() for one in of_image(Inputs(torch.rand(2, 3, 8, 8), (), {"age": ages}), 1)]
        [[3.0, 4.0], [4.0]]
    """
    count, images = len(inputs.images), inputs.images[index : index + 1]
    alone = replace(inputs, images=images)
    yield alone
    if count > 1 and inputs.has_others:

        def row(tensor: Tensor) -> Tensor:
            return tensor[index : index + 1] if tensor.shape[:1] == (count,) else tensor

        args = tuple(mapped(value, row) for value in inputs.args)
        yield replace(alone, args=args, kwargs={name: mapped(value, row) for name, value in inputs.kwargs.items()})


def like_images(inputs: Inputs) -> list[Sequence[int]]:
    """The shapes of those other tensors that have the images' own size: masks, depths, second images."""
    size = inputs.images.shape[2:]
    others: list[Any] = [list(inputs.args), dict(inputs.kwargs)]
    return [list(t.shape) for _, t in leaves(others) if t.ndim >= len(size) and t.shape[t.ndim - len(size) :] == size]
