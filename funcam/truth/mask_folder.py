"""Ground truth from a folder of masks: one picture for each object or image."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from funcam.errors import FuncamError
from funcam.truth.masks import MaskFile, file_pixels, mask_box
from funcam.truth.names import Labels
from funcam.truth.tally import Tally
from funcam.truth.truth import Object, Truth

SUFFIXES = (".png", ".bmp", ".gif", ".tif", ".tiff")
"""The suffixes of masks, in lower case. JPEG's and WebP's are not among them: their noise around edges is not 0."""


def read_masks(paths: Sequence[Path], labels: Labels, tally: Tally, images: Iterable[Path] = ()) -> dict[str, Truth]:
    """The truth in masks: `dog.png` is the object of the image `dog`, `dog_207.png` its object of class 207.

    What is not 0 is the object. A class is an index or a name (`dog_golden_retriever.png`). Where a name could be
    read in two ways, the images' stems decide: with an image `val_00000355` the mask `val_00000355.png` is its, and
    has no class. The masks are opened once to find their boxes, and rendered again when they are asked for.

    Args:
        paths: the masks' files.
        labels: from names to classes, see `names.labeller`.
        tally: takes the problems; a mask with one is left out.
        images: the images that the masks may belong to.

    Returns:
        The truth by the images' stems.

    Example:
        >>> read_masks([Path("masks/dog_207.png")], labels, Tally())["dog"].labels  # doctest: +SKIP
        (207,)
    """
    stems = {_normal(path.stem) for path in images}
    objects_of: dict[str, list[Object]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for path in paths:
        stem, name, classes = _split(_normal(path.stem), labels, stems)
        try:
            pixels = file_pixels(path)
        except FuncamError as error:
            tally.note("a mask can't be read; it is left out", str(error))
            continue
        box = mask_box(pixels)
        if box is None:
            tally.note("a mask is 0 everywhere; it is left out", str(path))
            continue
        size = (pixels.shape[1], pixels.shape[0])
        if sizes.setdefault(stem, size) != size:
            tally.note("two masks of one image differ in size; the later is left out", str(path))
            continue
        objects_of.setdefault(stem, []).append(Object(classes, name, box, MaskFile(path)))
    return {stem: Truth(stem, tuple(objects), sizes[stem]) for stem, objects in objects_of.items()}


def _split(stem: str, labels: Labels, stems: set[str]) -> tuple[str, str, tuple[int, ...]]:
    """The image's stem, the class's name and the class in a mask's stem."""
    if stem in stems:
        return stem, "", ()
    for place in (index for index, character in enumerate(stem) if character == "_"):
        image, name = stem[:place], stem[place + 1 :]
        # Without the images to ask, 00000355 is a number of an image and 355 one of a class.
        known = image in stems if stems else not (name.isdigit() and name.startswith("0") and name != "0")
        if image and name and known:
            try:
                return image, name, labels(name)
            except FuncamError:
                continue  # The next underscore; a stem without a class is the image's.
    return stem, "", ()


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text)
