"""How a layer's tensor holds a feature map of the images: which axes are the image's, and where tokens stand."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from funcam.network.layout_words import AXES

Shape = tuple[int, ...]

CELLS = ("tokens", "tokens-last", "tokens-first")
MOST_BESIDE = 8
_MOST_SKEW = math.log(2.5)


@dataclass(frozen=True)
class Layout:
    """How a layer's tensor holds a feature map `[B, C, *S]`.

    Attributes:
        kind: `channels-first` (`[B, C, *S]`), `channels-last` (`[B, *S, C]`), `tokens` (`[B, P + T + Q, C]`),
            `tokens-last` (`[B, C, P + T + Q]`), `tokens-first` (`[P + T + Q, B, C]`) or, for clips, `frames-first`
            (`[B, T, C, H, W]`).
        prefix: for tokens, the number P of class and register tokens in front of the T tokens of the grid.
        suffix: for tokens, the number Q of tokens behind them.
        grid: for tokens, the grid `S` whose cells they are.
        order: the image's axes in the order in which the tensor has them; none for row by row.
        folded: for frames that are folded into the batch (`[B T, C, H, W]`), their number T.

    Example:
        >>> import torch
        >>> tokens = torch.rand(2, 197, 768)
        >>> layout = Layout("tokens", prefix=1, grid=(14, 14))
        >>> layout.to_map(tokens).shape, torch.equal(layout.from_map(layout.to_map(tokens), tokens), tokens)
        (torch.Size([2, 768, 14, 14]), True)
    """

    kind: str
    prefix: int = 0
    suffix: int = 0
    grid: Shape = ()
    order: Shape = ()
    folded: int = 0

    def to_map(self, tensor: Tensor) -> Tensor:
        """The feature map `[B, C, *S]` in a layer's tensor."""
        if self == PLAIN:
            return tensor
        if self.folded:
            tensor = tensor.reshape(-1, self.folded, *tensor.shape[1:]).transpose(1, 2)
        moved = tensor.movedim(AXES[self.kind], (0, 1))
        if self.grid:
            cells = moved[:, :, self.prefix : moved.shape[2] - self.suffix]
            moved = cells.reshape(*cells.shape[:2], *self._ordered(self.grid))
        return moved.movedim(self._positions(), self._axes()) if self.order else moved

    def from_map(self, features: Tensor, tensor: Tensor) -> Tensor:
        """The layer's tensor that holds these features; what is beside them is taken from `tensor`, as constants.

        It lies in memory as `tensor` does, for code that views it.
        """
        made = self._laid_out(features, tensor)
        return made.contiguous() if tensor.is_contiguous() else made

    def _laid_out(self, features: Tensor, tensor: Tensor) -> Tensor:
        if self == PLAIN:
            return features
        if self.order:
            features = features.movedim(self._axes(), self._positions())
        if self.grid:
            features = self._beside(features.flatten(2), tensor)
        features = features.movedim((0, 1), AXES[self.kind])
        return features.transpose(1, 2).flatten(0, 1) if self.folded else features

    def _positions(self) -> Shape:
        return tuple(range(2, 2 + len(self.order)))

    def _axes(self) -> Shape:
        return tuple(2 + axis for axis in self.order)

    def _ordered(self, sides: Shape) -> Shape:
        return tuple(sides[axis] for axis in self.order) if self.order else sides

    def _beside(self, cells: Tensor, tensor: Tensor) -> Tensor:
        moved = tensor.movedim(AXES[self.kind], (0, 1)).detach().expand(cells.shape[0], -1, -1)
        behind = moved.shape[2] - self.suffix
        return torch.cat([moved[:, :, : self.prefix], cells, moved[:, :, behind:]], dim=2)

    def spatial(self, shape: Sequence[int]) -> Shape:
        """The spatial extent `S` of a tensor of this shape."""
        if self.grid:
            return self.grid
        shape = (shape[0] // self.folded, shape[1], self.folded, *shape[2:]) if self.folded else shape
        axes = [axis % len(shape) for axis in AXES[self.kind]]
        sides = tuple(side for axis, side in enumerate(shape) if axis not in axes)
        return tuple(sides[self.order.index(axis)] for axis in range(len(sides))) if self.order else sides

    def __str__(self) -> str:
        words = [f"{self.folded} frames folded into the batch"] if self.folded else [self.kind]
        words += ["x".join(map(str, self.grid))] if self.grid else []
        words += [f"axes in the order {self.order}"] if self.order else []
        words += [f"{self.prefix} in front"] if self.prefix else []
        words += [f"{self.suffix} behind"] if self.suffix else []
        return ", ".join(words)


PLAIN = Layout("channels-first")


def of_images(shape: Sequence[int]) -> Layout:
    """How images hold their own axes: `[B, channels, *size]`, or the channels last, or clips with the frames first.

    Example:
        >>> of_images((1, 16, 3, 224, 224)).kind, of_images((1, 3, 16, 224, 224)).kind, of_images((1, 64, 64, 3)).kind
        ('frames-first', 'channels-first', 'channels-last')
    """
    few = (1, 3)
    if len(shape) == 5 and shape[2] in few and shape[1] not in few:
        return Layout("frames-first")
    if len(shape) > 3 and shape[-1] in (1, 3, 4) and shape[1] not in (1, 2, 3, 4):
        return Layout("channels-last")
    return PLAIN


def readings(shape: Sequence[int], image: Sequence[int]) -> Iterator[Layout]:
    """Every way in which a tensor of a shape may hold a map of images, with sides in about the image's proportions.

    Args:
        shape: the layer's shape for B images.
        image: the images' shape, `[B, channels, *size]`.

    Example:
        >>> [str(reading) for reading in readings((5, 7, 7, 768), (5, 3, 224, 224))]
        ['channels-last', 'channels-last, axes in the order (1, 0)']
        >>> str(next(readings((5, 16, 64), (5, 3, 64, 64))))
        'tokens, 4x4'
    """
    size = tuple(image[2:])
    for reading in _possible(tuple(shape), image[0], size):
        if fits(reading.spatial(shape), size):
            yield reading


def _possible(shape: Shape, batch: int, size: Shape) -> Iterator[Layout]:
    axes = len(size)
    orders: list[Shape] = {2: [(), (1, 0)], 3: [(), (1, 2, 0)]}.get(axes, [()])
    if len(shape) == axes + 2 and shape[0] == batch:
        kinds = ["channels-first", "channels-last", *["frames-first"] * (axes == 3)]
        yield from (
            Layout(kind, order=order) for kind in kinds for order in orders if kind != "frames-first" or not order
        )
    if axes == 3 and len(shape) == 4 and shape[0] > batch and shape[0] % batch == 0:
        yield Layout("channels-first", folded=shape[0] // batch)
    if len(shape) == 3 and axes > 1:
        for kind in CELLS:
            images, channels = (axis % 3 for axis in AXES[kind])
            if shape[images] == batch:
                yield from _cells(kind, shape[3 - images - channels], size, orders)


def _cells(kind: str, count: int, size: Shape, orders: Sequence[Shape]) -> Iterator[Layout]:
    for beside in range(min(MOST_BESIDE, count - 2) + 1):
        for grid in grids(count - beside, size):
            for prefix in dict.fromkeys((beside, 0, beside - 1, 1)):
                if 0 <= prefix <= beside:
                    yield from (Layout(kind, prefix, beside - prefix, grid, order) for order in orders)


def grids(cells: int, size: Sequence[int]) -> list[Shape]:
    """The grids of so many cells with about the proportions of an image.

    Example:
        >>> grids(24, (64, 96))
        [(4, 6), (3, 8), (6, 4)]
    """
    if len(size) == 1:
        return [(cells,)]
    found: list[Shape] = []
    for first in (side for side in range(1, cells + 1) if cells % side == 0):
        found += [(first, *rest) for rest in grids(cells // first, size[1:])]
    fitting = [grid for grid in found if fits(grid, size)]
    return sorted(fitting, key=lambda grid: skew(grid, size))


def fits(grid: Sequence[int], size: Sequence[int]) -> bool:
    """Whether a grid may be an image's: all of its sides are reduced by about the same factor, none enlarged much."""
    return len(grid) == len(size) and math.prod(grid) > 1 and skew(grid[-2:], size[-2:]) <= _MOST_SKEW


def skew(grid: Sequence[int], size: Sequence[int]) -> float:
    """How far the sides of a grid are from the image's proportions: 0 where all are reduced by the same factor."""
    factors = [math.log(whole / part) if part and whole else math.inf for part, whole in zip(grid, size, strict=True)]
    return max(factors) - min(factors) + max(0.0, -min(factors) - math.log(2))
