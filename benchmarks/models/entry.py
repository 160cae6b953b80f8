"""A model of the matrix, and what is right for it: written by hand from the model's source, before funcam saw it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class Entry:
    """A model with what is expected of it.

    Attributes:
        name: where it is from and what it is called, `torchvision/resnet18`.
        make: the model with random values, small where that is possible; the runner seeds torch before.
        image: the shape of one image, `(channels, *size)`; the runner gives two.
        layers: the names of the layers (module paths) that are right where none is named, the best one first; the first
            is the one that is cut and measured.
        grid: the spatial extent of the map there, `(h, w)`; `(t,)` for time, `(t, h, w)` for clips.
        layout: how the layer's tensor holds the map: `channels-first` `[B, C, *S]`, `channels-last` `[B, *S, C]`,
            `tokens` `[B, P + T + Q, C]`; or `other`, with `to_map`.
        prefix: class and register tokens in front of the grid's, P.
        suffix: tokens behind the grid's, Q.
        to_map: for `other`: from what the layer returned (a tensor) to `[B, C, *S]`.
        leaf: which part of what the layer returns is the tensor: an index or a key, or several one after the other.
        target: from what the model returns to a score for each image, `[B]`; None where it returns logits and the
            predicted class is explained (see `output`).
        output: where the logits are in what the model returns, for `explain(output=...)`; None where that is plain.
        inputs: further arguments of the model for a batch, by name: `name -> tensor`.
        kind: `classifier`, `segmentation`, `detection`, `video`, `audio`, `embedding` or `trap`.
        why: a line from the source that says why this layer, layout and grid; for a trap what it traps.
    """

    name: str
    make: Callable[[], nn.Module]
    image: tuple[int, ...]
    layers: tuple[str, ...]
    grid: tuple[int, ...]
    layout: str = "channels-first"
    prefix: int = 0
    suffix: int = 0
    to_map: Callable[[Tensor], Tensor] | None = None
    leaf: tuple[int | str, ...] = ()
    target: Callable[[Any], Tensor] | None = None
    output: str | int | None = None
    inputs: Callable[[Tensor], dict[str, Any]] | None = None
    kind: str = "classifier"
    why: str = ""
