"""Boxes from CSV files, with and without headers, whole and damaged."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funcam.errors import FuncamError
from funcam.truth.csv_boxes import read_csv
from funcam.truth.names import labeller
from funcam.truth.tally import Tally

CLASSES = ("cat", "dog", "red panda")


def read(path, text):
    path = path / "boxes.csv"
    path.write_text(text, encoding="utf-8")
    tally = Tally()
    return read_csv(path, labeller(CLASSES), tally), tally.lines()


HEADED = "file,class_index,x0,y0,x1,y1\n"


@pytest.mark.parametrize(
    "text",
    [
        HEADED + "a.jpg,1,0,1.5,20,30\n",
        "a.jpg,1,0,1.5,20,30\n",
        "\ufeff" + HEADED + "\r\na.jpg,1,0,1.5,20,30\r\n\r\n",
        "file;class_index;x0;y0;x1;y1\na.jpg;1;0;1.5;20;30",
        "File\tlabel\tXmin\tYmin\tXmax\tYmax\na.jpg\tdog\t0\t1.5\t20\t30",
        "x1,y1,x2,y2,class,filename,score\n0,1.5,20,30,Dog,a.jpg,0.9\n",
        '"a.jpg", 1 ,0,1.5,20,30',
    ],
)
def test_the_columns_are_found(tmp_path, text):
    found, problems = read(tmp_path, text)
    assert problems == []
    assert list(found) == ["a.jpg"]
    (object_,) = found["a.jpg"].objects
    assert (object_.labels, object_.box, object_.mask) == ((1,), (0.0, 1.5, 20.0, 30.0), None)


@pytest.mark.parametrize("header", ["file,coco_class,imagenet_indices,x0,y0,x1,y1\n", ""])
def test_several_classes_that_fit(tmp_path, header):
    found, problems = read(tmp_path, header + "a.jpg,pet,0 1,0,0,9,9\na.jpg,panda,2,1,1,5,5\n")
    assert problems == []
    assert [(each.labels, each.name) for each in found["a.jpg"].objects] == [((0, 1), "pet"), ((2,), "panda")]
    assert found["a.jpg"].labels == (0, 2)
    assert found["a.jpg"].multiple()
    assert found["a.jpg"].single(1)
    assert not found["a.jpg"].of(3)


numbers = st.floats(-1e5, 1e5, allow_nan=False)
rows = st.lists(
    st.tuples(st.sampled_from(["a.jpg", "b c.png", 'ü,"x".jpg']), st.integers(0, 2), *[numbers] * 4), min_size=1
)


@given(rows, st.booleans())
def test_what_is_written_is_read(tmp_path_factory, rows, header):
    stream = io.StringIO()
    csv.writer(stream).writerows(rows)
    found, problems = read(tmp_path_factory.mktemp("csv"), (HEADED if header else "") + stream.getvalue())
    assert problems == []
    got = sorted((name, each.label, *each.box) for name, truth in found.items() for each in truth.objects)
    assert got == sorted(rows)


def test_rows_with_faults_are_told_by_kind_and_the_rest_is_read(tmp_path):
    faults = ["a.jpg,1,0,0", "a.jpg,1,zero,0,9,9", ",1,0,0,9,9", "a.jpg,wolf,0,0,9,9", "b.jpg,wolf,0,0,9,9"]
    faults += ["a.jpg,3,0,0,9,9", "a.jpg,1,nan,0,9,9", "a.jpg,,0,0,9,9"]
    found, problems = read(tmp_path, HEADED + "\n".join([*faults, "c.jpg,2,0,0,9,9"]))
    assert list(found) == ["c.jpg"]
    assert len(problems) == 5
    assert "too few columns" in problems[0]
    assert "3 times, first: boxes.csv, row 3" in problems[1]
    assert "class 'wolf' is none of the network's" in problems[2]
    assert "2 times, first: boxes.csv, row 5" in problems[2]
    assert "out of range" in problems[3]
    assert "names no class" in problems[4]


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"file,class\na.jpg,1\n", "expected file,class_index"),
        (b"a.jpg,1,0,0,9\n", "with or without this header"),
        (b"\xff\xfe\x00", "not UTF-8"),
    ],
)
def test_files_that_are_no_boxes(tmp_path, data, part):
    (tmp_path / "x.csv").write_bytes(data)
    with pytest.raises(FuncamError, match=part) as caught:
        read_csv(tmp_path / "x.csv", labeller(CLASSES), Tally())
    assert "\n" not in str(caught.value)


def sized(path, *rows):
    found, problems = read(path, "\n".join(["filename,width,height,class,xmin,ymin,xmax,ymax", *rows]))
    assert problems == []
    return {name: truth.size for name, truth in found.items()}


def test_a_table_tells_which_size_its_pixels_are_of(tmp_path):
    rows = ["a.jpg,640,480,dog,10,20,600,400", "a.jpg,640,480,cat,0,0,9,9", "b.jpg,,480,dog,0,0,9,9"]
    assert sized(tmp_path, *rows) == {"a.jpg": (640, 480), "b.jpg": None}
    assert sized(tmp_path, "a.jpg,64,48,dog,0,0,64,48") == {"a.jpg": (64, 48)}


def test_the_sizes_of_boxes_are_not_those_of_images(tmp_path):
    rows = ["a.jpg,590,380,dog,10,20,600,400", "b.jpg,9,9,cat,0,0,9,9"]
    assert sized(tmp_path, *rows) == {"a.jpg": None, "b.jpg": None}
