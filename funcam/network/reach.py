"""How far the places of an axis reach beyond the image's own, or fall short of them: what crops and pads leave."""

from __future__ import annotations

from dataclasses import dataclass

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Reach:
    """Which part of an image's axis some places cover, from `-front` to `1 + behind` as shares of it.

    What convolutions and pooling do at the borders counts for nothing: all networks do, and it is less than a cell.

    Example:
        >>> crop = Reach().grown(-32, -32, 224)
        >>> crop.of(224), crop.misses(5), crop.misses(1)
        ((32, 192), True, False)
    """

    front: float = 0.0
    behind: float = 0.0

    @property
    def length(self) -> float:
        """How long the part is."""
        return 1 + self.front + self.behind

    def grown(self, front: int, behind: int, size: int) -> Reach:
        """With so many of `size` places more in front and behind, or fewer."""
        cell = self.length / size
        return Reach(self.front + front * cell, self.behind + behind * cell)

    def absorbed(self, places: int, size: int) -> Reach:
        """Behind a convolution that takes so many of `size` places away: padding is there for that."""
        front, behind = max(self.front, 0.0), max(self.behind, 0.0)
        padding = front + behind
        taken = min(places * self.length / size / padding, 1.0) if padding and places > 0 else 0.0
        return Reach(self.front - front * taken, self.behind - behind * taken)

    def misses(self, size: int) -> bool:
        """Whether `size` cells drawn over the image would lie more than one beside their places."""
        return self.is_far(Reach(), size)

    def is_far(self, other: Reach, size: int) -> bool:
        """Whether `size` cells of the one lie more than a cell beside those of the other."""
        apart = abs(self.front - other.front) + abs(self.behind - other.behind)
        return apart * size > max(self.length, other.length) + _ROUNDING

    def of(self, side: int) -> tuple[int, int]:
        """The part in pixels."""
        return round(-self.front * side), round((1 + self.behind) * side)
