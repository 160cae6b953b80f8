"""Copies of a network with shuffled weights, for the sanity checks of its maps."""

from __future__ import annotations

from torch import nn

from funcam.metrics import cascading_randomisation, independent_randomisation

_STAGES = 4


def cascading(model: nn.Module) -> list[nn.Module]:
    """The network with a quarter of its layers shuffled from the output down, then half, three quarters, all.

    Example:
        >>> len(cascading(nn.Sequential(*(nn.Linear(2, 2) for _ in range(8)))))
        4
    """
    copies = [copy for _, copy in cascading_randomisation(model)]
    ends = sorted({max(1, len(copies) * stage // _STAGES) for stage in range(1, _STAGES + 1)})
    return [copies[end - 1] for end in ends]


def independent(model: nn.Module) -> list[nn.Module]:
    """The network with the last of its layers shuffled alone, the middle one, the first.

    Example:
        >>> len(independent(nn.Sequential(*(nn.Linear(2, 2) for _ in range(8)))))
        3
    """
    names = [name for name, _ in independent_randomisation(model)]
    chosen = dict.fromkeys(names[place] for place in (0, len(names) // 2, -1))
    return [copy for _, copy in independent_randomisation(model, list(chosen))]
