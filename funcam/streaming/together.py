"""A function of several items at once, applied so that each item has its own error."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from funcam.streaming.outcome import Outcome

T = TypeVar("T")
D = TypeVar("D")
R = TypeVar("R")


class Together(Generic[D, R]):
    """A function of several items of one kind, applied to as many of a stream as may go at once.

    Where it fails, it is tried with each half of them: an item that can't be had is found in a few passes, and the
    others are done. Where both halves succeed and the whole does not (memory runs out; a network that mixes images
    refuses), no more go at once from then on.

    Args:
        function: of items of one kind; a value for each.
        kind_of: items of equal kinds may go at once.
        most: so many may.
        size_of: about how many bytes an item takes.
        most_bytes: so many bytes may go at once; one item always may.

    Example:
        >>> halves = Together(lambda numbers: [1 / number for number in numbers], type, 4)
        >>> [outcome.value for outcome in halves.over([Outcome("a", 2), Outcome("b", 0), Outcome("c", 4)])]
        [0.5, None, 0.25]
    """

    def __init__(
        self,
        function: Callable[[Sequence[D]], Sequence[R]],
        kind_of: Callable[[D], Hashable],
        most: int,
        size_of: Callable[[D], int] = lambda _item: 0,
        most_bytes: int = 2**27,
    ) -> None:
        self._function, self._kind_of, self._size_of = function, kind_of, size_of
        self._window, self._most, self._most_bytes = most, most, most_bytes

    def over(self, given: Iterable[Outcome[T, D]]) -> Iterator[Outcome[T, R]]:
        """What becomes of each item, in order: which go together depends on the items alone, not on the clock.

        Args:
            given: the items; the errors among them stay as they are.
        """
        window: list[Outcome[T, D]] = []
        taken = 0
        for outcome in given:
            size = self._size_of(outcome.get()) if outcome.error is None else 0
            if window and (len(window) == self._window or taken + size > self._most_bytes):
                yield from self._outcomes(window)
                window, taken = [], 0
            window.append(outcome)
            taken += size
        yield from self._outcomes(window)

    def _outcomes(self, window: Sequence[Outcome[T, D]]) -> list[Outcome[T, R]]:
        kinds: dict[Hashable, list[int]] = {}
        for index, outcome in enumerate(window):
            if outcome.error is None:
                kinds.setdefault(self._kind_of(outcome.get()), []).append(index)
        made: dict[int, R | Exception] = {}
        for indices in kinds.values():
            made.update(zip(indices, self._made([window[index].get() for index in indices]), strict=True))
        return [_outcome(outcome.item, made.get(index, outcome.error)) for index, outcome in enumerate(window)]

    def _made(self, items: Sequence[D]) -> list[R | Exception]:
        if len(items) <= self._most:
            try:
                return [*self._function(items)]
            except Exception as error:
                if len(items) == 1:
                    return [error]
        half = -(-len(items) // 2)
        made = [*self._made(items[:half]), *self._made(items[half:])]
        if not any(isinstance(value, Exception) for value in made):
            self._most = min(self._most, half)
        return made


def _outcome(item: T, made: R | Exception | None) -> Outcome[T, R]:
    return Outcome(item, error=made) if isinstance(made, Exception) else Outcome(item, made)
