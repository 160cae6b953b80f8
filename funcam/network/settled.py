"""A model cut at a layer, and how: what `settle` finds out."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter

import torch
from torch import Tensor, fx, nn

from funcam.network.axes import AnyLayout
from funcam.network.cuts import Cut
from funcam.network.tap import Manner, Place

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class TapCut:
    """A layer where the model's own code is tapped.

    Attributes:
        place: the module, its call, the part of what it returns.
        manner: how the model has to be run.
        plain: whether plain autograd has to differentiate it.
        shape: the shape of what the layer returns for one image.
        dtype: its type.
    """

    place: Place
    manner: Manner
    plain: bool
    shape: Shape
    dtype: torch.dtype


@dataclass(frozen=True, eq=False)
class LinearHead:
    """The linear layer behind the mean over space, as the graph runs it.

    Attributes:
        modules: what holds its weights: modules that share them with the model.
        path: where they are in it.
    """

    modules: nn.Module
    path: str

    @property
    def weight(self) -> Tensor:
        """The rows of the logits, `[N, C]`, as they are now."""
        weight: Tensor = attrgetter(self.path)(self.modules)
        return weight


@dataclass(frozen=True, eq=False)
class ClassRows:
    """A head in three parts: up to its last layer, that layer, and what makes a logit of each of its channels alone.

    Attributes:
        before: what crosses the cut -> what the layer is given, `[B, C, *T]` or `[B, C]`.
        layer: the layer, linear or a convolution of single cells: a module that shares its weights with the model.
        behind: what it returns, of any number of channels, `[B, K, *T]` -> their logits, `[B, K]`; None where they are
            the logits.
    """

    before: fx.GraphModule
    layer: nn.Module
    behind: fx.GraphModule | None

    @property
    def weight(self) -> Tensor:
        """The rows of the layer, `[N, C, ...]`, as they are now."""
        weight: Tensor = self.layer.weight  # type: ignore[assignment]
        return weight

    def logits(self, channels: Tensor) -> Tensor:
        """The logits of some channels of what the layer returns, `[B, K, *T] -> [B, K]`."""
        if self.behind is None:
            return channels
        logits: Tensor = self.behind(channels)
        return logits


@dataclass(frozen=True, eq=False)
class Settled:
    """A model cut at a layer, and how.

    Attributes:
        layer: the layer's name.
        way: `fx`, `export`, `tap` or `functions`.
        why: why that way.
        cut: the graph cut there, or where the model's code is tapped.
        layout: how the layer holds a feature map; None while that isn't known yet.
        others: where it is the default and one branch's end, the ends of all.
        carries: whether it is the default and is known to carry everything.
        beside: that its map is drawn far beside what its cells see, in words; "" where it isn't.
        linear: once it was looked for, the linear layer of a head that is the mean over space and that layer; or None.
        rows: once they were looked for, the parts of a head that keeps channels apart behind its last layer; or None.
    """

    layer: str
    way: str
    why: str
    cut: Cut | TapCut
    layout: AnyLayout | None = None
    others: tuple[str, ...] = ()
    carries: bool = False
    beside: str = ""
    linear: list[LinearHead | None] = field(default_factory=list)
    rows: list[ClassRows | None] = field(default_factory=list)

    @property
    def of_layer(self) -> AnyLayout:
        """How the layer holds a feature map."""
        assert self.layout is not None
        return self.layout
