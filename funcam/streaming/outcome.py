"""What became of one item of a stream: a value, or the error that was its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Outcome(Generic[T, R]):
    """What became of an item.

    Attributes:
        item: the item.
        value: what was made of it; None where that failed.
        error: why it failed; None where it didn't.
    """

    item: T
    value: R | None = None
    error: Exception | None = None

    def get(self) -> R:
        """The value.

        Raises:
            Exception: the item's error.
        """
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


def outcome_of(item: T, make: Callable[[], R]) -> Outcome[T, R]:
    """What becomes of an item; Ctrl-C and the like are no outcome.

    Example:
        >>> outcome_of("a", lambda: 1 / 0).error
        ZeroDivisionError('division by zero')
    """
    try:
        return Outcome(item, make())
    except Exception as error:
        return Outcome(item, error=error)
