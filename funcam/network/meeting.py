"""Where branches end that meet behind their maps, so that no map so deep carries all of a score."""

from __future__ import annotations

from collections.abc import Sequence

from funcam.network.survey import Seen, outermost
from funcam.network.tap import Place


def ends_of(maps: Sequence[Seen]) -> tuple[Place, ...]:
    """The last map of each branch: those of which no other is made, each by its outermost name.

    Args:
        maps: those on which a score depends, in the order in which they were made.

    Returns:
        The places; none where what they were made of couldn't be followed.
    """
    if any(one.made_of is None for one in maps):
        return ()
    last = {one.same: one for one in maps if not any(_is_within(one, other) for other in maps)}
    return tuple(outermost(one, maps).place for one in last.values())


def _is_within(one: Seen, other: Seen) -> bool:
    """Whether a tensor went into another one."""
    return one.same != other.same and bool((other.made_of or 0) >> one.number & 1)
