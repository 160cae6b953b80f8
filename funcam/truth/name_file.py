"""A user's own words for classes: a CSV file that says which of the network's classes a name in the truth means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from funcam.errors import FuncamError
from funcam.truth.csv_boxes import class_parts, read_rows
from funcam.truth.names import labeller

_EXPECTED = "expected the header name,class_index and rows such as cat,281"


def read_names(path: Path | str, classes: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Read which classes the names of a truth mean, where the network has them under others.

    A CSV file (commas, semicolons or tabs) with the header `name,class_index`; the columns may stand in any order
    and beside others. `name` is the truth's word, to the letter. `class_index` is an index, several of them
    (`281 282`) or the name of a class. A name may have several rows: an object of that name may be any of the
    classes in them.

        name,class_index
        cat,281
        cat,282
        dog,golden retriever

    Args:
        path: the file.
        classes: the name of each of the network's classes, in order.

    Returns:
        The classes by name, in the order of the file and each once, as `read_truth(..., names=)` takes them.

    Raises:
        FuncamError: the file can't be read, is empty, has another header or no row below it, or a row has no name, no
            class, or one that the network has not.

    Example:
        >>> names = read_names("names.csv", classes)  # doctest: +SKIP
        >>> read_truth("instances_val2017.json", classes, names=names)  # doctest: +SKIP
    """
    file = Path(path)
    rows = read_rows(file, _EXPECTED)
    headings = [cell.strip().lower() for cell in rows[0]]
    if not {"name", "class_index"} <= set(headings):
        raise FuncamError(f"{str(file)!r} begins with {','.join(rows[0])[:80]!r}; {_EXPECTED}")
    name_at, class_at = headings.index("name"), headings.index("class_index")
    labels = labeller(classes)
    classes_of: dict[str, tuple[int, ...]] = {}
    for number, row in enumerate(rows[1:], start=2):
        name, meant = (row[index].strip() if index < len(row) else "" for index in (name_at, class_at))
        if not name or not meant:
            raise FuncamError(f"{str(file)!r}, row {number}, has no {'class' if name else 'name'}; {_EXPECTED}")
        try:
            indices = [label for part in class_parts(meant) for label in labels(part)]
        except FuncamError as error:
            raise FuncamError(f"{str(file)!r}, row {number}: {error}") from None
        classes_of[name] = tuple(dict.fromkeys((*classes_of.get(name, ()), *indices)))
    if not classes_of:
        raise FuncamError(f"{str(file)!r} names no class; {_EXPECTED}")
    return classes_of
