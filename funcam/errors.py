"""The one kind of error that bad input raises, and the nearest names that its message offers."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FuncamError(ValueError):
    """Bad input. The message names what was given, what was expected and what to do next, in one line.

    Example:
        >>> raise FuncamError("layer 'layer5' is not in resnet50; nearest: 'layer4'")
        Traceback (most recent call last):
        funcam.errors.FuncamError: layer 'layer5' is not in resnet50; nearest: 'layer4'
    """


def nearest(word: str, known: Iterable[str], count: int = 3) -> str:
    """The names in `known` that look most like `word`, quoted and joined, for an error message.

    Example:
        >>> nearest("layer5", ["conv1", "layer3", "layer4"], count=2)
        "'layer4', 'layer3'"
    """
    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), names, n=count, cutoff=0.4) or list(names)[:count]
    return ", ".join(repr(names[name]) for name in close)
