"""Images and weights with their channels last in memory: the same numbers, read as convolutions' kernels want them."""

from __future__ import annotations

import torch
from torch import nn

_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def channels_last(tensor: torch.Tensor) -> torch.Tensor:
    """Images, or the weight of a convolution, laid out so; of other dimensions as it is.

    Example:
        >>> channels_last(torch.zeros(2, 3, 4, 5)).stride()
        (60, 1, 15, 3)
    """
    layout = _LAST.get(tensor.ndim)
    return tensor if layout is None else tensor.contiguous(memory_format=layout)


def in_channels_last(network: nn.Module) -> nn.Module:
    """A copy's own weights laid out so; parameters, so that a compiler knows that they stay.

    Args:
        network: a twin, whose modules are nobody else's; the tensors that they share with the caller's are only read.
    """
    made: dict[int, nn.Parameter] = {}
    for module in network.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                own = made.setdefault(id(weight), nn.Parameter(channels_last(weight.detach()), requires_grad=False))
                module._parameters[name] = own
    return network
