"""Whether what a model says of an image depends on the other images of its batch."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from funcam.network.believed import manner_for
from funcam.network.checks import difference, own_random_numbers
from funcam.network.known import known_of
from funcam.network.outputs import leaves
from funcam.network.samples import kind_of, sample_of
from funcam.network.tap import Inputs, run
from funcam.network.tracing import is_compiled

_PARTNERS = (1.0, -3.0)  # times the image itself: neighbours of its own kind, with other statistics


def rows_mix(model: nn.Module, given: Inputs) -> bool:
    """Whether the first row of what a model returns changes with the second image, found once for inputs of a kind.

    BatchNorm without running statistics does so, and whatever else is computed over the batch. Where it can't be tried
    (inside `torch.compile`; inputs besides the images, of which nobody knows which have a row for each) it is no.

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


def _mix(model: nn.Module, given: Inputs) -> bool:
    sample = sample_of(given)
    image = sample.images.detach()
    try:
        one, other = (_first_row(model, given, torch.cat([image, scale * image.flip(-1)])) for scale in _PARTNERS)
    except (RuntimeError, ValueError, TypeError, LookupError, AssertionError) as error:  # batches of one only, say
        if isinstance(error, torch.OutOfMemoryError):
            raise
        return False
    return bool(difference(one, other))


def _first_row(model: nn.Module, given: Inputs, pair: Tensor) -> list[Tensor]:
    manner = manner_for(model, sample_of(given))
    with own_random_numbers(pair), torch.no_grad():
        outputs = run(model, replace(given, images=pair), {}, manner)
    return [tensor[0].detach() for _, tensor in leaves(outputs) if tensor.ndim and len(tensor) == 2]
