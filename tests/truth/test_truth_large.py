"""COCO's JSON of more than is held at once: what is about the compared images is read as from a small file."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from funcam.errors import FuncamError
from funcam.truth import coco, large_json, read_truth

CLASSES = ("cat", "dog")
ORDERS = [("images", "annotations", "categories"), ("annotations", "categories", "images")]


def document(order: tuple[str, ...]) -> dict[str, Any]:
    rng = random.Random(0)
    names = [f"train/é {number:03}.JPG" for number in range(40)]
    parts = {
        "images": [{"id": at, "file_name": name, "width": 90, "height": 60} for at, name in enumerate(names)],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}, 7],
        "annotations": [
            {"image_id": rng.randrange(40), "category_id": rng.choice((1, 2)), "bbox": [rng.random(), 2, 30, -0.0 + at]}
            for at in range(1, 300)
        ],
    }
    return {"info": {"year": 2017}, "n": 12.5, "flags": [1, [], {}, "]"], **{name: parts[name] for name in order}}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any file is a large one."""
    monkeypatch.setattr(coco, "_WHOLE", 0)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("piece", [1, 7, 1000, 10**6])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_few_images_of_a_large_file(
    order: tuple[str, ...], piece: int, indent: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_json, "_PIECE", piece)
    path = tmp_path / "x.json"
    path.write_text(json.dumps(document(order), indent=indent, ensure_ascii=False), "utf-8-sig" if indent else "utf-8")
    all_of_it = read_truth(path, CLASSES).by_file
    assert len(all_of_it) == 40
    images = [tmp_path / "é 003.jpg", tmp_path / "é 017.png", tmp_path / "other.jpg"]
    found = read_truth(path, CLASSES, images=images)
    assert found.by_file == {name: all_of_it[name] for name in ("train/é 003.JPG", "train/é 017.JPG")}
    assert found.problems == []


def test_images_that_have_an_address_only(tmp_path: Path) -> None:
    """LVIS's."""
    content = document(ORDERS[0])
    for image in content["images"]:
        image["coco_url"] = f"http://images.cocodataset.org/{image.pop('file_name')}"
    path = tmp_path / "x.json"
    path.write_text(json.dumps(content))
    assert len(read_truth(path, CLASSES).by_file) == 40
    assert list(read_truth(path, CLASSES, images=[Path("é 003.jpg")]).by_file) == ["train/é 003.JPG"]


GOOD = json.dumps(document(ORDERS[0]))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GOOD[:-1], "is not JSON ('}' is missing)"),
        (GOOD[:-900], "is not JSON"),
        (GOOD + "x", "is not JSON (it goes on behind its end)"),
        ("[]", "is not JSON ('{' is missing)"),
        ("{}", "is not COCO's"),
        ('{"images": {}, "annotations": [], "categories": []}', "is not COCO's"),
        ('{"images": ' + "[" * 100_000, "nested too deeply"),
        ('{"images": [' + "9" * 5000 + "]}", "is not JSON (Exceeds the limit"),
        ('{"x": "' + "a" * 9_000_000, "a value of more than 8 MiB"),
        (GOOD.replace('"images": [', '"images": [' + '{"file_name": "a.jpg"},' * 131_074), "more than 131,072 images"),
        (
            GOOD.replace('"categories": [', '"categories": [' + '{"x":[' + "[]," * 999_999 + "[]]}," + GOOD + ","),
            "more than 1,000,000 values",
        ),
    ],
)
def test_what_is_no_coco_or_more_than_is_kept(
    text: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coco, "_MOST_VALUES", 1_000_000)
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(FuncamError) as caught:
        read_truth(tmp_path / "x.json", CLASSES, images=[Path("a.jpg")])
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_too_large_without_images_says_what_helps(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(GOOD + " " * 70_000_000)
    with pytest.raises(FuncamError, match="larger than 64 MiB; give the images that are compared"):
        read_truth(path, CLASSES)
    assert len(read_truth(path, CLASSES, images=[Path("é 003.jpg")]).by_file) == 1
