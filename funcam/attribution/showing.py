"""What an explanation shows of itself: in a notebook, as pictures, as a figure of matplotlib's, as files and values."""

from __future__ import annotations

import base64
import html
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from PIL import Image

from funcam.attribution.telling import as_dict, context_of, explained, in_words, likeliest
from funcam.errors import FuncamError, json_text, shown
from funcam.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from funcam.attribution.explanation import Explanation
    from funcam.imaging.colormaps import Colormap

_COLORMAP = "viridis"
_ALPHA = 0.65
_NOTEBOOK_TILE = 192
_NOTEBOOK_ROWS = 4
_FIGURE_ROWS = 250  # of 2.6 inches: matplotlib has at most 2**16 pixels a side


class Shown:
    """The part of an `Explanation` that shows it; whatever draws is imported when something is drawn."""

    def __repr__(self) -> str:
        return f"Explanation({in_words(self._own)})"

    def _repr_html_(self) -> str | None:
        """A static panel of the first rows with classes and probabilities, and how to see the rest, for notebooks.

        None where there is nothing to draw.
        """
        from funcam.attribution.drawing import Look, drawn, first_rows

        part = first_rows(self._own, _NOTEBOOK_ROWS)
        try:
            picture = _png(drawn(self._own, None, Look(_COLORMAP, _ALPHA), _NOTEBOOK_TILE, part))
        except (FuncamError, RuntimeError):  # no images; torch's, of tensors without values
            return None
        words = html.escape(in_words(self._own))
        source = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
        return (
            f'<div><p>{words}</p><img src="{source}" alt="{words}" style="max-width:100%;height:auto">'
            f"{_table(self._own, *part)}{_rest(self._own, *part)}</div>"
        )

    def heatmap(self, *, index: int = 0, target: int = 0, colormap: Colormap = _COLORMAP) -> Image.Image:
        """One map in colours, of the picture's size where that is known; of a method that gives pixels these.

        Args:
            index: which image of the batch.
            target: which of its classes.
            colormap: a name of `funcam.imaging.render.COLORMAPS`, or one of matplotlib's own.

        Raises:
            FuncamError: there is no such image, target or colour map.
        """
        from funcam.attribution.drawing import coloured

        return Image.fromarray(coloured(self._own, index, target, colormap))

    def overlay(
        self,
        image: Any = None,
        *,
        index: int = 0,
        target: int = 0,
        at: int | None = None,
        colormap: Colormap = _COLORMAP,
        alpha: float = _ALPHA,
    ) -> Image.Image:
        """One map laid over its picture, as an image of Pillow's (`numpy.asarray` makes an array of it).

        Args:
            image: the picture, in any form that `as_image` takes (for maps of volumes and signals: an array); None for
                the one that a network of the zoo was given. The map covers it whole.
            index: which image of the batch.
            target: which of its classes.
            at: of a volume or a clip, which slice or frame; None for the one in which the map is largest.
            colormap: a name of `funcam.imaging.render.COLORMAPS`, or one of matplotlib's own.
            alpha: how much of the picture the hottest colour covers, 0..1.

        Raises:
            FuncamError: the picture isn't known or can't be read, or there is no such image, target or colour map.
        """
        from funcam.attribution.drawing import Look, overlaid

        return Image.fromarray(overlaid(self._own, image, index, target, at, Look(colormap, alpha)))

    def panel(
        self, images: Any = None, *, colormap: Colormap = _COLORMAP, alpha: float = _ALPHA, tile: int = 256
    ) -> Image.Image:
        """All maps side by side, a row for each class of each image (of eight at most), as an image of Pillow's.

        Args:
            images: the pictures, as in `overlay`, one for each image; None for those that a network of the zoo was
                given (without any the maps are drawn alone).
            colormap: as in `overlay`.
            alpha: as in `overlay`.
            tile: the side of each picture in pixels.

        Raises:
            FuncamError: as `overlay`, there is no image, or the panel would have more pixels than can be read.
        """
        from funcam.attribution.drawing import Look, drawn

        return Image.fromarray(drawn(self._own, images, Look(colormap, alpha), tile))

    def figure(self, images: Any = None, *, colormap: Colormap = _COLORMAP, alpha: float = _ALPHA) -> Figure:
        """The panel's pictures as a figure of matplotlib's, an axis each.

        Args:
            images: as in `panel`.
            colormap: as in `overlay`.
            alpha: as in `overlay`.

        Raises:
            FuncamError: matplotlib is not installed, there are more than 250 rows; or as `panel`.
        """
        from funcam.attribution.drawing import Look, extent, tiles

        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise FuncamError(
                "figures need matplotlib, which isn't here: pip install 'funcam[figures]', or .panel()"
            ) from error
        count, classes = extent(self._own)
        if count * classes > _FIGURE_ROWS:
            raise FuncamError(
                f"a figure of {count * classes:,} rows is more than matplotlib draws (at most {_FIGURE_ROWS}); explain "
                "fewer classes, or draw one map with .heatmap(index=..., target=...)"
            )
        rows = tiles(self._own, images, Look(colormap, alpha))
        if not rows:
            raise FuncamError("there is nothing to draw: the explanation is of no image")
        columns = max(len(pictures) for _, pictures in rows)
        figure = Figure(figsize=(2.4 * columns, 2.6 * len(rows)), layout="constrained")
        axes = figure.subplots(len(rows), columns, squeeze=False)
        for line, (name, pictures) in zip(axes, rows, strict=True):
            for axis in line:
                axis.set_axis_off()
            for axis, (title, picture) in zip(line, pictures.items(), strict=False):
                axis.imshow(picture)
                axis.set_title(f"{name}\n{title}" if axis is line[0] else title, fontsize=9)
        return figure

    def save(
        self,
        path: str | os.PathLike[str],
        images: Any = None,
        *,
        colormap: Colormap = _COLORMAP,
        alpha: float = _ALPHA,
        tile: int = 256,
    ) -> None:
        """Write the panel (`.png`, `.jpg`, `.webp`), the values (`.json`) or the maps (`.npz`), by the suffix.

        Args:
            path: where to; the folder exists. What is there is replaced.
            images: as in `panel`.
            colormap: as in `overlay`.
            alpha: as in `overlay`.
            tile: as in `panel`.

        Raises:
            FuncamError: another suffix, a place that can't be written to, more pixels than the format holds; or as
                `panel`.
        """
        if not isinstance(path, str | os.PathLike):
            raise FuncamError(f"a path was expected, where the results are to be; got {shown(path)}")
        suffix = Path(path).suffix.lower()
        if suffix == ".json":
            write_atomically(path, (json_text(self.to_dict(), indent=2) + "\n").encode(errors="replace"), links=False)
        elif suffix == ".npz":
            write_atomically(path, _npz(self._own), links=False)
        else:
            from funcam.imaging.render import PICTURE_SUFFIXES, save_picture

            if suffix not in PICTURE_SUFFIXES:
                known = ", ".join((*PICTURE_SUFFIXES, ".json", ".npz"))
                raise FuncamError(f"{os.fspath(path)!r} has no suffix that says what to write; use one of {known}")
            from funcam.attribution.drawing import Look, drawn

            save_picture(path, drawn(self._own, images, Look(colormap, alpha), tile, suffix=suffix))

    def to_dict(self, *, maps: bool = False) -> dict[str, Any]:
        """What there is to tell as plain values, which `json.dumps` takes.

        Args:
            maps: whether the maps' own values are told, too, as nested lists.

        Returns:
            `method`, `layer`, `net`, `targets`, `scores`, the maps' `shape`, and of each of the `images` its
            `predictions` (the likeliest classes) and what is `explained`, each with `index`, `name` (where it isn't a
            class's logit, what was asked: "cat against dog"), `score` and `probability` (None for what is none); of
            the explained ones the map's `peak`, each axis of space in 0..1.
        """
        return as_dict(self._own, maps)

    @property
    def _own(self) -> Explanation:
        return cast("Explanation", self)


def _png(picture: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()


def _npz(explanation: Explanation) -> bytes:
    stream = io.BytesIO()
    arrays = {name: getattr(explanation, name).detach().cpu().numpy() for name in ("maps", "targets", "scores")}
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def _table(explanation: Explanation, images: int, classes: int) -> str:
    """The first classes of the first images in words: what is explained, and what the model finds likeliest."""
    rows = [
        f"<tr><td>{index}</td><td>{_words(explained(explanation, index, classes))}</td>"
        f"<td>{_words(likeliest(explanation, index)[:3])}</td></tr>"
        for index in range(images)
    ]
    return f"<table><tr><th>image</th><th>explained</th><th>likeliest</th></tr>{''.join(rows)}</table>"


def _rest(explanation: Explanation, images: int, classes: int) -> str:
    """What is there beside what is shown, and how it is seen; nothing where that is all."""
    all_images, all_classes = len(explanation.targets), explanation.targets[0:1].numel()
    more, place = [], []
    if all_images > images:
        more.append(f"{all_images - images:,} more images")
        place.append(f"index={images}")
    if all_classes > classes:
        more.append(f"{all_classes - classes:,} more classes of each image")
        place.append(f"target={classes}")
    if not more:
        return ""
    call = f".{'overlay' if context_of(explanation).images else 'heatmap'}({', '.join(place)})"
    return f"<p>{' and '.join(more)}: <code>{call}</code> shows one, <code>.save('maps.npz')</code> keeps all</p>"


def _words(said: list[Any]) -> str:
    texts = (each.name + ("" if each.probability is None else f" {100 * each.probability:.1f} %") for each in said)
    return html.escape(", ".join(texts))
