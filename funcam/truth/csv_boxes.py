"""Ground truth from a CSV file: one box a line."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from funcam.errors import FuncamError
from funcam.files import MIB, parsing, read_text
from funcam.truth.names import Labels
from funcam.truth.tally import Tally
from funcam.truth.truth import MOST_ENTRIES, Object, Truth, refuse_over

_LARGEST = 64 * MIB
_MOST_CELLS = 2**21
_EXPECTED = "expected file,class_index,x0,y0,x1,y1"
_SPACES = " \t\r\n\f\v"
_BEYOND = 1e9
"""No picture has so many pixels a side."""

# What a column may be called, by what it holds; of several that are there the first counts.
FILE_COLUMNS = ("file", "image", "filename", "file_name", "path", "imageid", "image_id")
CLASS_COLUMNS = ("imagenet_indices", "class_index", "class_indices", "label", "class", "class_name", "name")
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "file": FILE_COLUMNS,
    "classes": CLASS_COLUMNS,
    "name": ("coco_class", "class_name", "class", "name", "label"),
    "x0": ("x0", "xmin", "x_min", "x1"),
    "y0": ("y0", "ymin", "y_min", "y1"),
    "x1": ("x1", "xmax", "x_max", "x2"),
    "y1": ("y1", "ymax", "y_max", "y2"),
    "width": ("width", "image_width", "img_width"),
    "height": ("height", "image_height", "img_height"),
}
_BY_POSITION: Mapping[int, tuple[str, ...]] = {
    6: ("file", "classes", "x0", "y0", "x1", "y1"),
    7: ("file", "name", "classes", "x0", "y0", "x1", "y1"),
}
_SIDES = ("x0", "y0", "x1", "y1")
_Size = tuple[int, int]


def read_csv(path: Path, labels: Labels, tally: Tally) -> dict[str, Truth]:
    """The truth in a CSV file with the columns `file,class_index,x0,y0,x1,y1`.

    With a header the columns may stand in any order, and more of them; without one there are these six, or seven with
    a name before the class. A class is an index, several that all fit (`"281 282"`), or a name. Commas, semicolons
    or tabs separate. Corners are in pixels, `x1` and `y1` behind the last one; columns `width` and `height` tell of
    which image, where it isn't the file as it is.

    Args:
        path: the file.
        labels: from names to classes, see `names.labeller`.
        tally: takes the problems; a line with one is left out.

    Returns:
        The truth by the file names in it.

    Raises:
        FuncamError: the file can't be read, or holds no such columns.

    Example:
        >>> read_csv(Path("boxes.csv"), labels, Tally())["dog.jpg"].objects  # doctest: +SKIP
        (Object(labels=(207,), name='golden retriever', box=(51.8, 61.2, 199.0, 214.7), ...),)
    """
    rows = read_rows(path)
    columns, first = _columns(rows[0], path)
    told: dict[str, list[tuple[Object, _Size | None]]] = {}
    for line, row in enumerate(rows[first:], start=first + 1):
        where = f"{path.name}, row {line}"
        if len(row) < max(columns.values()) + 1:
            tally.note(f"a row has too few columns; {_EXPECTED}; it is left out", where)
            continue
        cells = {name: row[index].strip() for name, index in columns.items()}
        object_ = _object(cells, labels, tally, where)
        if object_:
            told.setdefault(cells["file"], []).append((object_, _size(cells)))
    known = not _of_boxes([pair for pairs in told.values() for pair in pairs])
    return {
        name: Truth(name, tuple(object_ for object_, _ in pairs), pairs[0][1] if known else None)
        for name, pairs in told.items()
    }


def read_rows(path: Path, expected: str = _EXPECTED) -> list[list[str]]:
    """The rows of a CSV file that aren't empty, at least one.

    Args:
        path: the file.
        expected: what the error says of the rows that should be there.

    Raises:
        FuncamError: the file can't be read, is larger than 64 MiB, has more than 131,072 rows, or is empty.

    Example:
        >>> read_rows(Path("boxes.csv"))[0]  # doctest: +SKIP
        ['file', 'class_index', 'x0', 'y0', 'x1', 'y1']
    """
    name = repr(str(path))
    try:
        text = read_text(path, most=_LARGEST, name=name, advice="keep the images that are compared and save those")
    except FuncamError as error:
        raise FuncamError(f"{error}; {expected}") from None
    separator = max(",;\t", key=text[: text.find("\n") + 1 or None].count)
    refuse_over(sum(map(text.count, {separator, *_SPACES})), _MOST_CELLS, "cells and words", name)
    with parsing(f"{name} can't be read as CSV", expected):
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        rows = [row for row in lines if any(cell.strip() for cell in row)]
    refuse_over(len(rows), MOST_ENTRIES, "rows", name)
    if not rows:
        raise FuncamError(f"{str(path)!r} is empty; {expected}")
    return rows


def number(text: str) -> float | None:
    """A number of pixels; None where the text is none, or is beyond all pixels.

    Example:
        >>> number("1.5"), number("nan"), number("x"), number("1e300")
        (1.5, None, None, None)
    """
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < _BEYOND else None


def class_parts(cell: str) -> list[str]:
    """The classes in a cell: indices (`281 282`), or one name, which may hold spaces itself.

    Example:
        >>> class_parts("281 282"), class_parts("golden retriever"), class_parts("²")
        (['281', '282'], ['golden retriever'], ['²'])
    """
    return cell.split() if re.fullmatch(rf"[\d{_SPACES}]*", cell) else [cell]


def _columns(row: Sequence[str], path: Path) -> tuple[dict[str, int], int]:
    """Where each column is, and the first row of data."""
    headings = [cell.strip().lower() for cell in row]
    if len(row) in _BY_POSITION and all(number(cell) is not None for cell in row[-4:]):
        return {name: index for index, name in enumerate(_BY_POSITION[len(row)])}, 0
    columns = {name: _first(headings, names) for name, names in _COLUMNS.items()}
    if "x2" in headings:  # Beside an x2, x1 is the first corner.
        columns |= {"x1": _first(headings, ("x2",)), "y1": _first(headings, ("y2",))}
    missing = [name for name in ("file", "classes", *_SIDES) if columns[name] is None]
    places = {name: index for name, index in columns.items() if index is not None}
    if missing or len({places[side] for side in _SIDES}) < 4:
        raise FuncamError(f"{str(path)!r} begins with {','.join(row)[:80]!r}; {_EXPECTED}, with or without this header")
    return places, 1


def _first(headings: Sequence[str], names: Sequence[str]) -> int | None:
    return next((headings.index(name) for name in names if name in headings), None)


def _size(cells: Mapping[str, str]) -> _Size | None:
    """The size that a row tells."""
    width, height = (number(cells.get(side, "")) or 0 for side in ("width", "height"))
    return (round(width), round(height)) if width >= 1 and height >= 1 else None


def _of_boxes(told: Sequence[tuple[Object, _Size | None]]) -> bool:
    """Whether the sizes are those of the boxes themselves, as some tables have them, and not of the images."""
    boxes = [(object_.box, size) for object_, size in told if object_.box and size]
    beyond_corner = any(box[0] > 0 or box[1] > 0 for box, _ in boxes)
    return beyond_corner and all(
        abs(box[2] - box[0] - width) <= 1 and abs(box[3] - box[1] - height) <= 1 for box, (width, height) in boxes
    )


def _object(cells: Mapping[str, str], labels: Labels, tally: Tally, where: str) -> Object | None:
    x0, y0, x1, y1 = (number(cells[side]) for side in _SIDES)
    if not cells["file"] or x0 is None or y0 is None or x1 is None or y1 is None:
        tally.note(f"a row has no file or corners that are no numbers; {_EXPECTED}; it is left out", where)
        return None
    classes = cells["classes"]
    try:
        indices = tuple(dict.fromkeys(label for part in class_parts(classes) for label in labels(part)))
        if not indices:
            raise FuncamError("a row names no class")
    except FuncamError as error:
        tally.note(f"{error}; its objects are left out", where)
        return None
    return Object(indices, cells.get("name") or classes, (x0, y0, x1, y1))
