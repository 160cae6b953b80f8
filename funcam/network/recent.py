"""What was found out lately: a few answers by their question, the latest of which are kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")

_MOST = 64


class Recent(Generic[Answer]):
    """Answers by question, the most recently used ones.

    Attributes:
        most: how many are kept.

    Example:
        >>> squares = Recent(most=2)
        >>> [squares.get(x, lambda x=x: x * x) for x in (1, 2, 3)], len(squares)
        ([1, 4, 9], 2)
    """

    most: int

    def __init__(self, most: int = _MOST) -> None:
        self.most = most
        self._answers: OrderedDict[Hashable, Answer] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def put(self, question: Hashable, answer: Answer) -> None:
        """Another answer to a question."""
        self._answers.pop(question, None)
        self.get(question, lambda: answer)

    def get(self, question: Hashable, find: Callable[[], Answer]) -> Answer:
        """The answer to a question, found out where it is not known (any longer)."""
        try:
            answer = self._answers.pop(question)
        except KeyError:
            answer = find()
        self._answers[question] = answer
        while len(self._answers) > self.most:
            try:
                self._answers.popitem(last=False)
            except KeyError:  # another thread was faster
                break
        return answer
