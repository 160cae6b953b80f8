"""The figures that a sample of times is told by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Quantiles:
    """The median of a sample, where its middle 60 % lie, and how large it is."""

    p20: float
    p50: float
    p80: float
    n: int

    def times(self, factor: float) -> Quantiles:
        """The same in another unit."""
        return Quantiles(self.p20 * factor, self.p50 * factor, self.p80 * factor, self.n)


def quantiles(values: Sequence[float]) -> Quantiles:
    """Quantiles with linear interpolation between neighbours.

    Raises:
        ValueError: there are no values.

    Example:
        >>> quantiles([4.0, 1.0, 2.0, 3.0, 5.0])
        Quantiles(p20=1.8, p50=3.0, p80=4.2, n=5)
    """
    if not values:
        raise ValueError("no values; expected at least one")
    ordered = sorted(values)
    return Quantiles(*(_at(ordered, share) for share in (0.2, 0.5, 0.8)), len(ordered))


def _at(ordered: list[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
