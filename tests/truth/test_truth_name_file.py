"""A user's mapping from a truth's names to classes: the file, its faults, and truth read with it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funcam.errors import FuncamError
from funcam.imaging.reading import find_images
from funcam.truth import match, read_names, read_truth
from funcam.zoo.labels import numbered

CLASSES = ("tabby", "golden retriever", "Siamese cat", "crane", "crane bird")


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "names.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "name,class_index\ncat,0\ncat,2\nmy dog,1\n",
        "name,class_index\ncat,0 2\nmy dog,golden_retriever\n",
        "name;class_index\r\ncat;tabby\r\n\r\nmy dog;1\r\ncat;siamese cat\r\n",
        "\ufeffClass_Index\tnote\tName\n0\t\tcat\n1\tx\tmy dog\n 0 2 \t\t cat \n",
    ],
)
def test_rows_of_one_name_are_any_of_them(tmp_path, text):
    assert read_names(written(tmp_path, text), CLASSES) == {"cat": (0, 2), "my dog": (1,)}


_words = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1).map(str.strip).filter(bool)


@given(st.dictionaries(_words, st.lists(st.integers(0, 99), min_size=1, unique=True), min_size=1, max_size=5))
def test_what_is_written_is_read(tmp_path_factory, names):
    path = tmp_path_factory.mktemp("names") / "names.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["name", "class_index"])
        writer.writerows((name, index) for name, indices in names.items() for index in indices)
    assert read_names(path, numbered(100)) == {name: tuple(indices) for name, indices in names.items()}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "is empty; expected the header name,class_index"),
        ("cat,281\ndog,207\n", r"begins with 'cat,281'; expected the header name,class_index and rows such as cat,281"),
        ("name,index\ncat,1\n", "begins with 'name,index'"),
        ("name,class_index\n", "names no class; expected the header"),
        ("name,class_index\ncat,0\n,1\n", "row 3, has no name"),
        ("name,class_index\ncat\n", "row 2, has no class"),
        ("name,class_index\ncat,0\ncat, \n", "row 3, has no class"),
        ("name,class_index\ncat,5\n", r"row 2: .*class 5 is out of range: the network has 5 classes, 0 to 4"),
        ("name,class_index\ncat,-1\n", r"row 2: .*class '?-1'?"),
        ("name,class_index\ncat,0 5\n", r"row 2: .*out of range"),
        ("name,class_index\ncat,siamese\n", r"row 2: .*'siamese' is none of the network's; nearest: 'Siamese cat'"),
        (b"name,class_index\nk\xfche,1\n", "is not UTF-8"),
    ],
)
def test_a_fault_is_one_line_with_its_row(tmp_path, text, part):
    with pytest.raises(FuncamError, match=part) as caught:
        read_names(written(tmp_path, text), CLASSES)
    assert "names.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(FuncamError, match=r"missing.csv' can't be read.*expected the header name,class_index"):
        read_names(tmp_path / "missing.csv", CLASSES)


def test_truth_is_read_with_the_names(tmp_path):
    names = read_names(written(tmp_path, "name,class_index\ncat,2\ncat,0\ntabby,2\n"), CLASSES)
    (tmp_path / "truth").mkdir()
    voc = "<annotation><filename>a.jpg</filename>{}</annotation>"
    box = "<object><name>{}</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>"
    (tmp_path / "truth" / "a.xml").write_text(voc.format("".join(map(box.format, ("cat", "tabby", "crane", "dog")))))
    coco = {
        "images": [{"id": 1, "file_name": "b.jpg", "width": 20, "height": 20}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 17, "bbox": [0, 0, 9, 9]}],
        "categories": [{"id": 17, "name": "cat"}],
    }
    (tmp_path / "truth" / "b.json").write_text(json.dumps(coco))
    found = read_truth(tmp_path / "truth", CLASSES, names=names)
    assert [each.labels for each in found.by_file["a.jpg"].objects] == [(2, 0), (2,), (3,)]  # a name in the file first
    assert [each.labels for each in found.by_file["b.jpg"].objects] == [(2, 0)]
    assert any("class 'dog' is none of the network's" in line for line in found.problems)
    with pytest.raises(FuncamError, match="holds no object of the network's classes"):
        read_truth(tmp_path / "truth" / "b.json", CLASSES)


def test_the_photos_of_coco_have_truth_as_they_are_and_through_a_file_of_names(assets: Path, tmp_path):
    """Their boxes.csv tells the ImageNet classes itself; the same classes by name, from a file, give the same truth."""
    folder = assets / "photos" / "coco"
    with (folder / "boxes.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    direct = read_truth(folder / "boxes.csv", numbered(1000))
    assert direct.problems == []
    assert sum(len(truth.objects) for truth in direct.by_file.values()) == len(rows)
    matched = match(direct.by_file, find_images([folder]).paths)
    assert len(matched.truths) == len({row["file"] for row in rows}) == 60

    meant = {(row["coco_class"], int(index)) for row in rows for index in row["imagenet_indices"].split()}
    with (tmp_path / "names.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [("name", "class_index"), *sorted(meant, key=lambda pair: (pair[0], int(pair[1])))]
        )
    with (tmp_path / "boxes.csv").open("w", newline="") as stream:
        corners = ("x0", "y0", "x1", "y1")
        csv.writer(stream).writerows(
            [("file", "class_name", *corners), *((r["file"], r["coco_class"], *(r[c] for c in corners)) for r in rows)]
        )
    names = read_names(tmp_path / "names.csv", numbered(1000))
    by_name = read_truth(tmp_path / "boxes.csv", numbered(1000), names=names)
    assert by_name.problems == []
    for name, truth in direct.by_file.items():
        ours = by_name.by_file[name].objects
        assert [(set(each.labels), each.box) for each in ours] == [(set(e.labels), e.box) for e in truth.objects]
