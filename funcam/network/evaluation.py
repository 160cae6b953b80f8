"""Evaluation mode as a model understands it: its own `train(False)`, called on a twin."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from funcam.errors import FuncamError
from funcam.network.failures import place_of, reason_of
from funcam.network.walking import tensors_of
from funcam.network.writes import Unwritten


def has_own_mode(model: nn.Module) -> bool:
    """Whether a module of a model has a `train` or `eval` of its own.

    Example:
        >>> has_own_mode(nn.Sequential(nn.Dropout()))
        False
    """
    return any(
        type(module).train is not nn.Module.train
        or type(module).eval is not nn.Module.eval
        or not vars(module).keys().isdisjoint(("train", "eval"))
        for module in model.modules()
    )


def evaluate(own: nn.Module, modes: Sequence[tuple[nn.Module, bool]], own_parameters: bool) -> bool:
    """Bring a twin into evaluation mode by its own code.

    Args:
        own: the twin.
        modes: its modules, and whether each was training.
        own_parameters: whether that code may write into the twin's parameters.

    Returns:
        Whether tensors were made for it, which fit the weights as they are now.

    Raises:
        FuncamError: that code can't run on a twin.
        ParametersWritten: it would write into parameters that are not the twin's.
    """
    for module, training in modes:
        module.training = training
    parameters, before = list(own.parameters()), list(tensors_of(own))
    asked = [tensor.requires_grad for tensor in parameters]
    try:
        with torch.inference_mode(False), Unwritten([] if own_parameters else parameters):
            own.eval()
    except Exception as error:
        raise FuncamError(
            f"{type(own).__name__} has a train() or eval() of its own that can't run on a copy of it: "
            f"{reason_of(error)}{place_of(error)}; let it make do with what the model holds"
        ) from error
    finally:
        for tensor, flag in zip(parameters, asked, strict=True):  # they may be the caller's
            if tensor.is_leaf and tensor.requires_grad != flag:
                tensor.requires_grad = flag
    known = set(map(id, before))
    return own_parameters or any(id(tensor) not in known for tensor in tensors_of(own))
