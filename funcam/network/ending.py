"""What a model ends in: whether what it returns is made of probabilities, or of logits."""

from __future__ import annotations

import re
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from funcam.network.call import tensors_in
from funcam.network.tracing import Following

_MAKE = {
    "softmax": frozenset(("_softmax", "_safe_softmax", "softmax", "special_softmax")),
    "sigmoid": frozenset(("sigmoid", "hardsigmoid", "special_expit", "special_ndtr", "log_sigmoid_forward")),
    "exponential": frozenset(("exp", "exp2", "special_exp2")),
    "bound": frozenset(("clamp", "clip", "hardtanh", "ge", "gt", "le", "lt")),  # between 0 and 1
}
# A sigmoid made of a tanh: (tanh + 1) / 2, or tanh / 2 + 0.5. What else is made of a tanh is numbers.
_OF_TANH: dict[tuple[Any, ...], str] = {
    ("tanh", "add", 1): "tanh + 1",
    ("tanh + 1", "div", 2): "sigmoid",
    ("tanh + 1", "mul", 0.5): "sigmoid",
    ("tanh", "div", 2): "tanh / 2",
    ("tanh", "mul", 0.5): "tanh / 2",
    ("tanh / 2", "add", 0.5): "sigmoid",
}
_HALF_MADE = frozenset(("tanh", "tanh + 1", "tanh / 2"))
# What multiplies by weights, so that numbers come out, whatever went in; and the logits that a log-softmax leaves.
_WEIGH = re.compile(
    r"(add|badd|sp|_int_|_scaled_)?(b?mm|mv|bmm)$|dot$|addr$|linear|conv|_?conv|mkldnn|miopen|cudnn|quantized|"
    r"embedding|_trilinear|_?cdist|lstm|gru|rnn|_?(native_|fused_)?\w*(batch|layer|group|instance|rms)_norm|_log_softmax"
)
_JOIN = frozenset(("cat", "stack"))
_FILL = re.compile(r"(new_)?(empty|full|ones|rand|randn|zeros)(_like|_strided)?$")
_NUMBERS = ""


class Ending(Following):
    """Inside, it is followed which tensors are made of what a softmax, a sigmoid or an exponential gave.

    Means, complements, products, parts and weighted sums of these are; what else had a part in it (logits, layers with
    weights) makes numbers of them.

    Example:
        >>> with Ending() as seen:
        ...     logits = torch.ones(1, 3) @ torch.ones(3, 3)
        ...     probabilities = 1 - logits.sigmoid()[:, :2]
        >>> seen.of(probabilities), seen.of(logits), seen.of(probabilities * logits[:, :2])
        ('sigmoid', None, None)
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # what was made of the images, and what of their parameters by a softmax
        self._made: MutableMapping[Tensor, str] = WeakTensorKeyDictionary()
        self._written: dict[int, tuple[str, Tensor]] = {}  # by storage: kept alive, so that none is used twice

    def of(self, tensor: Tensor) -> str | None:
        """What a tensor is made of: a key of `_MAKE`, or None where it is anything else."""
        kind = self._kind(tensor)
        return None if kind in _HALF_MADE else kind or None

    def _kind(self, tensor: Tensor) -> str | None:
        """As `of`; `_NUMBERS` for what else was made of the images, None for what was there before."""
        written = self._written.get(_storage(tensor)) if self._written else None
        return written[0] if written else self._made.get(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        returned = func(*args, **(kwargs or {}))
        name = str(func.overloadpacket.__name__)
        made = self._made_by(name.removesuffix("_"), args)
        for tensor in tensors_in((returned,)):
            if made is not None:
                self._made[tensor] = made
                if made and name.endswith("_"):  # perhaps into a part of another
                    self._written[_storage(tensor)] = (made, tensor)
                elif self._written and name != "copy_":
                    self._written.pop(_storage(tensor), None)
        return returned

    def _made_by(self, name: str, args: Any) -> str | None:
        given = list(tensors_in(args))[name == "copy" :]
        found = {tensor: kind for tensor in given if (kind := self._kind(tensor)) is not None}
        kinds = set(found.values())
        if name == "tanh" and kinds:
            return "tanh"
        if not kinds.isdisjoint(_HALF_MADE):
            step = (found.get(args[0]), name, args[1] if len(args) > 1 and isinstance(args[1], int | float) else None)
            return _OF_TANH.get(step, _NUMBERS) if isinstance(args[0], Tensor) else _NUMBERS
        probable = kinds - {_NUMBERS}
        if _WEIGH.match(name):
            kept = probable and probable == kinds and all(_averages(each) for each in given if each not in found)
            return max(probable) if kept else _NUMBERS
        if _FILL.match(name):
            return None
        if probable and (name in _JOIN or probable == kinds):  # numbers beside probabilities aren't logits
            return max(probable)
        made = next((kind for kind, names in _MAKE.items() if name in names), None)
        if made == "bound" and not (kinds and _is_of_unit(name, args[1:3])):
            made = None
        return made or (_NUMBERS if kinds else None)


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata if tensor.layout is torch.strided else 0


def _is_of_unit(name: str, ends: Sequence[Any]) -> bool:
    """Whether bounds lie between 0 and 1; comparisons give nothing else."""
    numbers = len(ends) == 2 and all(isinstance(end, int | float) for end in ends)
    return name in ("ge", "gt", "le", "lt") or (numbers and 0 <= ends[0] <= ends[1] <= 1)


def _averages(weights: Tensor) -> bool:
    """Whether sums with these weights are averages."""
    if not weights.is_floating_point() or weights.is_meta or bool((weights < 0).any()):
        return False
    sums = (weights.sum(dim, dtype=torch.float64) for dim in range(weights.ndim))
    return any(bool(((total - 1).abs() < 1e-4).all()) for total in sums)


def ending_of(run: Callable[[], Any], read: Callable[[Any], Tensor]) -> str | None:
    """What the outputs of a run are made of: what a `softmax`, `sigmoid`, `exponential` or a `bound` gave, else None.

    Args:
        run: runs the model on images.
        read: what of its outputs is meant.

    Example:
        >>> ending_of(lambda: {"p": torch.zeros(1, 3).softmax(1)}, lambda outputs: outputs["p"])
        'softmax'
    """
    seen = Ending()
    with torch.no_grad(), seen:
        made = read(run())
    return seen.of(made)
