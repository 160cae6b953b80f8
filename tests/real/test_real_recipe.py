"""The recipe `localise` on the 300 photos: much tighter boxes than Grad-CAM++, as docs/comparison.md says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from figures import Photo, read_photos
from photos import normalised
from torch import nn
from torch.nn.functional import interpolate

import funcam
from funcam import metrics
from funcam.imaging.reading import read_image
from funcam.pipeline.recipes import find_recipe

NETWORK, STORED = "shufflenet_v2_x1_0", 227


@pytest.fixture(scope="module")
def photos(assets: Path) -> list[Photo]:
    return read_photos(assets / "photos" / "ilsvrc")


def max_box_acc_v2(model: nn.Module, photos: list[Photo], method: str, side: int) -> float:
    """In per cent, for the labelled classes, with images of one size."""
    hits = []
    for start in range(0, len(photos), 10):
        some = photos[start : start + 10]
        stored = torch.stack([torch.tensor(read_image(photo.path)).permute(2, 0, 1) for photo in some]) / 255
        images = normalised(interpolate(stored, (side, side), mode="bilinear", align_corners=False))
        maps = funcam.explain(model, images, torch.tensor([photo.label for photo in some]), method=method).maps
        boxes, valid = metrics.pad_boxes([photo.boxes * side / STORED for photo in some])
        hits.append(metrics.box_hits(metrics.box_overlaps(metrics.prepared(maps, (side, side)), boxes, valid).largest))
    return 100 * float(metrics.max_box_acc_v2(torch.cat(hits)))


@pytest.mark.slow
def test_the_recipe_finds_the_tightest_boxes(photos: list[Photo], real_network: Callable[[str], nn.Module]) -> None:
    recipe, model = find_recipe("localise"), real_network(NETWORK)
    found = max_box_acc_v2(model, photos, recipe.method, recipe.size_for(224))
    plain = max_box_acc_v2(model, photos, "grad-cam++", 224)
    assert found == pytest.approx(74.6, abs=1.0)  # docs/comparison.md
    assert plain == pytest.approx(66.9, abs=1.0)  # the assets' README
