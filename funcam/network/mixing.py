"""Whether what a model says of an image depends on the other images of its batch."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from funcam.errors import FuncamError
from funcam.network.believed import manner_for
from funcam.network.checks import cotangents, own_random_numbers
from funcam.network.derivative import vjp
from funcam.network.known import known_of
from funcam.network.outputs import leaves
from funcam.network.samples import kind_of, sample_of, scattered
from funcam.network.tap import Inputs, run
from funcam.network.tracing import is_compiled

_NOTHING = 1e-5  # of the derivative by the image itself: rounding


def rows_mix(model: nn.Module, given: Inputs) -> bool:
    """Whether the first row of what a model returns has a derivative by the second image, found once for such inputs.

    BatchNorm without running statistics has one, and whatever else is computed over the batch. Where it can't be tried
    (inside `torch.compile`; code without a derivative; inputs besides the images, of which nobody knows which have a
    row for each) it is no.

    Args:
        model: a module; it is only read.
        given: what goes into it.

    Example:
        >>> rows_mix(nn.BatchNorm2d(1, track_running_stats=False).eval(), Inputs(torch.rand(2, 1, 4, 4)))
        True
    """
    if is_compiled() or given.args or given.kwargs or given.images.is_meta:
        return False
    return known_of(model).fact(("rows mix", kind_of(given)), lambda: _mix(model, given))


def refuse_mixed(model: nn.Module, given: Inputs) -> None:
    """Refuse several images at once where what the model says of one depends on the others.

    Raises:
        FuncamError: it does; how they are explained one at a time.
    """
    if len(given.images) > 1 and rows_mix(model, given):
        raise FuncamError(
            f"{type(model).__name__} says another thing of an image when the images beside it are others (BatchNorm "
            "without running statistics does so), so that a map of one would be a map of all; explain them one at a "
            "time: [funcam.explain(model, image[None]) for image in images]"
        )


def _mix(model: nn.Module, given: Inputs) -> bool:
    sample = sample_of(given)
    image, manner = sample.images.detach(), manner_for(model, sample)
    pair = torch.cat([image, scattered(image.shape, image.dtype, image.device)])

    def function(images: Tensor) -> tuple[list[Tensor], None]:
        outputs = run(model, replace(given, images=images), {}, manner)
        tensors = [tensor for _, tensor in leaves(outputs) if tensor.is_floating_point() and tensor.ndim]
        return [tensor[0] for tensor in tensors if len(tensor) == 2], None

    try:
        with own_random_numbers(pair):
            values, pullback, *_ = vjp(function, (pair,))
            (gradient,) = pullback(cotangents(values))
    except (RuntimeError, ValueError, TypeError, LookupError, AssertionError) as error:  # batches of one only, say
        if isinstance(error, torch.OutOfMemoryError):
            raise
        return False
    own, other = gradient.detach().abs()
    return bool(other.max() > _NOTHING * own.max())
