"""Truth of more than a comparison has any use for: refused in a line, before it takes the memory or the minutes."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from funcam.errors import FuncamError
from funcam.truth import Truth, match, read_names, read_truth
from funcam.truth.masks import Polygons, run_lengths
from funcam.truth.voc import safe_xml

CLASSES = ("cat", "dog")
GOOD = {"id": 0, "image_id": 1, "category_id": 1, "bbox": [0, 0, 2, 2]}
HEADER = "file,class_index,x0,y0,x1,y1\n"


def coco(folder: Path, *annotations: Any) -> Path:
    images = [{"id": 1, "file_name": "a.jpg", "width": 8, "height": 6}]
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "dog"}]}
    (folder / "truth.json").write_text(json.dumps(document))
    return folder / "truth.json"


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("x.csv", HEADER + "a.jpg,1,0,0,5,5\n" * 131_073, "more than 131,072 rows"),
        ("x.csv", HEADER + "a.jpg," + "1 " * 2_100_000, "more than 2,097,152 cells"),
        ("x.txt", "a.jpg 1\n" * 131_073, "more than 131,072 lines"),
        (
            "x.csv",
            "ImageId,PredictionString\n" + ("a," + "n 0 0 1 1 " * 13_000 + "\n") * 11,
            "more than 131,072 objects",
        ),
        ("x.json", '{"images": [' + "[]," * 2_100_000, "more than 4,194,304 values"),
        ("x.json", '{"images": [], "categories": [], "annotations": [' + "{}," * 131_072 + "{}]}", "more than 131,072"),
    ],
)
def test_more_than_is_read_of_one_file(name: str, text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(FuncamError, match=told) as caught:
        read_truth(tmp_path / name, CLASSES)
    assert "keep the images that are compared" in str(caught.value)


def test_names_of_more_rows_than_are_read(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("name,class_index\n" + "a,1\n" * 131_073)
    with pytest.raises(FuncamError, match="more than 131,072 rows"):
        read_names(tmp_path / "x.csv", CLASSES)


def test_elements_of_a_page() -> None:
    assert len(safe_xml(b"<annotation>" + b"<a/>" * 65_535 + b"</annotation>", "x.xml")) == 65_535
    with pytest.raises(FuncamError, match="more than 65,536 elements"):
        safe_xml(b"<annotation>" + b"<a/>" * 65_536 + b"</annotation>", "x.xml")


@pytest.mark.parametrize(
    ("segmentation", "told"),
    [
        ([[0, 0, 4, 0, 4, 4, 0, 4]] * 8193, "more than 32,768 points"),
        ([[0, 0] * 32_769], "more than 32,768 points"),
        ({"counts": [0] * (2**20) + [48], "size": [6, 8]}, "more than 1,048,576"),
        ({"counts": "0" * 2**20 + "`1", "size": [6, 8]}, "more than 1,048,576"),
        ({"counts": "o" * 8 + "1", "size": [6, 8]}, "larger than any picture"),
    ],
)
def test_marks_of_more_parts_than_are_rendered(segmentation: Any, told: str, tmp_path: Path) -> None:
    found = read_truth(coco(tmp_path, GOOD, {**GOOD, "id": 2, "segmentation": segmentation}), CLASSES)
    assert [each.mask for each in found.by_file["a.jpg"].objects] == [None, None]
    assert told in found.problems[0]
    assert "the box counts alone" in found.problems[0]


def test_thousands_of_rings_are_the_union_of_each(tmp_path: Path) -> None:
    corners = np.random.default_rng(0).integers(-2, 12, (2000, 2)).tolist()
    rings = tuple((float(x), float(y), x + 2.0, float(y), x + 2.0, y + 1.0, float(x), y + 1.0) for x, y in corners[:30])
    expected = np.zeros((9, 10), bool)
    for x, y in corners[:30]:
        expected[max(y, 0) : max(y + 1, 0), max(x, 0) : max(x + 2, 0)] = True
    np.testing.assert_array_equal(Polygons(rings * 270, (10, 9))(9, 10), expected)


def test_a_ring_that_crosses_itself_is_hollow_where_it_goes_round_twice_and_rings_are_not() -> None:
    once = (0.0, 0.0, 4.0, 0.0, 4.0, 4.0, 0.0, 4.0)
    assert not Polygons((once + once,), (4, 4))(4, 4).any()
    assert Polygons((once, once), (4, 4))(4, 4).all()


def test_run_lengths_against_digits_by_hand() -> None:
    """5, then 33 in two characters, then -1 and 2 beside the numbers two before."""
    assert run_lengths("5Q1O2").tolist() == [5, 33, -1, 35]
    assert run_lengths("").tolist() == []


@pytest.mark.parametrize("place", ["class", "file"])
def test_letters_with_thousands_of_marks(place: str, tmp_path: Path) -> None:
    """To normalise half a million of them would take minutes."""
    long = "a" + "\u0300\u0316" * 250_000
    if place == "file":
        with pytest.raises(FuncamError, match="no image has truth"):
            match({long: Truth(long, ())}, [Path("a.jpg")])
        return
    document = {"images": [{"id": 1, "file_name": "a"}], "annotations": [GOOD], "categories": [{"id": 1, "name": long}]}
    (tmp_path / "x.json").write_text(json.dumps(document))
    with pytest.raises(FuncamError, match="is none of the network's"):
        read_truth(tmp_path / "x.json", CLASSES)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes have no names here")
@pytest.mark.parametrize("suffix", ["csv", "json", "xml", "png"])
@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_pipes_and_broken_links_among_files_of_truth_are_told(suffix: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"bad.{suffix}"
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("nowhere")
    if suffix == "png":
        (tmp_path / "dog.png").write_bytes(_mask())
    else:
        (tmp_path / "good.csv").write_text(HEADER + "a.jpg,1,0,0,5,5\n")
    found = read_truth(tmp_path, CLASSES)
    assert len(found.by_file) == 1
    assert any(path.name in line and "left out" in line for line in found.problems)


def test_a_broken_link_of_wordnet_s_names_is_told(tmp_path: Path) -> None:
    (tmp_path / "LOC_synset_mapping.txt").symlink_to("nowhere")
    (tmp_path / "LOC_val_solution.csv").write_text("ImageId,PredictionString\na,n01440764 0 0 1 1\n")
    with pytest.raises(FuncamError, match="LOC_synset_mapping"):
        read_truth(tmp_path / "LOC_val_solution.csv", CLASSES)


def _mask() -> bytes:
    stream = io.BytesIO()
    Image.new("L", (4, 3), 255).save(stream, "PNG")
    return stream.getvalue()
