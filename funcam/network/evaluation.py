"""Evaluation mode as a model understands it: its own `train(False)`, called on a twin."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from funcam.errors import FuncamError
from funcam.network.failures import place_of, reason_of
from funcam.network.writes import Unwritten, kept_flags


def has_own_mode(kind: type) -> bool:
    """Whether modules of a class have a `train` or `eval` of their own.

    Example:
        >>> has_own_mode(nn.Dropout)
        False
    """
    return issubclass(kind, nn.Module) and (kind.train is not nn.Module.train or kind.eval is not nn.Module.eval)


def evaluate(own: nn.Module, modes: Sequence[tuple[nn.Module, bool]], own_parameters: bool) -> None:
    """Bring a twin into evaluation mode by its own code.

    Args:
        own: the twin.
        modes: its modules, and whether each was training.
        own_parameters: whether that code may write into the twin's parameters.

    Raises:
        FuncamError: that code can't run on a twin.
        ParametersWritten: it would write into parameters that are not the twin's.
    """
    for module, training in modes:
        module.training = training
    parameters = list(own.parameters())
    try:
        with kept_flags(parameters), torch.inference_mode(False), Unwritten([] if own_parameters else parameters):
            own.eval()
    except Exception as error:
        raise FuncamError(
            f"{type(own).__name__} has a train() or eval() of its own that can't run on a copy of it: "
            f"{reason_of(error)}{place_of(error)}; let it make do with what the model holds"
        ) from error
