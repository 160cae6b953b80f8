"""The rows of a store: what is told of each image, as a table of fixed columns. Byte for byte the same each time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funcam.errors import FuncamError
from funcam.files import parsing
from funcam.store.encoding import Encoded, decoded, encoded
from funcam.store.figures import Figures

TEXT, WHOLE, REAL = "string", "int64", "float32"

COLUMNS: Mapping[str, str] = {
    "index": WHOLE,
    "path": TEXT,
    "label": TEXT,
    "content": TEXT,
    "width": "int32",
    "height": "int32",
    "predicted": "int32",
    "confidence": REAL,
    "class": "int32",
    "score": REAL,
    **dict.fromkeys(Figures._fields, REAL),
    "error": TEXT,
}
"""The columns that may be asked for, and what they hold."""

_MAP_COLUMNS = {"map_height": "int16", "map_width": "int16", "map_low": REAL, "map_scale": REAL, "map": "binary"}
_REPEATED = ["label", "predicted", "class", "error", "map_height", "map_width", "map_low"]
"""Columns that say the same again and again."""


@dataclass(frozen=True)
class Row:
    """What is told of an image, and of its map for one class.

    Attributes:
        index: its place in the listing.
        path: what it is called, fit to be printed; of a name that isn't, `Store.item` has the letters as they are.
        label: its class as the source tells it.
        content: the SHA-256 of its bytes.
        width: of the upright image, in pixels.
        height: of the upright image, in pixels.
        top: the classes that the network finds likeliest, each with its score.
        target: the class that is explained.
        score: the score of that class.
        figures: the map in numbers; None where it is positive nowhere.
        map: `[h, w]`.
        error: why there is nothing else.
    """

    index: int
    path: str
    label: str | None = None
    content: str | None = None
    width: int | None = None
    height: int | None = None
    top: tuple[tuple[int, float], ...] = ()
    target: int | None = None
    score: float | None = None
    figures: Figures | None = None
    map: NDArray[np.float32] | None = None
    error: str | None = None


def arrow() -> Any:
    """The package pyarrow, with its Parquet.

    Raises:
        FuncamError: it isn't installed.

    Example:
        >>> arrow().__name__
        'pyarrow'
    """
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError:
        raise FuncamError("a store needs pyarrow, which isn't installed; pip install 'funcam[batch]'") from None
    return pyarrow


def table_of(rows: Sequence[Row], map_type: str) -> Any:
    """Rows as a table of pyarrow's.

    Args:
        rows: at least one image each.
        map_type: how maps are kept: `float16`, `uint8`, or `none`.

    Raises:
        FuncamError: a map can't be kept.

    Example:
        >>> table_of([Row(0, "dog.jpg", error="it is empty")], "none").column("error").to_pylist()
        ['it is empty']
    """
    pa = arrow()
    told = [_cells(row, map_type) for row in rows]
    return pa.Table.from_pylist(told, schema=_schema(map_type))


def _schema(map_type: str) -> Any:
    pa = arrow()
    kinds = {**COLUMNS, **({} if map_type == "none" else _MAP_COLUMNS)}
    fields = [pa.field(name, pa.type_for_alias(kind)) for name, kind in kinds.items()]
    top = [pa.field("top_classes", pa.list_(pa.int32())), pa.field("top_scores", pa.list_(pa.float32()))]
    return pa.schema(fields[:8] + top + fields[8:])


def _cells(row: Row, map_type: str) -> dict[str, Any]:
    cells: dict[str, Any] = {
        **{name: getattr(row, name) for name in ("index", "path", "label", "content", "width", "height", "score")},
        **({} if row.figures is None else row.figures._asdict()),
        "class": row.target,
        "error": row.error,
        "top_classes": [class_ for class_, _ in row.top],
        "top_scores": [score for _, score in row.top],
    }
    if row.top:
        cells["predicted"], cells["confidence"] = row.top[0]
    if row.map is not None and map_type != "none":
        cells |= dict(zip(_MAP_COLUMNS, encoded(row.map, map_type), strict=True))
    return cells


def rows_of(table: Any, map_type: str) -> Iterator[Row]:
    """The rows of a table; one without maps has none.

    Args:
        table: as `table_of` made it, with all columns but those of the map.
        map_type: how maps are kept.

    Raises:
        FuncamError: a map is damaged.

    Example:
        >>> next(rows_of(table_of([Row(0, "dog.jpg", target=207)], "none"), "none")).target
        207
    """
    for cells in table.to_pylist():
        plain = {name: cells[name] for name in ("index", "path", "label", "content", "width", "height", "score")}
        kept = [cells.get(name) for name in _MAP_COLUMNS]
        yield Row(
            **plain,
            top=tuple(zip(cells["top_classes"] or (), cells["top_scores"] or (), strict=True)),
            target=cells["class"],
            figures=None if cells["peak"] is None else Figures(*(cells[name] for name in Figures._fields)),
            map=None if kept[-1] is None else decoded(Encoded(*kept), map_type),
            error=cells["error"],
        )


def repeated(table: Any) -> Any:
    """A table whose rows of one content, and one class told, all say what the first of them says.

    Args:
        table: as `table_of` made it.

    Example:
        >>> table = table_of([Row(0, "a.jpg", content="c", error="damaged"), Row(1, "b.jpg", content="c")], "none")
        >>> repeated(table).column("error").to_pylist()
        ['damaged', 'damaged']
    """
    pa = arrow()
    first: dict[tuple[str, str | None], int] = {}
    told = table.select(["content", "label"]).to_pylist()
    at = [
        index if cells["content"] is None else first.setdefault((cells["content"], cells["label"]), index)
        for index, cells in enumerate(told)
    ]
    if at == list(range(len(at))):
        return table.combine_chunks()
    said = table.take(pa.array(at, pa.int64()))
    for name in ("index", "path"):
        said = said.set_column(said.schema.get_field_index(name), table.schema.field(name), table.column(name))
    return said.combine_chunks()


def table_bytes(table: Any, told: Mapping[str, str]) -> bytes:
    """A table as the bytes of a Parquet file: the same for the same rows.

    Args:
        table: the table.
        told: what stands in the file beside it.

    Example:
        >>> table_bytes(table_of([Row(0, "dog.jpg")], "none"), {"question": "a1"})[:4]
        b'PAR1'
    """
    pa = arrow()
    sink = pa.BufferOutputStream()
    pa.parquet.write_table(
        table.replace_schema_metadata(dict(told)),
        sink,
        row_group_size=max(len(table), 1),
        version="2.6",
        compression="zstd",
        compression_level=3,
        use_dictionary=[name for name in _REPEATED if name in table.schema.names],
    )
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def read_table(data: bytes, name: str, columns: Sequence[str] | None = None) -> Any:
    """A table from the bytes of a Parquet file.

    Args:
        data: the bytes.
        name: what messages call it.
        columns: which columns; all where none are given.

    Raises:
        FuncamError: it is damaged.

    Example:
        >>> read_table(table_bytes(table_of([Row(0, "dog.jpg")], "none"), {}), "a shard").num_rows
        1
    """
    pa = arrow()
    with parsing(f"{name} can't be read", "remove it, and the same command makes it again"):
        file = pa.parquet.ParquetFile(pa.BufferReader(data))
        return file.read(None if columns is None else list(columns), use_threads=False)
