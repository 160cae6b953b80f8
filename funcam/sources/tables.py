"""Images in Parquet files, as Hugging Face's data sets have them. Needs pyarrow."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

from funcam.errors import FuncamError, quoted, shown
from funcam.files import MIB, parsing
from funcam.sources.item import Item, Place, made_item
from funcam.sources.places import opened_place
from funcam.truth.csv_boxes import CLASS_COLUMNS, FILE_COLUMNS

_IMAGES = ("image", "bytes", "img", "image_bytes", "jpg", "jpeg", "png", "webp")
_CLASSES = ("cls", *CLASS_COLUMNS)
_BYTES = ("binary", "large_binary", "binary_view")
_TEXT = ("string", "large_string", "string_view")
"""Types of Arrow's, in its own words: views are newer than the oldest pyarrow."""

_WORDS, _PICTURES = 16, 1
"""Rows of words, and of images, that are unpacked at once: a dictionary's one value may be that of a million rows."""

_MOST_WORDS, _MOST_PICTURES = 64 * MIB, 2048 * MIB
"""What a row group's column of them may claim to be when it is unpacked."""

_BUFFER = 2**20


class Table:
    """A Parquet file with images in a column.

    Example:
        >>> with opened_place("train-00000.parquet") as stream:  # doctest: +SKIP
        ...     table = Table(stream, "train-00000.parquet")
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        parquet, self._name = _parquet(), name
        with parsing(f"{name!r} can't be read as Parquet", "save or download it again"):
            self._file = parquet.ParquetFile(stream, buffer_size=_BUFFER)
            schema = self._file.schema_arrow
            self.image, self.path = _image_columns(schema, name)
            self.label = next((column for column in _CLASSES if column in schema.names), None)
            self.label_names = _label_names(schema, self.label)
            self.groups = [self._file.metadata.row_group(group).num_rows for group in range(self._file.num_row_groups)]

    def cells(self, columns: Sequence[str], groups: Sequence[int], rows: int, most: int) -> Iterator[tuple[Any, ...]]:
        """The rows of some columns of some row groups, so many unpacked at once.

        Raises:
            FuncamError: a row group claims more than `most` bytes of a column, or they can't be read.
        """
        for group in groups:
            told = self._file.metadata.row_group(group)
            for number in range(told.num_columns):
                column = told.column(number)
                if column.path_in_schema in columns and not 0 <= column.total_uncompressed_size <= most:
                    raise FuncamError(
                        f"row group {group} of {self._name!r} claims more than {most // MIB:,} MiB of "
                        f"{quoted(column.path_in_schema)}; save it in smaller row groups"
                    )
        batches = self._file.iter_batches(rows, row_groups=list(groups), columns=list(columns), use_threads=False)
        with parsing(f"{self._name!r} can't be read as Parquet", "save or download it again"):
            for batch in batches:
                arrays = [_column(batch, column) for column in columns]
                yield from zip(*arrays, strict=True)


def table_items(file: str) -> Iterator[Item]:
    """The images in a Parquet file, a row each, with its class; of the images themselves nothing is read.

    Args:
        file: a path or an address.

    Raises:
        FuncamError: pyarrow isn't installed. A file that can't be read as Parquet, or has no images, is an item with
            its problem.

    Example:
        >>> [item.path for item in table_items("train-00000.parquet")]  # doctest: +SKIP
        ['train-00000.parquet/0 (n01440764_10026.JPEG)']
    """
    _parquet()
    row = 0
    try:
        with opened_place(file) as stream:
            table = Table(stream, file)
            columns = [column for column in (table.path, table.label) if column]
            if not columns:
                for row in range(sum(table.groups)):
                    yield made_item(f"{file}/{row}", Place(file, row))
                return
            for cells in table.cells(columns, range(len(table.groups)), _WORDS, _MOST_WORDS):
                told = dict(zip(columns, cells, strict=True))
                yield _item(file, row, told.get(table.path or ""), told.get(table.label or ""), table.label_names)
                row += 1
    except FuncamError as error:
        yield made_item(f"{file}/(the rest)" if row else file, Place(file, row), problem=str(error))


def table_bytes(table: Table, first: int) -> Iterator[bytes | None]:
    """The images of a Parquet file from a row on; None for an empty cell.

    Args:
        table: the file.
        first: the row.

    Raises:
        FuncamError: they can't be read.

    Example:
        >>> next(table_bytes(table, 0))[:3]  # doctest: +SKIP
        b'\\xff\\xd8\\xff'
    """
    group = 0
    while group < len(table.groups) and first >= table.groups[group]:
        first -= table.groups[group]
        group += 1
    cells = table.cells([table.image], range(group, len(table.groups)), _PICTURES, _MOST_PICTURES)
    for number, (cell,) in enumerate(cells):
        if number >= first:
            yield cell.as_py()


def _item(file: str, row: int, path: Any, label: Any, names: Sequence[str]) -> Item:
    name = path.as_py() if path is not None else None
    value = label.as_py() if label is not None else None
    unlabelled = None
    if isinstance(value, float) and (value.is_integer() or math.isnan(value)):  # integers, where some rows have none
        value = None if math.isnan(value) else int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        value = names[value] if 0 <= value < len(names) else str(value) if not names else None
    elif value is not None and not isinstance(value, str):
        value, unlabelled = None, f"its class is {shown(value)}; expected an index or a name"
    shown_as = f"{file}/{row} ({name})" if isinstance(name, str) and name else f"{file}/{row}"
    return made_item(shown_as, Place(file, row), value, unlabelled=unlabelled)


def _parquet() -> Any:
    try:
        from pyarrow import parquet
    except ImportError:
        raise FuncamError("Parquet needs pyarrow, which isn't installed; pip install 'funcam[batch]'") from None
    return parquet


def _image_columns(schema: Any, name: str) -> tuple[str, str | None]:
    """The column of the images' bytes, and the one of what they are called."""
    from pyarrow import types

    for column in (column for column in _IMAGES if column in schema.names):
        kind = schema.field(column).type
        if types.is_struct(kind):
            inside = {kind.field(at).name: kind.field(at).type for at in range(kind.num_fields)}
            if "bytes" in inside and str(inside["bytes"]) in _BYTES:
                return f"{column}.bytes", f"{column}.path" if str(inside.get("path")) in _TEXT else None
        elif str(kind) in _BYTES:
            other = next((word for word in FILE_COLUMNS if word in schema.names and word != column), None)
            return column, other if other and str(schema.field(other).type) in _TEXT else None
    raise FuncamError(
        f"{name!r} has the columns {', '.join(map(quoted, schema.names[:8]))}; expected one of bytes, image or bytes, "
        "or Hugging Face's image with bytes and path"
    )


def _column(batch: Any, column: str) -> Any:
    """A column of a batch, or what is in one of structs."""
    outer, _, inner = column.partition(".")
    if column in batch.schema.names:
        return batch.column(column)
    from pyarrow import compute

    return compute.struct_field(batch.column(outer), inner)  # an empty struct holds nothing


def _label_names(schema: Any, label: str | None) -> list[str]:
    """What Hugging Face's classes are called, up to the first comma: `tench, Tinca tinca` is the tench."""
    with suppress(KeyError, TypeError, ValueError, AttributeError, RecursionError):
        told = json.loads((schema.metadata or {})[b"huggingface"])
        names = told["info"]["features"][label]["names"]
        if isinstance(names, list):
            return [str(name).partition(",")[0].strip() for name in names]
    return []
