"""The boxes of a store as COCO's JSON, for whatever reads that: labelling tools, viewers, pycocotools.

    pip install "funcam[batch]"
    funcam batch photos/ --net mobilenet_v2 --out store
    python examples/coco_boxes.py store boxes.json --query 'score > 0.5'

Each box goes round the largest region of the map (`funcam batch --threshold`), in the image's pixels, with the class
that is explained and its score, as a detector's result would be. What speaks against a class
(`--class 'not NAME'`) is a category of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import funcam
from funcam.store import Row, Store, open_store
from funcam.zoo.labels import class_name


def coco_of(store: Store, query: Sequence[str] = ()) -> dict[str, Any]:
    """Images, annotations and categories, as COCO has them; images that failed are images without annotation.

    Args:
        store: what `funcam batch` wrote.
        query: conditions on its rows.
    """
    classes = store.question["classes"]
    images, annotations, used = [], [], set[int]()
    for row in store.rows(query, maps=False):
        if row.width is None or row.height is None:  # it could not be read
            continue
        images.append({"id": row.index, "file_name": row.path, "width": row.width, "height": row.height})
        box = _box(row, store.question["input"])
        if box is None or row.target is None:
            continue
        used.add(row.target)
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": row.index,
                "category_id": row.target % (2 * len(classes)),  # ~0, what speaks against 0, is the last one
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": 0,
                "score": row.score,
            }
        )
    categories = [{"id": index % (2 * len(classes)), "name": class_name(index, classes)} for index in sorted(used)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _box(row: Row, told: dict[str, Any]) -> list[float] | None:
    """`[x, y, width, height]` in pixels: the map covers what the network saw of the image."""
    if row.figures is None or row.width is None or row.height is None:
        return None
    x0, y0, x1, y1 = _view(row.width, row.height, told)
    found = row.figures
    left, right = (min(max(x0 + (x1 - x0) * at, 0), row.width) for at in (found.box_x0, found.box_x1))
    upper, lower = (min(max(y0 + (y1 - y0) * at, 0), row.height) for at in (found.box_y0, found.box_y1))
    return [left, upper, right - left, lower - upper] if right > left and lower > upper else None


def _view(width: int, height: int, told: dict[str, Any]) -> tuple[float, ...]:
    if told["fit"] == "squash":
        return 0, 0, width, height
    blank = np.broadcast_to(np.uint8(0), (height, width, 3))
    options = {name: told[name] for name in ("fit", "resize", "interpolation")}
    return funcam.fit_image(blank, tuple(told["size"]), **options)[1].box


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description="Boxes of a store as COCO's JSON.")
    parser.add_argument("store", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--query", action="append", default=[], help="as of `funcam batch show`; repeat")
    given = parser.parse_args()
    document = coco_of(open_store(given.store), given.query)
    given.out.write_text(json.dumps(document) + "\n", encoding="utf-8")
    print(f"{len(document['annotations'])} boxes of {len(document['images'])} images in {given.out}")


if __name__ == "__main__":
    try:
        main()
    except (funcam.FuncamError, OSError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")
