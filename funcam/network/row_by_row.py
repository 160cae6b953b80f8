"""Whether a function of what a model returned says of each row what it says of it beside other rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from funcam.network.checks import difference
from funcam.network.outputs import unpacked
from funcam.network.random_numbers import own_random_numbers


def are_rows(outputs: Any, batch: int) -> bool:
    """Whether each tensor in what a model returned has a row for each image.

    Lists of what is no tensor (those of detectors) have an entry for each image instead.

    Example:
        >>> are_rows({"a": torch.ones(2, 3)}, 2), are_rows([{"boxes": torch.ones(2, 4)}], 2)
        (True, False)
    """
    entries = outputs if isinstance(outputs, list | tuple) else ()
    tensors = unpacked(outputs)[0] if all(isinstance(entry, Tensor) for entry in entries) else []
    return bool(tensors) and all(tensor.ndim and len(tensor) == batch for tensor in tensors)


def told_alone(score: Callable[[Any], Tensor], outputs: Any, scores: Tensor) -> bool:
    """Whether a function says the same of each row when another one stands in front of all rows.

    One that holds something for each image, or compares images, does not.

    Args:
        score: outputs of n rows -> their scores, `[n, ...]`; it may write into what it is given.
        outputs: of some rows, for which `are_rows` holds.
        scores: what the function says of these.

    Example:
        >>> logits = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
        >>> told_alone(lambda rows: rows[:, 0], logits, logits[:, 0])
        True
        >>> told_alone(lambda rows: rows[[0, 1], [0, 0]], logits, logits[:, 0])
        False
    """
    tensors, put_back = unpacked(outputs)
    another = [torch.cat([t[-1:] / 2 if t.is_floating_point() else t[-1:], t.detach()]) for t in tensors]
    with own_random_numbers(scores), torch.no_grad():
        try:
            told = score(put_back(another))
        except Exception:  # (the caller's code)
            return False
    alike = isinstance(told, Tensor) and told.shape == (len(scores) + 1, *scores.shape[1:])
    return alike and not difference([told[1:].detach()], [scores.detach()])


def compares(score: Callable[[Any], Tensor], outputs: Any, scores: Tensor) -> bool:
    """Whether a function says another thing of a row when what stands in the other rows is changed.

    Args:
        score: as in `told_alone`.
        outputs: as there.
        scores: as there.

    Example:
        >>> logits = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
        >>> compares(lambda rows: rows[[0, 1], [0, 0]], logits, logits[:, 0])
        False
        >>> compares(lambda rows: (rows - rows.mean(0))[:, 0], logits, (logits - logits.mean(0))[:, 0])
        True
    """
    tensors, put_back = unpacked(outputs)
    with own_random_numbers(scores), torch.no_grad():
        for kept in range(2):  # every other row
            changed = [t.detach().clone() for t in tensors]
            for tensor in changed:
                if tensor.is_floating_point():
                    tensor[1 - kept :: 2] /= 2
            try:
                told = score(put_back(changed))
            except Exception:  # (the caller's code)
                return True
            if difference([told[kept::2].detach()], [scores[kept::2].detach()]):
                return True
    return False
