"""One network, method and layer before one picture: all classes' maps of one pass, and what a place in it says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from funcam.attribution.explanation import Explanation, explain
from funcam.attribution.finite import without_warnings
from funcam.attribution.telling import Said, explained
from funcam.errors import FuncamError
from funcam.imaging.fit import View, onto_image
from funcam.imaging.reading import Pixels
from funcam.imaging.render import overlay, picture_size, resize_picture
from funcam.live.shelf import Loaded
from funcam.methods import METHODS
from funcam.targets.target import logits_of
from funcam.zoo.batches import fit_images

CHOICES = [name for name, each in METHODS.items() if each.gives == "map" and each.at_layer and not each.whole]
"""The methods of a page: maps at a layer, of one pass."""

_MOST_CLASSES = 6
_LARGEST = 1024  # pixels: the longer side of what is shown


class Asked(NamedTuple):
    """What of a page makes the maps: a network, its weights, a method and the number of a layer (-1: the default)."""

    name: str
    weights: str
    method: str
    layer: int


class Share(NamedTuple):
    """What one cell adds to a class's logit."""

    name: str
    share: float
    logit: float


class Place(NamedTuple):
    """A cell, counted from 0, of so many, and what it adds to the classes, the most first.

    Attributes:
        row: its row.
        column: its column.
        rows: how many there are.
        columns: how many there are.
        shares: the classes that it speaks for most.
        exact: whether the shares of all cells and a constant add up to the logit; else they do to first order.
    """

    row: int
    column: int
    rows: int
    columns: int
    shares: list[Share]
    exact: bool


@dataclass(eq=False)
class Side:
    """What one network says of a picture, and why.

    Attributes:
        asked: what was chosen.
        loaded: the network.
        layer: the number of the layer in `loaded.layers`.
        picture: uint8 RGB `[H, W, 3]`.
        result: the maps of its likeliest classes.
        classes: these classes, the likeliest first.
    """

    asked: Asked
    loaded: Loaded
    layer: int
    picture: Pixels
    result: Explanation
    classes: list[Said]
    _shares: tuple[Explanation, bool] | None = field(default=None, repr=False)

    @property
    def view(self) -> View:
        """Which part of the picture the network saw."""
        assert self.result.context is not None
        return self.result.context.views[0]

    def row_of(self, name: str | None) -> int:
        """The number of the class of that name among `classes`; the likeliest where there is none."""
        return next((row for row, said in enumerate(self.classes) if said.name == name), 0)

    def map_of(self, row: int) -> NDArray[np.float32]:
        """The map of a class, `[h, w]`."""
        return _plane(self.result.maps[0, row])

    def shown(self, row: int, colormap: str) -> Pixels:
        """The map of a class over the picture, no larger than a screen."""
        size = picture_size(self.picture.shape[:2], min(_LARGEST, max(self.picture.shape[:2])))
        values = onto_image(self.map_of(row), self.view, size)
        return overlay(resize_picture(self.picture, size), values, colormap, alpha=0.65)

    def cell_at(self, x: float, y: float) -> tuple[int, int] | None:
        """Row and column of the cell at a place (0..1 from left and top); None where the network saw nothing."""
        rows, columns = self.map_of(0).shape
        height, width = self.view.image_size
        x0, y0, x1, y1 = self.view.box
        row, column = (y * height - y0) / (y1 - y0) * rows, (x * width - x0) / (x1 - x0) * columns
        return (int(row), int(column)) if 0 <= row < rows and 0 <= column < columns else None

    def cell_box(self, row: int, column: int) -> tuple[float, float, float, float]:
        """Left, top, width and height of a cell, in parts of the picture."""
        rows, columns = self.map_of(0).shape
        height, width = self.view.image_size
        x0, y0, x1, y1 = self.view.box
        cell = (x1 - x0) / columns, (y1 - y0) / rows
        return (x0 + column * cell[0]) / width, (y0 + row * cell[1]) / height, cell[0] / width, cell[1] / height

    def place(self, row: int, column: int, most: int = 5) -> Place:
        """Which classes a cell speaks for: among all where the head is linear, else among the likeliest."""
        if self._shares is None:
            self._shares = _shares(self)
        shares, exact = self._shares
        values = np.stack([_plane(each) for each in shares.maps[0]])
        cells = values[:, row, column]
        order = np.argsort(-cells, kind="stable")[:most]
        targets, names = shares.targets[0].tolist(), self.loaded.net.classes
        told = [Share(names[targets[i]], float(cells[i]), float(shares.logits[0, targets[i]])) for i in order]
        return Place(row, column, values.shape[1], values.shape[2], told, exact)


def look(loaded: Loaded, asked: Asked, picture: Pixels) -> Side:
    """What a network says of a picture: the maps of its likeliest classes, all of one pass.

    Args:
        loaded: the network.
        asked: what was chosen.
        picture: uint8 RGB `[H, W, 3]`.

    Raises:
        FuncamError: the network can't take the picture, or not have the method at that layer.
    """
    layers, net = loaded.layers, loaded.net
    number = asked.layer if 0 <= asked.layer < len(layers) else len(layers) - 1
    batch = fit_images(net, picture)
    with torch.no_grad(), without_warnings():
        said = logits_of(net.model(batch.tensor), net.output)[0]
        likeliest = said.topk(min(_MOST_CLASSES, len(said))).indices.tolist()
        result = explain(net, batch, [likeliest], method=asked.method, layer=layers[number].name)
    return Side(asked, loaded, number, picture, result, explained(result, 0))


def _shares(side: Side) -> tuple[Explanation, bool]:
    """Gradient times features, summed over channels: with a linear head exactly what each cell adds to a logit."""
    net, layer = side.loaded.net, side.loaded.layers[side.layer].name
    batch = fit_images(net, side.picture)
    with torch.no_grad(), without_warnings():
        try:
            explain(net, batch, method="cam", layer=layer)  # refused where the head isn't linear
        except FuncamError:
            return explain(net, batch, side.result.targets, method=_share, layer=layer), False
        return explain(net, batch, "all", method=_share, layer=layer), True


def _share(A: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    return (g * A).sum(0)


def _plane(values: torch.Tensor) -> NDArray[np.float32]:
    """A map `[h, w]`; of a clip the mean over its frames."""
    plane: NDArray[np.float32] = values.reshape(-1, *values.shape[-2:]).mean(0).float().cpu().numpy()
    return plane
