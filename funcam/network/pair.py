"""A pair of functions `(features, head)` in place of a model: for code that no tracer can follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from funcam.errors import FuncamError

NAMES = ("features", "skipping")
_NOTHING = object()


def is_pair(model: Any) -> bool:
    """Whether two functions were given in place of a model.

    Raises:
        FuncamError: it is a tuple or list, but not of two functions.

    Example:
        >>> is_pair((torch.relu, torch.sum)), is_pair(torch.nn.ReLU())
        (True, False)
    """
    if not isinstance(model, tuple | list):
        return False
    if len(model) != 2 or not all(callable(part) for part in model):
        kinds = ", ".join(type(part).__name__ for part in model)
        raise FuncamError(
            f"a {type(model).__name__} of ({kinds}) was given for a model; expected two functions (features, head) "
            "with features: images -> A [B, C, *S] and head: A -> outputs"
        )
    return True


def named_features(features: Callable[[torch.Tensor], Any]) -> Callable[[torch.Tensor], dict[str, Any]]:
    """`images -> {"features": A, "skipping": what else the head takes}`, of a function that returns A, or both."""

    def run(images: torch.Tensor) -> dict[str, Any]:
        returned = features(images)
        if isinstance(returned, tuple | list):
            if len(returned) != 2:
                raise FuncamError(
                    f"features returned {len(returned)} values; expected A [B, C, *S], or (A, rest) with one value "
                    "that the head takes as its second argument"
                )
            return dict(zip(NAMES, returned, strict=True))
        return {"features": returned, "skipping": _NOTHING}

    return run


def closed_head(head: Callable[..., Any]) -> Callable[[torch.Tensor, Any], Any]:
    """`(A, what skips the cut) -> outputs`, of a head that takes the second only where there is one."""

    def run(features: torch.Tensor, skipping: Any) -> Any:
        return head(features) if skipping is _NOTHING else head(features, skipping)

    return run


def check_features(A: Any, images: torch.Tensor) -> None:
    """Refuse what is no feature map.

    Raises:
        FuncamError: it isn't `[B, C, *S]` for these images.
    """
    shape = list(A.shape) if isinstance(A, torch.Tensor) else type(A).__name__
    if not isinstance(A, torch.Tensor) or A.ndim < 3 or len(A) != len(images) or A.shape[2:].numel() < 2:
        raise FuncamError(
            f"features returned {shape} for images of {list(images.shape)}; expected A [{len(images)}, C, *S] with a "
            "spatial extent above one cell"
        )
