"""How far the places of an axis reach beyond the image's own, or fall short of them: what crops and pads leave."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

_ROUNDING = 1e-9
_MOST_BESIDE, _MOST_CELLS = 0.08, 0.9
"""How far cells may lie beside where they are drawn: as a share of the image, and in cells (Inception v3: 0.8)."""


@dataclass(frozen=True)
class Reach:
    """Which part of an image's axis some places cover, from `-front` to `1 + behind` as shares of it.

    What convolutions and pooling do at the borders counts apart: all networks do, and mostly it is less than a cell.

    Attributes:
        front: how much in front of the image.
        behind: how much behind it.
        seen: both, with what convolutions and pooling do: cells lie in the middle of what they see.

    Example:
        >>> crop = Reach().grown(-32, -32, 224)
        >>> crop.of(224), crop.misses(5), crop.misses(1)
        ((32, 192), True, False)
    """

    front: float = 0.0
    behind: float = 0.0
    seen: tuple[float, float] = field(default=(0.0, 0.0), compare=False)

    @property
    def length(self) -> float:
        """How long the part is."""
        return 1 + self.front + self.behind

    def grown(self, front: int, behind: int, size: int) -> Reach:
        """With so many of `size` places more in front and behind, or fewer."""
        cell, seen = self.length / size, self._pitch(size)
        ends = (self.seen[0] + front * seen, self.seen[1] + behind * seen)
        return Reach(self.front + front * cell, self.behind + behind * cell, ends)

    def _pitch(self, size: int) -> float:
        return (1 + sum(self.seen)) / size

    def through(self, size: int, made: int, first: float, step: float) -> Reach:
        """Behind a convolution or pooling that makes `made` cells of `size`.

        Args:
            size: how many there were.
            made: how many there are.
            first: where the middle of what the first sees lies, in cells from the middle of the first before.
            step: how many cells before lie between two of them.

        Example:
            >>> [round(end * 64) for end in Reach().through(64, 60, 2, 1).seen]
            [-2, -2]
        """
        pitch = self._pitch(size)
        front = self.seen[0] - (first + 0.5 - step / 2) * pitch
        return replace(self, seen=(front, made * step * pitch - front - 1))

    def is_beside(self, size: int) -> bool:
        """Whether `size` cells drawn over the image would lie far beside what they see."""
        return self.beside(size) > max(_MOST_BESIDE, _MOST_CELLS / size)

    def beside(self, size: int) -> float:
        """How far the first or last of `size` cells drawn over the image would lie from the middle of what it sees."""
        inside = (self._pitch(size) - 1 / size) / 2
        return max(abs(end - inside) for end in self.seen)

    def seen_of(self, side: int) -> tuple[int, int]:
        """The part in pixels whose middle cells see."""
        return round(-self.seen[0] * side), round((1 + self.seen[1]) * side)

    def absorbed(self, places: int, size: int) -> Reach:
        """Behind a convolution that takes so many of `size` places away: padding is there for that."""
        front, behind = max(self.front, 0.0), max(self.behind, 0.0)
        padding = front + behind
        taken = min(places * self.length / size / padding, 1.0) if padding and places > 0 else 0.0
        return Reach(self.front - front * taken, self.behind - behind * taken, self.seen)

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
