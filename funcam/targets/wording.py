"""What is asked beside a class's name, in words: against which class, its probability, a function of a caller's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from funcam.targets.concrete import as_tensor, is_concrete


@dataclass(frozen=True, eq=False)
class Wording:
    """How what is explained is called, where it isn't the logit of a class.

    Attributes:
        before: what stands before the class's name.
        against: the class that it is contrasted with, or one for each image; a text for what has no number.
        after: what stands behind it all.
        probable: whether the class's own probability belongs beside it.
        function: the name of a function of a caller's, whose scores are no classes.
    """

    before: str = ""
    against: Any = None
    after: str = ""
    probable: bool = False
    function: str = ""

    def said(self, image: int, number: int, several: bool, name: Callable[[int], str]) -> str:
        """What is explained.

        Args:
            image: of which image.
            number: of the class, or of the score.
            several: whether the image has several scores.
            name: a class's name by its number.

        Example:
            >>> Wording(against=1).said(0, 0, False, ["cat", "dog"].__getitem__)
            'cat against dog'
            >>> Wording(function="area").said(0, 1, True, str)
            'area, score 1'
        """
        if self.function:
            return f"{self.function}, score {number}" if several else self.function
        against = "" if self.against is None else f" against {self._other(image, name)}"
        return f"{self.before}{name(number)}{against}{self.after}"

    def _other(self, image: int, name: Callable[[int], str]) -> str:
        if isinstance(self.against, str):
            return self.against
        others = as_tensor(self.against)
        if not is_concrete(others) or others.is_meta:
            return "another class"
        return name(int(others if others.ndim == 0 else others[image]))


def of_function(function: Any) -> Wording:
    """What a function of the outputs is called; of a partial its function's name.

    Example:
        >>> of_function(partial(sorted, reverse=True)).function
        'sorted'
    """
    inner = function.func if isinstance(function, partial) else function
    return Wording(function=str(getattr(inner, "__name__", None) or type(inner).__name__))
