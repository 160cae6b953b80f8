"""Folders of masks, and finding the format of whatever is given."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from funcam.errors import FuncamError
from funcam.truth import read_truth
from funcam.truth.mask_folder import read_masks
from funcam.truth.names import labeller
from funcam.truth.tally import Tally

CLASSES = (*(f"class {index}" for index in range(400)), "red panda", "dog")
XML = (
    "<annotation><filename>{}</filename><object><name>dog</name><bndbox><xmin>1</xmin><ymin>1</ymin>"
    "<xmax>5</xmax><ymax>5</ymax></bndbox></object></annotation>"
)
JSON = (
    '{"images": [{"id": 1, "file_name": "c.jpg"}], "annotations": [{"image_id": 1, "category_id": 1, '
    '"bbox": [0, 0, 5, 5]}], "categories": [{"id": 1, "name": "dog"}]}'
)


def mask(path, *, left=2, width=8):
    pixels = np.zeros((6, width), np.uint8)
    pixels[1:4, left : left + 3] = 255
    Image.fromarray(pixels).save(path)
    return path


def test_masks_are_boxes_now_and_pixels_later(tmp_path):
    names = ("a_dog.png", "a_red_panda.tif", "b.gif", "c_207.png", "val_00000355.png")
    tally = Tally()
    found = read_masks([mask(tmp_path / name) for name in names], labeller(CLASSES), tally)
    assert tally.lines() == []
    assert {stem: truth.labels for stem, truth in found.items()} == {
        "a": (401, 400),
        "b": (),
        "c": (207,),
        "val_00000355": (),
    }
    (object_,) = found["b"].objects
    assert object_.box == (2, 1, 5, 4)
    assert found["b"].of(7) == (object_,)  # no class: it fits each
    assert found["b"].size == (8, 6)
    assert object_.mask(6, 8).sum() == 9


def test_the_images_decide_where_a_name_reads_two_ways(tmp_path):
    paths = [mask(tmp_path / name) for name in ("a_1.png", "a_1_dog.png", "b_2.png", "x_0_3.png")]
    images = [Path("a_1.jpg"), Path("b.jpg"), Path("x_0.jpg")]
    found = read_masks(paths, labeller(CLASSES), Tally(), images)
    assert {stem: [each.label for each in truth.objects] for stem, truth in found.items()} == {
        "a_1": [None, 401],
        "b": [2],
        "x_0": [3],
    }


def test_masks_with_faults_are_told(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "empty.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    mask(tmp_path / "a_dog.png")
    mask(tmp_path / "a_red_panda.png", width=9)
    found, problems = read_truth(tmp_path, CLASSES)
    assert list(found) == ["a"]
    told = "\n".join(problems)
    for part in ("0 everywhere", "can't be read", "differ in size"):
        assert part in told
    assert len(problems) == 3


def test_each_format_is_found(tmp_path):
    (tmp_path / "a.csv").write_text("a.jpg,7,0,0,5,5\n")
    (tmp_path / "b.XML").write_text(XML.format("b.jpg"))
    (tmp_path / "c.json").write_text(JSON)
    (tmp_path / "d.txt").write_text("d.jpg 9\n")
    (tmp_path / "sol.csv").write_text("ImageId,PredictionString\ne,dog 0 0 5 5\n")
    labels = {}
    for name in ("a.csv", "b.XML", "c.json", "d.txt", "sol.csv"):
        found, problems = read_truth(str(tmp_path / name), CLASSES)
        assert problems == []
        labels |= {image: truth.labels for image, truth in found.items()}
    assert labels == {"a.jpg": (7,), "b.jpg": (401,), "c.jpg": (401,), "d.jpg": (9,), "e": (401,)}


def test_mixed_formats_are_told_and_all_read(tmp_path):
    (tmp_path / "a.csv").write_text("a.jpg,7,0,0,5,5\nb.jpg,8,0,0,5,5\n")
    (tmp_path / "b.xml").write_text(XML.format("b.jpg"))
    (tmp_path / "c.json").write_text(JSON)
    (tmp_path / "labels.json").write_text('["dog"]')
    mask(tmp_path / "photo.png")  # a picture beside truth is no mask
    found, problems = read_truth(tmp_path, CLASSES)
    assert {name: truth.labels for name, truth in found.items()} == {"a.jpg": (7,), "b.jpg": (8,), "c.jpg": (401,)}
    assert "several formats: CSV (1), XML (1), JSON (1), JSON (1)" in problems[0]
    assert "an image is in several files; XML is not asked" in problems[1]
    assert "labels.json' is not COCO's" in problems[2]
    assert len(problems) == 3


def test_folders_in_a_folder_are_looked_through(tmp_path):
    (tmp_path / "n01" / "x").mkdir(parents=True)
    (tmp_path / "n01" / "x" / "1.xml").write_text(XML.format("1.jpg"))
    (tmp_path / ".hidden.csv").write_text("x")
    (tmp_path / "LOC_synset_mapping.txt").write_text("n01440764 tench")
    assert list(read_truth(tmp_path, CLASSES).by_file) == ["1.jpg"]


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("none.csv", None, "does not exist"),
        ("a.doc", "x", "no truth that funcam can read"),
        ("a.csv", "file,class_index,x0,y0,x1,y1\n", "holds no object"),
        ("a.csv", "a.jpg,wolf,0,0,1,1\n", "'wolf' is none of the network's"),
        ("a.xml", "<!DOCTYPE x><annotation/>", "DOCTYPE"),
    ],
)
def test_nothing_left_is_an_error_of_one_line(tmp_path, name, text, part):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(FuncamError, match=part) as caught:
        read_truth(tmp_path / name, CLASSES)
    assert "\n" not in str(caught.value)
    if text is None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(FuncamError, match="expected a CSV"):
            read_truth(tmp_path / "empty", CLASSES)


def test_truth_needs_no_torch():
    modules = "funcam.truth, funcam.statistics.intervals, funcam.comparison.conclusions"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
