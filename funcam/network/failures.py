"""Why a model could not be followed, in plain words and in one line: what, where in its code, and which way is left."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

import torch

from funcam.errors import FuncamError

_OWN = (str(Path(torch.__file__).parent), str(Path(__file__).parent))
_PLAIN_WORDS = {
    "used as inputs to control flow": "its code branches on a tensor (control flow), or on a size or type of one",
    "data-dependent": "its control flow depends on the values of a tensor",
    "Proxy object cannot be iterated": "its code loops over a tensor, or takes one apart",
    "does not support item assignment": "its code writes into a part of a tensor (item assignment)",
    "does not support indexed assignment": "its code writes into a part of a tensor (item assignment)",
    "your code specialized": "its code takes the number of images for fixed (use x.shape[0], not len(x) or int(...))",
    "argument must be": "its code needs the value of a tensor as a number",
    ".numpy() is not supported": "its code leaves torch for NumPy",
    "register a pytree": "it returns a type that torch.export does not know (torch.utils._pytree.register_dataclass)",
}
WITHOUT_GRADIENTS = (
    "its code runs without gradients (`torch.no_grad`, `inference_mode`, `detach`); take that away (a decorated "
    "forward: model.forward = type(model).forward.__wrapped__.__get__(model))"
)
PAIR = (
    "give the two halves as functions in place of the model: explain((features, head), images) with features: images "
    "-> A [B, C, *S] and head: A -> outputs"
)


def reason_of(error: Exception) -> str:
    """The first line of an error's message, for a message of ours; what was unknown while tracing isn't named in it.

    Of a model that failed it is what its code raised.
    """
    if isinstance(error, ModelFailed) and isinstance(error.__cause__, Exception):
        return reason_of(error.__cause__)
    lines = (line.strip() for line in str(error).splitlines())
    return re.sub(r"Proxy\(\w+\)", "another", next(filter(None, lines), type(error).__name__))


def trouble_of(error: Exception) -> str:
    """Why torch could not follow a model, in plain words, and where in the model's code.

    Example:
        >>> trouble_of(TypeError("'Proxy' object does not support item assignment"))
        'its code writes into a part of a tensor (item assignment)'
    """
    message = str(error)
    words = next((words for sign, words in _PLAIN_WORDS.items() if sign in message), reason_of(error))
    return words + place_of(error)


def place_of(error: Exception) -> str:
    """` (file:line in function)`: the last place in the model's own code, or nothing where there is none."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename[:1] != "<" and not frame.filename.startswith(_OWN)]
    return f" ({own[-1].filename}:{own[-1].lineno} in {own[-1].name})" if own else ""


class UnknownAxes(FuncamError):
    """Which axes of a layer are the image's is undecided, or it has none."""


class FoldedViews(UnknownAxes):
    """Layers hold several maps of each image, one after the other in the batch."""


class Unreached(FuncamError):
    """What a model returns doesn't depend on a layer, or not by a derivative."""


class ModelFailed(FuncamError, RuntimeError):
    """The model's own code raised an error while it ran, its cause; what torch refuses is a `RuntimeError`."""
