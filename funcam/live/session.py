"""What one reader of a page has before them: a picture, one or two sides, a place. Nothing of it is written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from funcam.errors import FuncamError
from funcam.imaging.reading import Pixels, read_image
from funcam.live import told
from funcam.live.shelf import Shelf
from funcam.live.side import Asked, Side, look
from funcam.scenes import scene

_SCENES = 100


class Session:
    """A picture and what was made of it.

    Attributes:
        name: the picture's file, or `scene:` and the arguments of the scene; "" while there is none.
        picture: uint8 RGB `[H, W, 3]`.
        sides: what is shown of it.
        place: where the reader pointed, 0..1 from the left and the top; None for nowhere.
        seed: of the last scene.
    """

    name: str
    picture: Pixels
    sides: list[Side]
    place: tuple[float, float] | None
    seed: int

    def __init__(self) -> None:  # no dataclass: Gradio would write one into the page
        self._show("", np.zeros((1, 1, 3), np.uint8))
        self.seed = 1

    def open(self, path: str) -> None:
        """Take a picture from a file; one that can't be read leaves none.

        Raises:
            FuncamError: it can't be read.
        """
        try:
            picture = read_image(path)
        except FuncamError as error:
            self.close()
            # The reader knows the file by its name, not by where it lies here.
            raise FuncamError(str(error).replace(path, os.path.basename(path))) from error
        self._show(os.path.basename(path), picture)

    def close(self) -> None:
        """Have no picture."""
        self._show("", self.picture)

    def draw_next(self) -> None:
        """Take the next scene, with several different things in it."""
        self.seed = (self.seed + 1) % _SCENES
        self._show(f'{told.SCENE}{self.seed}, "different"', scene(self.seed, "different").image)

    def point(self, x: float, y: float) -> None:
        """Point at a place, 0..1 from the left and the top."""
        self.place = (float(x), float(y))

    def _show(self, name: str, picture: Pixels) -> None:
        self.name, self.picture, self.sides, self.place = name, picture, [], None
        self._filed: Any = None

    def look(self, shelf: Shelf, asked: Sequence[Asked]) -> None:
        """Bring the sides to what is asked for; what is there already is not made again.

        Raises:
            FuncamError: a network can't take the picture, or have the method at that layer.
        """
        known = {side.asked: side for side in self.sides}
        self.sides = [
            known.get(each) or look(shelf.load(each.name, each.weights), each, self.picture) for each in asked
        ]

    def needs_files(self, asked: Any) -> bool:
        """Whether the files to download are of something else than this picture and what is asked for now."""
        before, self._filed = self._filed, (self.name, asked)
        return bool(before != self._filed)

    def cells(self) -> list[tuple[int, int] | None]:
        """The cell of each side at the place."""
        return [None if self.place is None else side.cell_at(*self.place) for side in self.sides]

    def tables(self) -> str:
        """Which classes the place speaks for, on each side, as HTML; empty where there is none."""
        if self.place is None:
            return ""
        places = [
            None if cell is None else side.place(*cell) for side, cell in zip(self.sides, self.cells(), strict=True)
        ]
        told_of = [told.place_table(place, side) for place, side in zip(places, self.sides, strict=True)]
        return "".join(dict.fromkeys(told_of))  # two methods at one layer have the same cells
