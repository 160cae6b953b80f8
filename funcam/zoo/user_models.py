"""A model that somebody else made: ready to predict, its logits counted, its values told apart from others."""

from __future__ import annotations

import zlib
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from funcam.errors import FuncamError
from funcam.network.ending import Ending
from funcam.network.failures import reason_of
from funcam.network.samples import numbers
from funcam.network.wrappers import unwrapped
from funcam.recipe import Scores
from funcam.targets.probabilities import check_scores, find_scores
from funcam.targets.target import logits_of
from funcam.zoo.net import Net


def ready(model: nn.Module, *, copied: bool = False) -> nn.Module:
    """The model in evaluation mode, in float32 and on the CPU: itself if it is so, else a copy.

    Args:
        model: it stays as it is. What `torch.compile` and `DataParallel` put around it is taken off.
        copied: whether a copy is wanted in any case.

    Raises:
        FuncamError: it is no model, has lazy parameters, or can't be copied.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
        >>> ready(model).training, model.training
        (False, True)
    """
    model = unwrapped(model)
    if any(map(is_lazy, model.parameters())):
        raise FuncamError(f"{type(model).__name__} has lazy parameters without values; run it once on images first")
    if _is_ready(model) and not copied:
        return model
    try:
        return deepcopy(model).cpu().float().eval()
    except Exception as error:
        raise FuncamError(
            f"{type(model).__name__} can't be copied ({reason_of(error)}); give a model that copy.deepcopy takes"
        ) from error


def _is_ready(model: nn.Module) -> bool:
    tensors = [*model.parameters(), *model.buffers()]
    same = all(
        tensor.device.type == "cpu" and (tensor.dtype == torch.float32 or not tensor.is_floating_point())
        for tensor in tensors
    )
    return same and not any(module.training for module in model.modules())


@dataclass(frozen=True)
class Answer:
    """What a model says of an image of ours: how many classes it knows, and what its outputs mean."""

    classes: int
    scores: Scores


def first_answer(net: Net, scores: Scores | None = None) -> Answer:
    """What a model says, found by one forward pass of an image of ours.

    Args:
        net: the network, in evaluation mode and on the CPU; its classes aren't known yet.
        scores: what its outputs mean; None to find out.

    Raises:
        FuncamError: the model can't take such an image, or returns no logits `[1, K]`.
    """
    scores, shape = check_scores(scores), (1, *net.image_shape)
    seen = Ending()
    try:
        with torch.no_grad(), seen:  # not inference_mode: a model may keep what it computes for the next call
            outputs = net.model(numbers(shape, torch.float32, torch.device("cpu")))
    except Exception as error:
        raise FuncamError(
            f"{net.name} can't take an image {list(shape)} ({type(error).__name__}: {reason_of(error)}); state its "
            "input with funcam.zoo.own_net(model, input_size=..., mean=..., frames=...)"
        ) from error
    logits = logits_of(outputs, net.output)
    if logits.ndim != 2 or len(logits) != 1 or not logits.shape[1]:
        raise FuncamError(
            f"{net.name} returns {list(logits.shape)} for an image {list(shape)}; expected logits [1, K] (of several "
            "outputs say which: output='KEY')"
        )
    return Answer(logits.shape[1], scores or find_scores(logits, lambda: seen.of(logits)))


def fingerprint(model: nn.Module) -> str:
    """Eight letters that tell a model's values apart from others.

    Example:
        >>> fingerprint(nn.BatchNorm1d(2)) == fingerprint(nn.BatchNorm1d(2)) != fingerprint(nn.BatchNorm1d(3))
        True
    """
    checksum = 0
    for name, tensor in model.state_dict().items():
        checksum = zlib.crc32(name.encode(), checksum)
        if not isinstance(tensor, Tensor):  # what `get_extra_state` gives
            continue
        checksum = zlib.crc32(tensor.detach().contiguous().flatten().view(torch.uint8).numpy().data, checksum)
    return f"{checksum:08x}"
