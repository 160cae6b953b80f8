"""A store answers one question: another one, another version and what is no store are refused in words."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from batches import QUESTION, content_of, write_store

from funcam.errors import FuncamError
from funcam.store import Shard, Writer, open_store


def test_the_parts_that_differ_are_told(photos):
    write_store(photos, "store")
    before = content_of("store")
    other = {**QUESTION, "net": {"name": "drawn", "weights": "b2"}, "layer": "first", "new": True}
    with pytest.raises(FuncamError) as error:
        Writer("store", other)
    told = str(error.value)
    assert all(part in told for part in ("net.weights is 'b2', there 'a1'", "layer is 'first', there 'last'", "new is"))
    assert "classes" not in told
    assert content_of("store") == before


def test_a_question_may_be_written_in_other_types(photos):
    write_store(photos, "store")
    with Writer("store", {**QUESTION, "classes": (3,)}) as writer:
        assert writer.missing() == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"map_type": "float8"}, "map_type is 'float8'; nearest: 'float16'"),
        ({"map_type": None}, "map_type is None"),
        ({"shard_size": 0}, "shard_size is 0; expected a whole number of at least 1"),
        ({"batch_size": 11}, "batch_size is 11 and shard_size 10"),
        ({"shard_size": 10**6}, "shard_size 1000000; expected at most 65,536"),
        ({"net": object()}, "can't be written as JSON"),
        ({"net": float("nan")}, "can't be written as JSON"),
    ],
)
def test_a_question_that_is_none(photos, change, told):
    with pytest.raises(FuncamError) as error:
        Writer("store", {**QUESTION, **change})
    assert told in str(error.value)
    Writer("other", QUESTION).close()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is not JSON"),
        (b"[" * 99_999, "is not JSON"),
        (b"[]", "is damaged"),
        (b'{"format": 1}', "is damaged"),
        (b'{"format": 2, "question": {}}', "is a store of format 2, this funcam writes 1"),
        (b'{"question": {}}', "is a store of format None"),
        (b'{"format": 1, "question": {"map_type": "float16"}}', "shard_size is None"),
    ],
)
def test_a_store_of_another_version_or_a_damaged_one(photos, content, told):
    write_store(photos, "store")
    Path("store/question.json").write_bytes(content)
    for use in (open_store, lambda path: Writer(path, QUESTION), lambda path: Shard(path, 0)):
        with pytest.raises(FuncamError) as error:
            use("store")
        assert told in str(error.value)


def test_a_shard_of_another_store_is_not_mixed_in(photos):
    write_store(photos, "a")
    write_store(photos, "b", {**QUESTION, "layer": "first"})
    os.replace("b/maps-00001.parquet", "a/maps-00001.parquet")
    with pytest.raises(FuncamError, match="answers another question than the store"):
        write_store(photos, "a")


def test_a_folder_with_other_files_is_no_place_for_a_store(photos):
    before = os.listdir(photos)
    with pytest.raises(FuncamError, match="'photos' holds other files"):
        Writer(photos, QUESTION)
    assert os.listdir(photos) == before
    with pytest.raises(FuncamError, match="is a file, not a folder"):
        Writer("photos/001.jpg", QUESTION)
    with pytest.raises(FuncamError, match="is no store"):
        open_store(photos)


@pytest.mark.parametrize("name", ["listing", "parts", "lock"])
def test_a_link_planted_in_the_store_is_not_followed(photos, name):
    os.makedirs("store")
    os.makedirs("elsewhere")
    Path("elsewhere/file").write_bytes(b"mine")
    os.symlink("../elsewhere/file" if name == "lock" else "../elsewhere", f"store/{name}")
    with pytest.raises(FuncamError, match="can't write"):
        Writer("store", QUESTION)
    assert os.listdir("elsewhere") == ["file"]


def test_a_damaged_listing_is_told(photos):
    write_store(photos, "store")
    for damage in (b"", b'["a"]\n', Path("store/listing/00001.jsonl").read_bytes()[:-30]):
        Path("store/listing/00001.jsonl").write_bytes(damage)
        with pytest.raises(FuncamError, match="is damaged"):
            Shard("store", 1)
    for damage in (b"{}", b"[]", b'{"images": 0}', b'{"images": "x"}'):
        Path("store/listing/whole.json").write_bytes(damage)
        with pytest.raises(FuncamError, match="is damaged"):
            open_store("store")


def test_the_log_is_lines_and_no_part_of_the_store(photos):
    write_store(photos, "store")
    before = content_of("store")
    with Writer("store", QUESTION) as writer:
        writer.log({"shard": 1, "host": "a\x1b[31m\n"})
        writer.log({"shard": 2})
    lines = Path("store/log.jsonl").read_text().splitlines()
    assert [json.loads(line)["shard"] for line in lines] == [1, 2]
    assert all(line.isprintable() for line in lines)
    assert content_of("store") == before


def test_without_pyarrow_it_is_told_what_to_install(photos, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(FuncamError, match=r"pip install 'funcam\[batch\]'"):
        Writer("store", QUESTION)
    assert not os.path.exists("store")
