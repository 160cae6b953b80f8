"""What a traced graph would not show of a model's code: gradients switched off, and derivatives written by hand."""

from __future__ import annotations

import sys
from collections.abc import Collection

import torch
from torch import fx, nn
from torch.utils.checkpoint import CheckpointFunction

from funcam.network.traits import reads_shape

_CHECKPOINT = CheckpointFunction.forward.__code__


def is_underived() -> bool:
    """Whether what the code computes here is differentiated in another way than a graph of it would be.

    Torch switches gradients off in an `autograd.Function`, too, whose derivative is its own. A checkpoint is such a
    function, and has the derivative of what it runs.
    """
    if torch.is_grad_enabled():
        return False
    frame = sys._getframe()
    while frame := frame.f_back:  # type: ignore[assignment]
        if frame.f_code is _CHECKPOINT:
            return False
    return True


def drops(root: nn.Module, graph: fx.Graph, underived: Collection[fx.Node]) -> bool:
    """Whether what the images say goes through one of some operations; their shape may.

    Args:
        root: the module whose graph it is.
        graph: as it was recorded.
        underived: what was recorded while gradients were off.
    """
    behind: set[fx.Node] = set()
    for node in graph.nodes:
        given = any(each in behind for each in node.all_input_nodes) and not reads_shape(root, node)
        if given and node in underived:
            return True
        if given or node.op == "placeholder":
            behind.add(node)
    return False
