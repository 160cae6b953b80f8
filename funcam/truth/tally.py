"""Problems counted by kind, so that ten thousand of one kind are one line."""

from __future__ import annotations

from itertools import islice

from funcam.errors import in_one_line

_MOST = 200
"""Kinds; every unknown name is one."""


class Tally:
    """Collects problems while files are read.

    Example:
        >>> tally = Tally()
        >>> for name in ("a.jpg", "b.jpg"):
        ...     tally.note("a box is empty; it is left out", name)
        >>> tally.lines()
        ['a box is empty; it is left out (2 times, first: a.jpg)']
    """

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}

    def note(self, what: str, where: str) -> None:
        """Count one more of the kind `what`; of the places only the first is told."""
        count, first = self._found.get(what, (0, where))
        self._found[what] = (count + 1, first)

    def lines(self) -> list[str]:
        """One line for each kind, in the order of their first appearance; of the kinds behind the first ones, one."""
        lines = [_line(what, count, first) for what, (count, first) in islice(self._found.items(), _MOST)]
        more = [count for count, _ in islice(self._found.values(), _MOST, None)]
        return lines + ([f"{sum(more)} more problems of {len(more)} kinds"] if more else [])


def _line(what: str, count: int, first: str) -> str:
    where = f"{count} times, first: {first}" if count > 1 else first
    return in_one_line(" ".join(f"{what} ({where})".split()))
