"""Lists on standard input, in text and CSV files: every row has its item, whatever is written in it."""

from __future__ import annotations

import csv
import io
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from funcam.errors import FuncamError
from funcam.sources import Item, Place, Reader, item_line, item_of, list_items


def told(*sources: str, lines: bytes | None = None) -> list[tuple[str, str | None]]:
    items = list_items(sources, None if lines is None else io.BytesIO(lines))
    return [(item.path, item.label) for item in items]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_lines_end_and_begin_as_they_may(files, place, end, mark):
    files("p/x.jpg")
    text = f"{mark}x.jpg{end}{end}a b.jpg{end} lead.jpg".encode()
    (place / "p" / "list.txt").write_bytes(text)
    assert told("p/list.txt") == [("p/x.jpg", None), ("p/a b.jpg", None), ("p/ lead.jpg", None)]
    assert told("-", lines=text) == [("x.jpg", None), ("a b.jpg", None), (" lead.jpg", None)]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_null_characters_end_names_that_hold_line_feeds(place, mark):
    text = mark + b"new\nline.jpg\0\0b.jpg\r\0" + b"c" * 70_000 + b"\0d.jpg"
    items = list(list_items(["-"], io.BytesIO(text)))
    assert [item.place.file for item in items] == ["new\nline.jpg", "b.jpg\r", "", "d.jpg"]
    assert [item.path for item in items][2:] == ["line 4", "d.jpg"]


def test_a_line_of_any_length_is_one_item(place):
    long = b"x" * 70_000
    items = list(list_items(["-"], io.BytesIO(b"a.jpg\n" + long * 3 + b"\nb.jpg\n" + long)))
    assert [item.path for item in items] == ["a.jpg", "line 2", "b.jpg", "line 4"]
    assert [item.problem is None for item in items] == [True, False, True, False]


def test_what_a_line_names_is_no_list_of_its_own(files, place):
    files("x.jpg")
    (place / "inner.txt").write_text("x.jpg\n")
    (place / "outer.txt").write_text("inner.txt\n")
    assert told("outer.txt") == [("inner.txt", None)]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("header", ["path|class", "Image|LABEL", "n|file|x|class_index"])
def test_a_csv_file_gives_the_class(place, separator, header):
    names = header.lower().split("|")
    at, of = next(i for i, n in enumerate(names) if n in ("path", "image", "file")), len(names) - 1
    label = next(i for i, n in enumerate(names) if n in ("class", "label", "class_index"))
    rows = [header.split("|")]
    for path, class_ in (("a.jpg", "dog"), (f'b "q"{separator}.jpg', "3"), ("c.jpg", "")):
        row = ["."] * (of + 1)
        row[at], row[label] = path, class_
        rows.append(row)
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=separator).writerows(rows)
    (place / "list.csv").write_bytes(b"\xef\xbb\xbf" + stream.getvalue().encode())
    printed = f'b "q"{separator}.jpg'.replace("\t", "\\t")
    assert told("list.csv") == [("a.jpg", "dog"), (printed, "3"), ("c.jpg", None)]


@given(rows=st.lists(st.tuples(st.text(min_size=1, max_size=20), st.text(max_size=20)), min_size=1, max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_every_row_of_a_csv_file_is_an_item(tmp_path_factory, rows):
    rows = [(f"p{path}", label) for path, label in rows if "\0" not in path + label]
    rows = [(path, label) for path, label in rows if not set(path + label) & set("\r\ud800")] or [("p", "")]
    rows = [row for row in rows if _encodes("".join(row))] or [("p", "")]
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([("path", "class"), *rows])
    file = tmp_path_factory.mktemp("c") / "list.csv"
    file.write_bytes(stream.getvalue().encode())
    items = list(list_items([str(file)]))
    assert [item.place.file for item in items] == [
        "" if item.problem else path if "://" in path else os.path.join(file.parent, path)
        for (path, _), item in zip(rows, items, strict=True)
    ]
    assert [item.label for item in items] == [label.strip() or None for _, label in rows]
    assert all("\x1b" not in item.path and "\n" not in item.path for item in items)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a.jpg,dog\nb.jpg,cat\n", "begins with 'a.jpg,dog'; expected the header path,class"),
        (b"", "begins with ''"),
        (b"path,class\n\xff\xfe.jpg,dog\n", "line 2, is not UTF-8"),
        (b"path,class\n" + b"x" * 70_000, "line 2, has more than 65,536 bytes"),
        (b'path,class\n"a.jpg,dog\n' + b"b.jpg,cat\n" * 30_000, "field larger than field limit"),
        (b'path,class\n"a"b.jpg,dog\n', "can't be read as CSV"),
    ],
)
def test_a_csv_file_that_is_none(place, content, reason):
    (place / "list.csv").write_bytes(content)
    with pytest.raises(FuncamError) as error:
        list(list_items(["list.csv"]))
    assert reason in str(error.value)
    assert len(str(error.value)) < 400


def test_a_row_without_an_image_is_an_item_with_its_problem(place):
    (place / "list.csv").write_text("path,class\na.jpg,1\n,2\n\nb.jpg\n" + "c.jpg," + "x" * 1001 + "\n")
    items = list(list_items(["list.csv"]))
    assert [(item.path, item.label) for item in items] == [
        ("a.jpg", "1"),
        ("row 3 of list.csv", "2"),
        ("b.jpg", None),
        ("c.jpg", None),
    ]
    assert [bool(item.problem) for item in items] == [False, True, False, False]
    assert [bool(item.unlabelled) for item in items] == [False, False, False, True]


@pytest.mark.parametrize(
    "escaping",
    ["../../secret.jpg", "/etc/passwd", "a/../../b.jpg", "s3://other/x.jpg", "file:///etc/passwd", "..\\x.jpg"],
)
def test_a_list_in_a_bucket_names_what_lies_beside_it(memory, escaping):
    memory.pipe("/b/p/x.jpg", b"x")
    memory.pipe("/b/p/list.txt", f"x.jpg\n{escaping}\nmemory://b/p/x.jpg\n".encode())
    items = list(list_items(["memory://b/p/list.txt"]))
    assert [bool(item.problem) for item in items] == [False, True, False]
    with Reader() as reader:
        assert [reader.read(items[0]), reader.read(items[2])] == [b"x", b"x"]
        with pytest.raises(FuncamError):
            reader.read(items[1])


@pytest.mark.parametrize("odd", ["http://a.example/x.jpg", "file:///etc/passwd", "zip://x::http://a.example/y"])
def test_a_list_reaches_no_server_and_no_other_file_system(place, odd):
    (place / "list.txt").write_text(f"{odd}\n")
    (item,) = list_items(["list.txt"])
    assert "isn't read" in (item.problem or "")


@pytest.mark.parametrize("path", ["nul\0.jpg", ".", "gone.jpg"])
def test_what_a_list_names_wrongly_is_told_when_it_is_read(place, path):
    (place / "list.csv").write_text(f"path\n{path}\n")
    (item,) = list_items(["list.csv"])
    with Reader() as reader, pytest.raises(FuncamError, match="can't be read"):
        reader.read(item)


ITEMS = st.builds(
    Item,
    st.text(),
    st.builds(Place, st.text(), st.none() | st.integers(0), st.none() | st.integers(0)),
    st.none() | st.text(min_size=1),
    st.none() | st.text(min_size=1),
    st.none() | st.text(min_size=1),
)


@given(item=ITEMS)
def test_an_item_is_one_line_and_comes_back(item):
    line = item_line(item)
    assert line.count(b"\n") == 1
    assert item_of(line) == item


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"[1]", b"[[]]", b'["a", 1]', b'["a", null, "x"]', b"[" * 99_999, b'["a"']
)
def test_a_damaged_line_is_told(line):
    with pytest.raises(FuncamError, match="listing is damaged"):
        item_of(line)
