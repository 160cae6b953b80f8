"""A layout in words, such as `tokens 14x14 prefix=1`. No torch: the command line checks them before it is loaded."""

from __future__ import annotations

import re
from typing import NamedTuple

from funcam.errors import FuncamError, shown

# The axes of images and of channels; all others are the grid's, or the one of its cells, row by row.
AXES = {
    "channels-first": (0, 1),
    "channels-last": (0, -1),
    "tokens": (0, -1),
    "tokens-last": (0, 1),
    "tokens-first": (1, -1),
    "frames-first": (0, 2),
}
KINDS = tuple(AXES)
SAY = "layout='channels-first', 'channels-last', 'tokens 14x14 prefix=1' or a pair of functions"


class Words(NamedTuple):
    """What the words say: the kind, tokens in front and behind, the grid.

    Example:
        >>> str(Words("tokens", 1, 0, (14, 14)))
        'tokens 14x14 prefix=1'
    """

    kind: str
    prefix: int
    suffix: int
    grid: tuple[int, ...]

    def __str__(self) -> str:
        words = [self.kind, "x".join(map(str, self.grid))]
        words += [f"{name}={number}" for name, number in (("prefix", self.prefix), ("suffix", self.suffix)) if number]
        return " ".join(filter(None, words))


def views(count: int, index: int = 0) -> str:
    """How to take one of several maps of each image that stand one after the other in the batch's axis."""
    before = f"*A.chunk({count})[:{index}], " if index else ""
    behind = f", *A.chunk({count})[{index + 1}:]" if index + 1 < count else ""
    return f"layout=(lambda A: A.chunk({count})[{index}], lambda f, A: torch.cat([{before}f{behind}]))"


def read_words(text: object) -> Words:
    """A layout as the caller says it.

    Raises:
        FuncamError: it says nothing that we know.

    Example:
        >>> read_words("tokens 14x14 prefix=1")
        Words(kind='tokens', prefix=1, suffix=0, grid=(14, 14))
    """
    words = re.split(r"[\s,]+", text.strip()) if isinstance(text, str) else []
    numbers = dict.fromkeys(("prefix", "suffix"), 0)
    grid: tuple[int, ...] = ()
    for word in words[1:]:
        name, _, number = word.partition("=")
        if re.fullmatch(r"[0-9]{1,6}(x[0-9]{1,6})*", word):
            grid = tuple(map(int, word.split("x")))
        elif name in numbers and re.fullmatch(r"[0-9]{1,6}", number):
            numbers[name] = int(number)
        else:
            words = []
            break
    if not words or words[0] not in KINDS or ((grid or any(numbers.values())) and "tokens" not in words[0]):
        raise FuncamError(f"layout={shown(text)} is unknown; expected {SAY}")
    return Words(words[0], numbers["prefix"], numbers["suffix"], grid)
