"""What the dimensions of a tensor are made of: the image's axes, the batch, or nothing of a place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from funcam.network.reach import Reach

BATCH, OTHER, LOST = "B", "_", "?"


class Moved(Exception):
    """It is unknown where in the image the parts of a tensor belong."""


class Rolled(NamedTuple):
    """An axis of a length was rolled."""

    by: int
    length: int


class Padded(NamedTuple):
    """An axis has the given length since it was padded; before, it had a reach."""

    front: int
    behind: int
    length: int
    before: Reach


Change = Rolled | Padded


@dataclass(frozen=True)
class Axis:
    """A factor of a dimension.

    Attributes:
        name: `S0`, `S1`, ... for the image's axes, `B` for the batch, `?` for places in no order, `_` for all else.
        size: how many there are.
        outer: for a part of an image's axis, how many parts stand outside of it: windows of 4 in a row of 12 are
            `(S0, 3, 1)` and `(S0, 4, 3)`.
        changes: what was done along it and may be undone, the latest last.
        reach: which part of the image's axis it covers.
    """

    name: str
    size: int
    outer: int = 1
    changes: tuple[Change, ...] = ()
    reach: Reach = field(default=Reach(), repr=False)

    @property
    def placed(self) -> bool:
        """Whether it is an axis of the image, or a part of one."""
        return self.name.startswith("S")

    @property
    def rolled(self) -> bool:
        """Whether its parts aren't in the image's order."""
        return any(isinstance(change, Rolled) for change in self.changes)


@dataclass(frozen=True)
class Beside:
    """The cells of an image with others in front and behind (class tokens, registers)."""

    front: int
    cells: tuple[Axis, ...]
    behind: int

    @property
    def size(self) -> int:
        """How many there are in all."""
        return self.front + size_of(self.cells) + self.behind

    @property
    def placed(self) -> bool:
        """Always: it holds axes of the image."""
        return True


Atom = Axis | Beside
Dim = tuple[Atom, ...]
Dims = tuple[Dim, ...]


def size_of(dim: Sequence[Atom]) -> int:
    """How long a dimension is."""
    return math.prod(atom.size for atom in dim)


def plain(size: int) -> Dim:
    """A dimension that belongs to no place."""
    return (Axis(OTHER, size),) if size != 1 else ()


def is_plain(dim: Dim) -> bool:
    """Whether a dimension belongs to no place and isn't the batch."""
    return all(isinstance(atom, Axis) and atom.name == OTHER for atom in dim)


def lost(size: int) -> Dim:
    """A dimension of the image's places in an order of their own."""
    return (Axis(LOST, size),) if size != 1 else ()


def is_lost(dim: Dim) -> bool:
    """Whether a dimension holds such places."""
    return any(isinstance(atom, Axis) and atom.name == LOST for atom in dim)


def joined(atoms: Sequence[Atom]) -> Dim:
    """Neighbours that belong together as one: other factors, and an axis of the image cut into parts.

    Example:
        >>> joined([Axis("S0", 3), Axis("S0", 4, outer=3)])
        (Axis(name='S0', size=12, outer=1, changes=()),)
    """
    out: list[Atom] = []
    for atom in atoms:
        last = out[-1] if out else None
        if isinstance(atom, Axis) and atom.size == 1 and atom.name != BATCH:
            continue
        if isinstance(last, Axis) and isinstance(atom, Axis) and _adjoin(last, atom):
            out[-1] = replace(last, size=last.size * atom.size)
        else:
            out.append(atom)
    return tuple(out)


def _adjoin(first: Axis, second: Axis) -> bool:
    if first.name != second.name or first.name == BATCH:
        return False
    same = first.changes == second.changes and first.reach == second.reach
    return first.name in (OTHER, LOST) or (same and second.outer == first.outer * first.size)


def agreed(dims: Sequence[Dim]) -> Dim:
    """One dimension of several tensors that are combined cell by cell; those of size 1 are repeated.

    Raises:
        Moved: they hold different places.
    """
    if all(dim == dims[0] for dim in dims):
        return dims[0]
    longest = max(map(size_of, dims))
    if any(size_of(dim) not in (1, longest) for dim in dims):
        raise Moved
    known = {dim for dim in dims if not is_plain(dim)}
    if not known:
        return plain(longest)
    best = max(known, key=lambda dim: (size_of(dim), len(dim)))
    if size_of(best) != longest or not all(_alike(_places(dim), _places(best)) for dim in known):
        raise Moved
    return best


def _places(dim: Dim) -> Dim:
    """A dimension without a batch of one image."""
    return tuple(atom for atom in dim if atom.size > 1)


def _alike(one: Dim, other: Dim) -> bool:
    """Whether the one has no places, or the other's, give or take a cell."""
    if not one or one == other:
        return True
    pairs = zip(axes_in(one), axes_in(other), strict=False)
    near = not any(a.reach.is_far(b.reach, b.size * b.outer) for a, b in pairs)
    return near and _everywhere(one) == _everywhere(other)


def _everywhere(dim: Dim) -> Dim:
    """A dimension as if it covered the whole image."""
    return tuple(
        replace(atom, reach=Reach())
        if isinstance(atom, Axis)
        else replace(atom, cells=tuple(replace(cell, reach=Reach()) for cell in atom.cells))
        for atom in dim
    )


def together(tensors: Sequence[Dims]) -> Dims:
    """The dimensions of tensors that are combined cell by cell, as broadcasting does it."""
    if len(tensors) == 1:
        return tensors[0]
    count = max(map(len, tensors))
    padded = [((),) * (count - len(dims)) + tuple(dims) for dims in tensors]
    return tuple(agreed(column) for column in zip(*padded, strict=True))


def viewed(dims: Dims, shape: Sequence[int]) -> Dims:
    """The dimensions after a `view`.

    Raises:
        Moved: a dimension isn't made of whole factors.

    Example:
        >>> image = ((Axis("B", 1),), (Axis("_", 8),), (Axis("S0", 4),), (Axis("S1", 6),))
        >>> [size_of(dim) for dim in viewed(image, (2, 4, 24))]
        [2, 4, 24]
    """
    if 0 in shape:
        raise Moved
    waiting = list(joined([atom for dim in dims for atom in dim]))[::-1]
    made: list[Dim] = []
    for size in shape:
        part: list[Atom] = []
        while size > 1 or (not part and waiting and waiting[-1].size == 1):
            if not waiting:
                raise Moved
            taken, left = _taken(waiting.pop(), size)
            waiting += [left] if left else []
            part.append(taken)
            size //= taken.size
        made.append(joined(part))
    if any(atom.size > 1 for atom in waiting) or (waiting and not made):
        raise Moved
    return (*made[:-1], joined([*made[-1], *waiting])) if made else ()


def _taken(atom: Atom, size: int) -> tuple[Atom, Atom | None]:
    """As much of an atom as a dimension of a size has room for, and the rest."""
    if size % atom.size == 0:
        return atom, None
    if isinstance(atom, Beside) or atom.name == BATCH or atom.size % size:
        raise Moved
    inner = replace(atom, size=atom.size // size, outer=atom.outer * size if atom.placed else 1)
    return replace(atom, size=size), inner


def cut(dim: Dim, start: int, end: int, step: int = 1) -> Dim:
    """What a slice leaves of a dimension.

    Raises:
        Moved: it leaves some places only.
    """
    size = size_of(dim)
    start, end = min(max(start + size * (start < 0), 0), size), min(max(end + size * (end < 0), 0), size)
    if (start, step) == (0, 1) and end == size:
        return dim
    left = len(range(start, end, step))
    if is_plain(dim) or is_lost(dim) or not left:
        return lost(left) if is_lost(dim) else plain(left)
    atom = dim[0]
    if len(dim) > 1:
        raise Moved
    if isinstance(atom, Axis):
        return joined([_shortened(atom, start, end, step)])
    behind = size - atom.behind
    if end <= atom.front or start >= behind:
        return plain(left)
    if step != 1 or start > atom.front or end < behind:
        raise Moved
    return with_beside(atom.front - start, atom.cells, end - behind)


def _shortened(atom: Axis, start: int, end: int, step: int) -> Axis:
    """An axis of the image without what it was padded with, or with one of so many places."""
    last = atom.changes[-1] if atom.changes else None
    if isinstance(last, Padded) and last[:3] == (start, atom.size - end, atom.size) and step == 1:
        seen = atom.reach.grown(-start, end - atom.size, atom.size).seen
        return replace(atom, size=end - start, changes=atom.changes[:-1], reach=replace(last.before, seen=seen))
    trimmed = step == 1 and 2 <= end - start >= atom.size - 1  # by one place, as a convolution without padding does
    if not whole(atom) or not (trimmed or (start < step and end == atom.size)):
        raise Moved
    left = len(range(start, end, step))
    return replace(atom, size=left, changes=(), reach=atom.reach.through(atom.size, left, start, step))


def with_beside(front: int, dim: Dim, behind: int) -> Dim:
    """A dimension of places with others in front and behind.

    Raises:
        Moved: it is no dimension of places.
    """
    if not (front or behind):
        return dim
    if min(front, behind) < 0:
        raise Moved
    if len(dim) == 1 and isinstance(dim[0], Beside):
        return (Beside(front + dim[0].front, dim[0].cells, dim[0].behind + behind),)
    cells = tuple(atom for atom in dim if isinstance(atom, Axis) and atom.placed)
    if cells != dim:
        raise Moved
    return (Beside(front, cells, behind),)


def concatenated(parts: Sequence[Dim]) -> Dim:
    """A dimension along which tensors are concatenated: the places of one of them at most.

    Raises:
        Moved: several have places there.
    """
    sizes = [size_of(part) for part in parts]
    if any(map(is_lost, parts)):
        return lost(sum(sizes))
    placed = [number for number, part in enumerate(parts) if not is_plain(part)]
    if not placed:
        return plain(sum(sizes))
    if len(placed) > 1:
        raise Moved
    at = placed[0]
    return with_beside(sum(sizes[:at]), parts[at], sum(sizes[at + 1 :]))


def check_one(dim: Dim, index: int) -> None:
    """Check that a single one of this dimension belongs to no place of the image, or to one within each cell.

    Raises:
        Moved: it is one of its places.
    """
    index %= size_of(dim)
    for atom in dim:
        if isinstance(atom, Beside) and not (len(dim) == 1 and is_plain(cut(dim, index, index + 1))):
            raise Moved
        if isinstance(atom, Axis) and atom.placed and (atom.outer == 1 or atom.rolled):
            raise Moved


def resized(dims: Dims, sizes: Sequence[int]) -> Dims:
    """The dimensions after something local (a convolution) gave the last ones other sizes.

    Raises:
        Moved: those that have changed aren't whole axes of the image.
    """
    kept, last = dims[: len(dims) - len(sizes)], dims[len(dims) - len(sizes) :]
    made: list[Dim] = []
    for dim, size in zip(last, sizes, strict=True):
        if is_plain(dim) or is_lost(dim):
            made.append(lost(size) if is_lost(dim) else plain(size))
        else:
            made.append(dim if size_of(dim) == size else joined([replace(_only_axis(dim), size=size, changes=())]))
    return (*kept, *made)


def _only_axis(dim: Dim) -> Axis:
    atom = dim[0]
    if len(dim) > 1 or not isinstance(atom, Axis) or not atom.placed or atom.rolled:
        raise Moved
    return atom


def padded(dim: Dim, front: int, behind: int, *, by_itself: bool = True) -> Dim:
    """A dimension with so many in front and behind; a convolution's own padding counts for no place.

    Raises:
        Moved: it is no dimension of places.
    """
    if not (front or behind):
        return dim
    if is_plain(dim):
        return plain(front + size_of(dim) + behind)
    atom = dim[0]
    if len(dim) > 1 or not isinstance(atom, Axis) or not atom.placed:
        return with_beside(front, dim, behind)
    if atom.outer > 1:
        raise Moved
    size = front + atom.size + behind
    reach = atom.reach.grown(front, behind, atom.size) if by_itself else atom.reach
    return (replace(atom, size=size, changes=(*atom.changes, Padded(front, behind, size, atom.reach)), reach=reach),)


def axes_in(dim: Dim) -> list[Axis]:
    """The image's axes in a dimension, and parts of them."""
    atoms = [axis for atom in dim for axis in (atom.cells if isinstance(atom, Beside) else (atom,))]
    return [axis for axis in atoms if axis.placed]


def has_batch(dims: Dims) -> bool:
    """Whether the images' own axis is among dimensions."""
    return any(isinstance(atom, Axis) and atom.name == BATCH for dim in dims for atom in dim)


def whole(atom: Atom) -> bool:
    """Whether a factor is an axis of the image, from its one end to the other."""
    return isinstance(atom, Axis) and atom.placed and atom.outer == 1 and not atom.rolled


def rolled(dim: Dim, by: int) -> Dim:
    """A dimension that was rolled.

    Raises:
        Moved: it isn't an axis of the image.
    """
    if is_plain(dim):
        return dim
    atom = dim[0]
    if len(dim) > 1 or not isinstance(atom, Axis) or not atom.placed or atom.outer > 1:
        raise Moved
    changes, last = atom.changes, atom.changes[-1] if atom.changes else None
    if isinstance(last, Rolled) and last.length == atom.size:
        changes, by = changes[:-1], last.by + by
    rest = (Rolled(by % atom.size, atom.size),) if by % atom.size else ()
    return (replace(atom, changes=(*changes, *rest)),)
