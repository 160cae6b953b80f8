"""YOLO networks of ultralytics, made from their own yaml files with random weights.

ultralytics is under the AGPL-3.0. It is an extra that nothing but this matrix imports, and nothing of it is copied.
Left alone it writes settings to the home folder, looks for a connection, and installs what it misses: `make` says no.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from benchmarks.models.entry import Entry
from benchmarks.models.tiny import calibrated

# Read when ultralytics is imported; what the caller's environment says comes first.
ENVIRONMENT = {
    "YOLO_CONFIG_DIR": str(Path(tempfile.gettempdir()) / "ultralytics-settings"),
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",
}
SMALL, LARGE = (3, 128, 160), (3, 128, 192)


def entries() -> list[Entry]:
    """YOLOv8 and YOLO11: classify, detect, segment."""
    return [*classify(), *detect()]


def net(name: str, image: tuple[int, ...]) -> Callable[[], nn.Module]:
    """How to make the network within `YOLO(name)`; BatchNorm's statistics are those of its random values."""

    def make() -> nn.Module:
        for key, value in ENVIRONMENT.items():
            os.environ.setdefault(key, value)
        from ultralytics import YOLO

        model: nn.Module = YOLO(name).model
        return model.eval()

    return calibrated(make, image)


def class_over_anchors(returned: Any) -> Tensor:
    """Class 1 summed over all anchors, before the sigmoid: `[B]`."""
    scores: Tensor = returned[1]["scores"]
    return scores[:, 1].sum(1)


def classify() -> list[Entry]:
    """The classifiers, whose head has a convolution of its own in front of the pooling."""
    return [
        Entry(
            f"ultralytics/{name}",
            net(f"{name}.yaml", SMALL),
            SMALL,
            (f"model.{head}.conv", f"model.{head - 1}"),
            (4, 5),
            output=1,
            why="the head's convolution, then the pooling (nn/modules/head.py, Classify.forward), or the layer in "
            "front of the head; one SiLU serves the whole network; the model returns (probabilities, logits)",
        )
        for name, head in (("yolov8n-cls", 9), ("yolo11n-cls", 10))
    ]


def detect() -> list[Entry]:
    """The detectors and segmenters, with three levels that no one map carries."""
    return [
        Entry(
            f"ultralytics/{name}",
            net(f"{name}.yaml", LARGE),
            LARGE,
            (f"model.{last}",),
            (4, 6),
            target=class_over_anchors,
            kind="detection" if task == "detect" else "segmentation",
            why="class scores come from three levels (nn/modules/head.py, Detect.forward_head), so from no one map: "
            "the backbone's last, which is upsampled into all of them; the head keeps its anchors between calls; "
            f"{task}",
        )
        for name, last, task in (
            ("yolov8n", 9, "detect"),
            ("yolo11n", 10, "detect"),
            ("yolov8n-seg", 9, "segment"),
            ("yolo11n-seg", 10, "segment"),
        )
    ]
