"""Images in Parquet files: the layouts that there are, and files that lie."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from funcam.errors import FuncamError
from funcam.sources import Reader, list_items

IMAGES = [b"image %d" % number for number in range(50)]


def write(table: dict[str, object] | pa.Table, path: str = "a.parquet", rows: int = 20) -> str:
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), path, row_group_size=rows)
    return path


def read(source: str) -> list[bytes | str]:
    data: list[bytes | str] = []
    with Reader() as reader:
        for item in list_items([source]):
            try:
                data.append(reader.read(item))
            except FuncamError as error:
                data.append(str(error))
    return data


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
@pytest.mark.parametrize("name", ["image", "bytes"])
def test_a_column_of_bytes(place, name, kind):
    write({"class": [f"c{number}" for number in range(50)], name: pa.array(IMAGES, kind)})
    assert read("a.parquet") == IMAGES
    items = list(list_items(["a.parquet"]))
    assert [item.label for item in items] == [f"c{number}" for number in range(50)]
    assert items[7].path == "a.parquet/7"


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_files_are_called_by_any_kind_of_text(place, kind):
    write({"image": IMAGES[:1], "file_name": pa.array(["cat.jpg"], kind)})
    assert [item.path for item in list_items(["a.parquet"])] == ["a.parquet/0 (cat.jpg)"]
    write(
        {"image": pa.array([{"bytes": b"x", "path": "cat.jpg"}], pa.struct([("bytes", pa.binary()), ("path", kind)]))}
    )
    assert [item.path for item in list_items(["a.parquet"])] == ["a.parquet/0 (cat.jpg)"]


def test_hugging_faces_struct_with_names_of_its_classes(place):
    images = [{"bytes": data, "path": f"{number}.jpg"} for number, data in enumerate(IMAGES)]
    told = {"info": {"features": {"label": {"names": ["cat", "dog, hound"], "_type": "ClassLabel"}}}}
    table = pa.table({"image": images, "label": [0, 1] * 25}).replace_schema_metadata({"huggingface": json.dumps(told)})
    write(table)
    items = list(list_items(["a.parquet"]))
    assert [(item.path, item.label) for item in items[:2]] == [
        ("a.parquet/0 (0.jpg)", "cat"),
        ("a.parquet/1 (1.jpg)", "dog"),
    ]
    assert read("a.parquet") == IMAGES


@pytest.mark.parametrize("told", [b"{", b"[]", b"[" * 9999, b'{"info": {"features": 3}}', b"\xff"])
def test_what_hugging_face_tells_may_be_damaged(place, told):
    write(pa.table({"image": IMAGES[:1], "label": [7]}).replace_schema_metadata({b"huggingface": told}))
    assert next(list_items(["a.parquet"])).label == "7"


def test_any_row_can_be_read_in_any_order(place):
    write({"image": IMAGES})
    items = list(list_items(["a.parquet"]))
    with Reader() as reader:
        for number in (49, 3, 4, 5, 0, 21, 20, 19, 40):
            assert reader.read(items[number]) == IMAGES[number]


def test_empty_cells_are_errors_in_their_rows(place):
    write({"image": [b"x", None, b"", b"y"], "label": [1, None, 2, 3]})
    data = read("a.parquet")
    assert (data[0], data[3]) == (b"x", b"y")
    assert all("is empty (0 bytes)" in str(told) for told in data[1:3])
    assert [item.label for item in list_items(["a.parquet"])] == ["1", None, "2", "3"]


def test_a_bucket_and_several_files(place, memory):
    for number in range(2):
        memory.pipe(f"/b/{number}.parquet", Path(write({"image": IMAGES[number::2]})).read_bytes())
    assert read("memory://b/*.parquet") == IMAGES[0::2] + IMAGES[1::2]


def test_one_value_of_many_rows_is_unpacked_once_a_row(place):
    """A quarter of a megabyte in a dictionary is that of 2,000 rows: half a gigabyte, if all were unpacked together."""
    image = b"x" * 2**18
    table = pa.table({"image": pa.DictionaryArray.from_arrays(pa.array([0] * 2000, pa.int32()), pa.array([image]))})
    pq.write_table(table, "a.parquet", store_schema=False)
    assert pq.read_schema("a.parquet").field("image").type == pa.binary()
    assert Path("a.parquet").stat().st_size < 2**20
    pool = pa.default_memory_pool()
    before = pool.bytes_allocated()
    with Reader() as reader:
        for item in list(list_items(["a.parquet"]))[:20]:
            assert reader.read(item) == image
            assert pool.bytes_allocated() - before < 2**23


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({"pixels": [b"x"]}, "has the columns 'pixels'; expected one of bytes"),
        ({"image": ["a text"]}, "expected one of bytes"),
        ({"image": [{"path": "x.jpg"}]}, "expected one of bytes"),
        ({"image": [[b"x"]]}, "expected one of bytes"),
    ],
)
def test_other_columns_are_told(place, table, reason):
    write(table)
    (item,) = list_items(["a.parquet"])
    assert reason in (item.problem or "")


def test_odd_classes_are_no_problem_of_the_image(place):
    write({"image": IMAGES[:2], "label": [1.5, 2.5]})
    items = list(list_items(["a.parquet"]))
    assert all("expected an index or a name" in (item.unlabelled or "") for item in items)
    assert read("a.parquet") == IMAGES[:2]


def test_indices_among_which_some_are_missing_are_floats_to_pandas(place):
    write({"image": IMAGES[:4], "label": [3.0, float("nan"), None, -0.0]})
    assert [item.label for item in list_items(["a.parquet"])] == ["3", None, None, "0"]
    assert not any(item.unlabelled for item in list_items(["a.parquet"]))


def test_a_damaged_file_is_an_item_or_errors_in_its_rows(place):
    write({"image": [data * 200 for data in IMAGES], "label": list(range(50))})
    file = Path("a.parquet")
    whole = file.read_bytes()
    for number in range(0, len(whole), max(len(whole) // 60, 1)):
        middle = bytes(byte ^ 0xFF for byte in whole[number : number + 9])
        file.write_bytes(whole[:number] + middle + whole[number + 9 :])
        data = read("a.parquet")
        assert data
        file.write_bytes(whole[:number])
        (told,) = read("a.parquet")
        assert isinstance(told, str)


def test_without_pyarrow_other_sources_are_read(place, files, monkeypatch):
    import sys

    files("x.jpg", "a.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert read("x.jpg") == [b"x.jpg"]
    with pytest.raises(FuncamError, match=r"pip install 'funcam\[batch\]'"):
        list(list_items(["a.parquet"]))
