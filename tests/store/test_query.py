"""`--query` is read, never run, and finds the rows that Python finds."""

from __future__ import annotations

import operator

import pytest
from batches import write_store
from hypothesis import given
from hypothesis import strategies as st

from funcam.errors import FuncamError
from funcam.store import open_store, parse_query
from funcam.store.query import Condition
from funcam.store.rows import COLUMNS

SIGNS = ("=", "!=", "<", "<=", ">", ">=")
FUNCTIONS = (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge)
COMPARED = dict(zip(SIGNS, FUNCTIONS, strict=True))
VALUES = [("index", 11), ("confidence", 0.25), ("peak", 2.0), ("path", "photos/011.jpg")]


@pytest.fixture
def store(photos):
    write_store(photos, "store")
    return open_store("store")


@pytest.mark.parametrize("sign", COMPARED)
@pytest.mark.parametrize(("column", "value"), VALUES)
def test_comparisons_find_what_python_finds(store, sign, column, value):
    def told(row):
        return {"index": row.index, "path": row.path, "confidence": row.top[0][1] if row.top else None}.get(
            column, row.figures.peak if row.figures else None
        )

    expected = [row.index for row in store.rows() if told(row) is not None and COMPARED[sign](told(row), value)]
    assert [row.index for row in store.rows([f"{column} {sign} {value}"])] == expected
    assert [row.index for row in store.rows([f"{column}{sign}'{value}'"], maps=False)] == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (["error != null"], [7]),
        (["error=NULL and index < 3"], [0, 1, 2]),
        (["path ~ 02", "index>=21"], [21, 22, 23, 24]),
        (["path ~ 'tos/00' AND index == 4"], [4]),
        (["error ~ 'is empty'"], [7]),
        (["content = e3b0"], []),
        (["label = null and predicted = 3 and class >= 3 and index = 1"], [1]),
        ([], list(range(25))),
    ],
)
def test_conditions_all_hold(store, query, expected):
    assert [row.index for row in store.rows(query)] == expected


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("", "can't be read"),
        ("index", "can't be read"),
        ("index = ", "can't be read"),
        ("index = 1 and", "can't be read"),
        ("index = 1 and ", "ends with 'and'"),
        ("index = 1 or index = 2", "can't be read"),
        ("index = 1 index = 2", "can't be read"),
        ("score < high", "expected a number"),
        ("score < nan", "expected a number"),
        ("index = 1.5", "expected a whole number"),
        ("index = ²", "expected a whole number"),
        ("class = 99999999999999999999", "expected a whole number"),
        ("scores < 1", "there is no column 'scores'; nearest: 'score'"),
        ("map != null", "there is no column 'map'"),
        ("index ~ 3", "holds numbers"),
        ("error < null", "null is there"),
        ("__import__('os').system('true')", "can't be read"),
        ("path = 'a", "can't be read"),
        ("path = a;drop", None),
        ("x" * 20_000, "can't be read"),
        ("path = " + "'" * 9_000, "can't be read"),
    ],
)
def test_what_is_no_query_is_told_at_once(store, query, told):
    if told is None:
        assert list(store.rows([query])) == []
        return
    with pytest.raises(FuncamError) as error:
        store.rows([query])
    assert told in str(error.value)


TEXTS = st.text(min_size=1).filter(lambda text: '"' not in text)


@given(column=st.sampled_from([name for name, kind in COLUMNS.items() if kind == "string"]), text=TEXTS)
def test_any_text_can_be_asked_for(column, text):
    assert parse_query([f'{column} ~ "{text}" and index = 1'])[0] == Condition(column, "~", text)


@given(text=st.text(max_size=60))
def test_no_text_does_anything_else(text):
    try:
        conditions = parse_query([text])
    except FuncamError:
        return
    assert all(condition.column in COLUMNS for condition in conditions)


def test_rows_come_a_shard_at_a_time(store, monkeypatch):
    from funcam.store import reading

    read = []
    read_bytes = reading.read_bytes
    monkeypatch.setattr(reading, "read_bytes", lambda path, **most: read.append(path.name) or read_bytes(path, **most))
    rows = store.rows()
    assert read == []
    next(rows)
    assert read == ["maps-00000.parquet"]
    assert len(list(rows)) == 24
    assert read == [f"maps-0000{number}.parquet" for number in range(3)]
