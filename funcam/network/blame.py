"""What a model's own code raised, in our words: whether the images don't fit it, or its code fails with any."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from funcam.errors import FuncamError
from funcam.network.failures import PAIR, ModelFailed, place_of, reason_of
from funcam.network.images import WITHOUT_CHANNELS, hint_of
from funcam.network.refusals import devices_apart, refuse_without_values
from funcam.network.wrappers import forward_of, parameters_of

_OF_IMAGES = re.compile(
    r"\b(shapes?|sizes?|dimensions?|dims?|channels?|dtypes?|scalar type|input type|height|width|kernel|images?|"
    r"elements|too small)\b",
    re.IGNORECASE,
)
_OF_CODE = (AttributeError, KeyError, NameError, TypeError, OSError, StopIteration)
_MOST_NAMES = 4


def called(model: Any, run: Callable[[], Any], images: Tensor, others: bool = False) -> Any:
    """What a run of a model's code returns; what it raises, in our words.

    Args:
        model: the model, a twin or a graph of it; a function, of a pair.
        run: calls it.
        images: what it is given, as it takes them.
        others: whether it is given more than images.

    Raises:
        FuncamError: the model can't take the images, or its code fails: the message says which, and where.
    """
    try:
        return run()
    except (FuncamError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if images.is_meta and isinstance(model, nn.Module):
            refuse_without_values(model, images)
        raise ModelFailed(_told(model, images, error, others)) from error


def _told(model: Any, images: Tensor, error: Exception, others: bool) -> str:
    given = f"images of shape {list(images.shape)} and type {images.dtype} on {images.device}"
    of_images = not isinstance(error, _OF_CODE) and _OF_IMAGES.search(str(error))
    where = place_of(error)
    if not isinstance(model, nn.Module):
        said = (
            f"the model can't take {given}: {reason_of(error)}" if of_images else f"the function given fails on {given}"
        )
        return said + where if of_images else f"{said}: {_what(error)}{where}; mend it there"
    apart = devices_apart(model, images)
    if apart:
        return apart
    if of_images:
        hint = WITHOUT_CHANNELS if images.ndim == 2 else hint_of(model, images.shape)
        return f"the model can't take {given}: {reason_of(error)}{where}{hint}"
    return (
        f"the code of {type(model).__name__} fails on {given}: {_what(error)}{where}; {_way_out(model, error, others)}"
    )


def _what(error: Exception) -> str:
    kind, reason = type(error).__name__, reason_of(error)
    return kind if reason == kind else f"{kind}: {reason}"


def _way_out(model: nn.Module, error: Exception, others: bool) -> str:
    """What may be missing; else to see whether the model runs at all, and what to do where it does."""
    if type(error).__module__.startswith("torch._dynamo") or "TORCHDYNAMO" in str(error) or "torch.comp" in str(error):
        return 'run what it compiles uncompiled: with torch.compiler.set_stance("force_eager"): explain(...)'
    names = [p.name for p in parameters_of(forward_of(model)) if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if len(names) > 1 and not others:
        taken = ", ".join(names[:_MOST_NAMES]) + ", ..." * (len(names) > _MOST_NAMES)
        return (
            f"it takes ({taken}): give what it needs beside the images by inputs={{'name': ...}}, and where the images "
            "are not the first, wrt='their name'"
        )
    return f"if model.eval()(images) fails too, mend it there; else {PAIR}"
