"""Kaggle's solution and Caffe's list."""

from __future__ import annotations

import pytest

from funcam.errors import FuncamError
from funcam.truth.ilsvrc import is_solution, read_list, read_solution
from funcam.truth.names import labeller
from funcam.truth.tally import Tally

CLASSES = ("tench", "kit fox", "English setter")
MAPPING = "n01440764 tench, Tinca tinca\nn02119789 kit fox\nn02100735 English setter\n"


def write(folder, name, text):
    (folder / name).write_text(text)
    return folder / name


def test_kaggles_solution(tmp_path):
    path = write(
        tmp_path,
        "LOC_val_solution.csv",
        "ImageId,PredictionString\nv_1,n02119789 85 1 499 272 \nv_2,n01440764 0 0 9 9 n01440764 5 5 20 20\n"
        "v_3,n02119789 85 1 499\nv_4,n00000000 1 2 3 4\nv_5,n02119789 a 1 2 3\nv_6\n",
    )
    write(tmp_path, "LOC_synset_mapping.txt", MAPPING)
    assert is_solution(path)
    tally = Tally()
    found = read_solution(path, labeller(CLASSES), tally, CLASSES)
    assert list(found) == ["v_1", "v_2"]
    assert [(each.label, each.box) for each in found["v_1"].objects] == [(1, (85, 1, 499, 272))]
    assert found["v_2"].multiple(0)
    told = "\n".join(tally.lines())
    assert "2 times, first: LOC_val_solution.csv, row 4" in told
    assert "'n00000000' is none of the network's" in told
    assert "corners are no numbers" in told


def test_a_solution_is_known_by_its_header(tmp_path):
    assert is_solution(write(tmp_path, "a.csv", '"ImageId","PredictionString"\n'))
    assert not is_solution(write(tmp_path, "b.csv", "file,class_index,x0,y0,x1,y1\n"))
    assert not is_solution(tmp_path / "none.csv")


def test_a_list_tells_classes_alone(tmp_path):
    tally = Tally()
    path = write(tmp_path, "val.txt", "a b.JPEG 2\nsub/c.JPEG 0\nd.JPEG 3\ne.JPEG\n\n")
    found = read_list(path, labeller(CLASSES), tally)
    assert {name: truth.labels for name, truth in found.items()} == {"a b.JPEG": (2,), "sub/c.JPEG": (0,)}
    assert found["a b.JPEG"].of() == ()
    assert not found["a b.JPEG"].single()
    assert len(tally.lines()) == 2


def test_a_list_that_counts_its_lines_names_no_classes(tmp_path):
    path = write(tmp_path, "val.txt", "ILSVRC2012_val_00000001 1\nILSVRC2012_val_00000002 2\n")
    with pytest.raises(FuncamError, match="only counts its lines"):
        read_list(path, labeller(CLASSES), Tally())
