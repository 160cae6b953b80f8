"""What a model ends in: whether a softmax or a sigmoid made what it returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

_MAKE = {
    "softmax": frozenset(("_softmax", "_safe_softmax", "softmax", "special_softmax")),
    "sigmoid": frozenset(("sigmoid", "hardsigmoid", "special_expit")),
}
# What leaves probabilities what they are: other shapes, parts, types, copies, put together, averaged over views.
_KEEP = frozenset(
    (
        "alias",
        "cat",
        "chunk",
        "clone",
        "contiguous",
        "detach",
        "expand",
        "index_select",
        "lift_fresh",
        "mean",
        "narrow",
        "permute",
        "reshape",
        "select",
        "slice",
        "split",
        "split_with_sizes",
        "squeeze",
        "stack",
        "t",
        "to",
        "to_copy",
        "transpose",
        "unbind",
        "unsafe_view",
        "unsqueeze",
        "view",
    )
)


class Ending(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside, it is followed which tensors were made by a softmax or a sigmoid and nothing else since.

    Example:
        >>> with Ending() as seen:
        ...     logits = torch.zeros(1, 3)
        ...     probabilities = logits.sigmoid()[:, :2]
        >>> seen.of(probabilities), seen.of(logits)
        ('sigmoid', None)
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._made: dict[int, tuple[Tensor, str]] = {}  # the tensors are kept, so that no identity is used twice

    def of(self, tensor: Tensor) -> str | None:
        """What made a tensor: `softmax`, `sigmoid` or, where it was anything else, None."""
        return self._made[id(tensor)][1] if id(tensor) in self._made else None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        returned = func(*args, **(kwargs or {}))
        name = str(func.overloadpacket.__name__)
        in_place = name.endswith("_") and not name.endswith("__")
        name = name.strip("_") if name.strip("_") in _KEEP else name.removesuffix("_")
        made = self._made_by(name, args)
        for tensor in pytree.tree_leaves(returned):
            if isinstance(tensor, Tensor):
                if made is not None:
                    self._made[id(tensor)] = (tensor, made)
                elif in_place:
                    self._made.pop(id(tensor), None)
        return returned

    def _made_by(self, name: str, args: Any) -> str | None:
        for kind, names in _MAKE.items():
            if name in names:
                return kind
        given = {self.of(leaf) for leaf in pytree.tree_leaves(args) if isinstance(leaf, Tensor)}
        return given.pop() if name in _KEEP and len(given) == 1 else None


def ending_of(run: Callable[[], Any], read: Callable[[Any], Tensor]) -> str | None:
    """What made the outputs of a run: `softmax`, `sigmoid`, or None for anything else.

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
