"""Which cut of a VGG-like network gives the better Grad-CAM: the last ReLU, or the map that is pooled from it?

    python benchmarks/vgg_cut.py    # about ten minutes on two CPU cores

Trains a small VGG with a fully connected head on the scenes, then reads its maps at both layers.
"""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torchvision.models import VGG
from torchvision.models.vgg import make_layers
from train_scenes import Case, Stage, cases, measure_cases, train

from funcam import explain, upsample
from funcam.scenes import CLASSES, scenes
from funcam.scenes.network import inputs

CURRICULUM = (Stage(0.0, 3_000, 4, 0.0), Stage(0.4, 3_000, 3, 0.0), Stage(1.0, 8_000, 6, 0.0))
HELD_OUT = 300
DELTAS = (0.3, 0.5, 0.7)


def main() -> None:
    torch.manual_seed(0)
    model = vgg()
    for line in train(model, CURRICULUM, seed=1_000):
        print(line, flush=True)
    model.eval()
    chosen = cases(scenes(HELD_OUT))
    for name, layer in (
        ("last ReLU", f"features.{len(model.features) - 2}"),
        ("pooled", f"features.{len(model.features) - 1}"),
    ):
        right, scores = measure_cases(model, chosen, layer)
        pointing, energy, coverage = scores["grad-cam"]
        size, boxes = box_accuracy(model, chosen, layer)
        print(
            f"{name:9} {layer} {size}: top-1 {right:.1%}  pointing {pointing:.1%}  energy in boxes {energy:.1%}  "
            f"coverage {coverage:.1%}  MaxBoxAccV2 {np.mean(boxes):.1%} ({', '.join(f'{b:.1%}' for b in boxes)})"
        )


def vgg() -> VGG:
    """A small VGG whose last maps are 16 x 16 before and 8 x 8 after the final pooling, for 128 x 128 images."""
    model = VGG(make_layers([16, "M", 32, "M", 64, 64, "M", 128, 128, "M"], batch_norm=True), num_classes=len(CLASSES))
    model.avgpool = nn.Identity()
    model.classifier = nn.Sequential(nn.Linear(128 * 8 * 8, 128), nn.ReLU(), nn.Linear(128, len(CLASSES)))
    return model


def box_accuracy(model: nn.Module, chosen: list[Case], layer: str) -> tuple[list[int], list[float]]:
    """The layer's map size, and for each IoU in `DELTAS` the best share over all thresholds of boxes that reach it.

    The box of a map is that of its largest part above a threshold, as in Choe et al. 2020 (MaxBoxAccV2).
    """
    x, targets = inputs([case.picture.image for case in chosen]), [case.label for case in chosen]
    maps = torch.cat(
        [explain(model, x[i : i + 50], targets[i : i + 50], layer=layer).maps for i in range(0, len(x), 50)]
    )
    heats = zip(upsample(maps, chosen[0].picture.image.shape[:2]).numpy(), chosen, strict=True)
    levels = np.arange(0.02, 1, 0.02)
    ious = np.array([[iou(box_above(heat, level), case.things[0].box) for level in levels] for heat, case in heats])
    return list(maps.shape[1:]), [float((ious >= delta).mean(axis=0).max()) for delta in DELTAS]


def box_above(heat: NDArray[np.float32], level: float) -> tuple[int, int, int, int]:
    """The box of the largest connected part above `level` of the map's maximum; empty where the map is nothing."""
    hot = ((heat >= level * heat.max()) & (heat > 0)).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(hot)
    if count < 2:
        return 0, 0, 0, 0
    x, y, w, h, _ = (int(v) for v in stats[1:][stats[1:, cv2.CC_STAT_AREA].argmax()])
    return x, y, x + w, y + h


def iou(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    """Intersection over union of two boxes."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


if __name__ == "__main__":
    main()
