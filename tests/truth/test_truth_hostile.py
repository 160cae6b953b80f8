"""Truth that claims sizes, nests, repeats or misnames: told in a line, nothing allocated, nothing slow."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from funcam.errors import FuncamError
from funcam.truth import read_names, read_truth
from funcam.truth.masks import RunLengths, mask_box
from funcam.truth.names import labeller
from funcam.truth.tally import Tally

CLASSES = ("cat", "dog", "crane")


def coco(folder: Path, annotation: dict[str, Any], **parts: Any) -> Path:
    image = {"id": 1, "file_name": "a.jpg", "width": 8, "height": 6}
    good = {"id": 9, "image_id": 1, "category_id": 1, "bbox": [0, 0, 2, 2]}
    annotation = {"id": 1, "image_id": 1, "category_id": 1, **annotation}
    document = {"images": [image], "annotations": [good, annotation], "categories": [{"id": 1, "name": "dog"}], **parts}
    (folder / "truth.json").write_text(json.dumps(document))
    return folder / "truth.json"


@pytest.mark.parametrize(
    ("counts", "size"),
    [
        ([2**62] * 4 + [48], [6, 8]),  # 48 modulo 2 to the 64
        ([2**63 - 1, 2**63 - 1, 50], [6, 8]),
        ([-(2**62), 2**62, 48], [6, 8]),
        ([2**62], [2**31, 2**31]),
        ([1], [2**31, 2**31]),
        ([10**4000, 1], [6, 8]),
        ([48], [6, 10**4000]),
        ([48], [6.0, 8]),
        ([48], [True, 48]),
        ([48], 48),
        ("0" * 10**6, [6, 8]),
        ("o" * 100, [6, 8]),
    ],
)
def test_run_lengths_that_claim_more_than_a_picture(counts: Any, size: Any, tmp_path: Path) -> None:
    found, problems = read_truth(coco(tmp_path, {"segmentation": {"counts": counts, "size": size}}), CLASSES)
    assert len(found["a.jpg"].objects) == 1
    assert "run lengths" in problems[0]


def test_the_largest_mask_is_not_rendered_for_its_box(tmp_path: Path) -> None:
    path = coco(tmp_path, {"segmentation": {"counts": [7, 178_956_963], "size": [178_956_970, 1]}})
    assert read_truth(path, CLASSES).by_file["a.jpg"].objects[1].box == (0.0, 7.0, 1.0, 178_956_970.0)


@pytest.mark.parametrize("seed", range(40))
def test_the_box_of_run_lengths_is_that_of_the_mask(seed: int) -> None:
    rng = np.random.default_rng(seed)
    width, height = rng.integers(1, 9, 2)
    cuts = np.sort(rng.integers(0, width * height + 1, rng.integers(0, 6)))
    counts = tuple(int(length) for length in np.diff([0, *cuts, width * height]))
    mask = RunLengths(counts, (int(width), int(height)))
    assert mask.box() == mask_box(mask(int(height), int(width)))


@pytest.mark.parametrize("identity", [[1], {}, None, 1.5, [[1]], True])
def test_ids_of_any_kind(identity: Any, tmp_path: Path) -> None:
    for name in ("id", "image_id", "category_id"):
        found, problems = read_truth(coco(tmp_path, {name: identity, "bbox": [1, 1, 2, 2]}), CLASSES)
        assert found["a.jpg"].objects
        assert name == "id" or problems or identity is True
    images = [{"id": identity, "file_name": "a.jpg"}, {"id": 1, "file_name": ["a.jpg"]}]
    with pytest.raises(FuncamError, match="holds no object"):
        read_truth(coco(tmp_path, {"image_id": [2]}, images=images[:1] if identity is not True else []), CLASSES)
    with pytest.raises(FuncamError, match="holds no object"):
        read_truth(coco(tmp_path, {}, images=images[1:]), CLASSES)


@pytest.mark.parametrize("name", [["dog"], {}, 5, None, "x" * 5000, "\x1b[31m"])
def test_names_of_any_kind(name: Any, tmp_path: Path) -> None:
    with pytest.raises(FuncamError) as caught:
        read_truth(coco(tmp_path, {}, categories=[{"id": 1, "name": name}]), CLASSES)
    assert len(str(caught.value)) <= 1000
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("cell", ["²", "1 ²", "9" * 5000, "-" + "9" * 5000, "x" * 5000, "1e400", "\u0660\u0be7x"])
def test_classes_that_look_like_numbers(cell: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"file,class_index,x0,y0,x1,y1\na.jpg,{cell},0,0,5,5\nb.jpg,1,0,0,5,5\n")
    found, problems = read_truth(tmp_path / "a.csv", CLASSES)
    assert list(found) == ["b.jpg"]
    assert "none of the network's" in problems[0]
    assert len(problems[0]) <= 1000
    (tmp_path / "names.csv").write_text(f"name,class_index\npet,{cell}\n")
    with pytest.raises(FuncamError, match=r"row 2.*none of the network's"):
        read_names(tmp_path / "names.csv", CLASSES)


def test_digits_of_other_scripts_are_an_index(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("file,class_index,x0,y0,x1,y1\na.jpg,１ ２,0,0,5,5\n")
    assert read_truth(tmp_path / "a.csv", CLASSES).by_file["a.jpg"].labels == (1,)
    assert read_truth(tmp_path / "a.csv", CLASSES).by_file["a.jpg"].objects[0].labels == (1, 2)


def test_the_nearest_names_are_looked_up_for_the_first_unknown_ones_only(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(difflib, "get_close_matches", lambda *words, **_: calls.append(words) or [])
    labels = labeller(CLASSES)
    for index in range(1000):
        for _ in range(2):
            with pytest.raises(FuncamError, match="none of the network's"):
                labels(f"unknown {index}")
    assert 0 < len(calls) < 20


def test_kinds_of_problems_are_counted_behind_the_first_ones() -> None:
    tally = Tally()
    for index in range(300):
        tally.note(f"class {index} is unknown", "a.csv")
    lines = tally.lines()
    assert len(lines) == 201
    assert lines[-1] == "100 more problems of 100 kinds"
    tally = Tally()
    tally.note("truth names no image", "x" * 5000 + "\x1b[31m")
    assert len(tally.lines()[0]) <= 1000
    assert tally.lines()[0].isprintable()
