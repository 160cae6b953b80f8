"""COCO's JSON: boxes, polygons, run lengths, crowds; damaged files."""

from __future__ import annotations

import json

import numpy as np
import pytest

from funcam.errors import FuncamError
from funcam.truth.coco import read_coco
from funcam.truth.names import labeller
from funcam.truth.tally import Tally

CLASSES = ("cat", "dog")


def content(*annotations, images=None):
    image = {"id": 7, "file_name": "a.jpg", "width": 8, "height": 6}
    categories = [{"id": 3, "name": "dog"}, {"id": 9, "name": "cat"}, {"id": 4, "name": "wolf"}]
    marked = [{"id": index, "image_id": 7, "category_id": 3, **each} for index, each in enumerate(annotations)]
    return {"images": images or [image], "annotations": marked, "categories": categories}


def read(folder, data):
    (folder / "x.json").write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    tally = Tally()
    return read_coco(folder / "x.json", labeller(CLASSES), tally), tally.lines()


def test_boxes_are_corner_and_size(tmp_path):
    found, problems = read(tmp_path, content({"bbox": [1, 2, 3.5, 4]}, {"bbox": [0, 0, 2, 2], "category_id": 9}))
    assert problems == []
    assert [(each.box, each.label, each.crowd) for each in found["a.jpg"].objects] == [
        ((1, 2, 4.5, 6), 1, False),
        ((0, 0, 2, 2), 0, False),
    ]
    assert found["a.jpg"].size == (8, 6)


def test_polygons_and_run_lengths_are_rendered(tmp_path):
    square = [2, 1, 6, 1, 6, 4, 2, 4]
    expected = np.zeros((6, 8), bool)
    expected[1:4, 2:6] = True
    counts = [13, 3, 3, 3, 3, 3, 3, 3, 14]
    packed = "=3300000;"  # by pycocotools 2.0.11
    marks = [[square], {"counts": counts, "size": [6, 8]}, {"counts": packed, "size": [6, 8]}]
    found, problems = read(tmp_path, content(*[{"bbox": [2, 1, 4, 3], "segmentation": mark} for mark in marks]))
    assert problems == []
    assert len(found["a.jpg"].objects) == len(marks)
    for object_ in found["a.jpg"].objects:
        np.testing.assert_array_equal(object_.mask(6, 8), expected)
        assert object_.mask(3, 4).shape == (3, 4)


def test_a_box_is_drawn_around_what_has_none(tmp_path):
    runs = {"counts": [13, 3, 3, 3, 26], "size": [6, 8]}
    found, _ = read(
        tmp_path, content({"segmentation": [[2, 1, 6, 1, 6, 4], [0, 2, 1, 2, 1, 5]]}, {"segmentation": runs})
    )
    assert [each.box for each in found["a.jpg"].objects] == [(0, 1, 6, 5), (2, 1, 4, 4)]


def test_a_crowd_is_several_objects(tmp_path):
    found, _ = read(tmp_path, content({"bbox": [0, 0, 5, 5], "iscrowd": 1}))
    assert found["a.jpg"].objects[0].crowd
    assert found["a.jpg"].multiple()
    assert not found["a.jpg"].single()


def test_faults_are_told_and_the_rest_is_read(tmp_path):
    whole = {"bbox": [0, 0, 5, 5]}
    wrong = [
        {**whole, "category_id": 4},
        {**whole, "category_id": 5},
        {**whole, "image_id": 8},
        {**whole, "image_id": [7]},
        {"bbox": [1, 2, 3]},
        {"bbox": [1, 2, "x", 3]},
        {**whole, "segmentation": {"counts": [1, 2], "size": [6, 8]}},
        {**whole, "segmentation": {"counts": "0P", "size": [6, 8]}},
        {**whole, "segmentation": {"counts": [-1, 49], "size": [6, 8]}},
        {**whole, "segmentation": {"size": [6, 8]}},
        {**whole, "segmentation": [[1, 2, 3]]},
        {**whole, "segmentation": "x"},
    ]
    found, problems = read(tmp_path, content(*wrong, whole))
    assert len(found["a.jpg"].objects) == 7  # six whose mask alone is wrong, and the whole one
    assert all(each.mask is None for each in found["a.jpg"].objects)
    told = "\n".join(problems)
    for part in ("'wolf'", "category 5 has no name", "belongs to no image", "no 'bbox'", "don't add up"):
        assert part in told
    for part in ("encode them again", "no 'counts'", "three points"):
        assert part in told


def test_polygons_without_a_size_are_told(tmp_path):
    data = content(
        {"bbox": [0, 0, 5, 5], "segmentation": [[0, 0, 5, 0, 5, 5]]}, images=[{"id": 7, "file_name": "a.jpg"}]
    )
    found, problems = read(tmp_path, data)
    assert found["a.jpg"].size is None
    assert "no width and height" in problems[0]


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"{", "is not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"images": ' + b"9" * 5000 + b"}", "is not JSON"),
        (b"\xff\xff", "is not JSON"),
        (b"[]", "is not COCO's"),
        (b'{"images": [], "annotations": {}, "categories": []}', "'annotations' and 'categories'"),
    ],
)
def test_files_that_are_not_coco(tmp_path, data, part):
    with pytest.raises(FuncamError, match=part) as caught:
        read(tmp_path, data)
    assert "\n" not in str(caught.value)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    with open(tmp_path / "x.json", "wb") as stream:
        stream.truncate(2**30 + 1)
    with pytest.raises(FuncamError, match="larger than 64 MiB"):
        read_coco(tmp_path / "x.json", labeller(CLASSES), Tally())
