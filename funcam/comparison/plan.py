"""What a comparison is of: networks, methods, layers, metrics; and a name for all of it, to resume by. No torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from funcam.nets import Net

BASELINES = ("centre-gaussian", "uniform", "random")


@dataclass(frozen=True)
class Metric:
    """A metric: its name in the results, its title, which way is better, and what it needs."""

    name: str
    title: str
    needs: str
    higher_is_better: bool = True


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("pointing-game", "Pointing game", "truth"),
        Metric("energy", "Energy in the objects", "truth"),
        Metric("max-box-acc-v2", "MaxBoxAccV2", "truth"),
        Metric("max-box-acc@0.3", "MaxBoxAcc at IoU 0.3", "truth"),
        Metric("max-box-acc@0.5", "MaxBoxAcc at IoU 0.5", "truth"),
        Metric("max-box-acc@0.7", "MaxBoxAcc at IoU 0.7", "truth"),
        Metric("coverage", "Coverage of each object", "truth"),
        Metric("hit-share", "Share of the objects hit", "truth"),
        Metric("iou", "IoU at half of the maximum", "truth"),
        Metric("average-drop", "Average drop", "passes", higher_is_better=False),
        Metric("increase", "Increase in confidence", "passes"),
        Metric("average-gain", "Average gain", "passes"),
        Metric("insertion", "Insertion", "passes"),
        Metric("deletion", "Deletion", "passes", higher_is_better=False),
    )
}
LOCALISATION, FAITHFULNESS = "localisation", "faithfulness"


@dataclass(frozen=True)
class Rival:
    """A network of a comparison: the label it goes by, and the network, on its device."""

    label: str
    net: Net


@dataclass(frozen=True)
class Plan:
    """What is computed of every image.

    Attributes:
        methods: names of methods.
        layers: where to cut, by the network's label; a network that is missing is cut at its default layer.
        combine: how several layers become one map, or None to keep them apart.
        smooth: ``aug``, ``eigen`` or both.
        groups: ``localisation`` (needs truth) and ``faithfulness`` (some 100 forward passes for each map).
        target: ``truth`` (the labelled class) or ``predicted``.
        fit: how images are put before the networks.
        steps: of insertion and deletion.
        batch: images at once.
        options: of methods.
    """

    methods: tuple[str, ...] = ("grad-cam", "grad-cam++")
    layers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    combine: str | None = None
    smooth: tuple[str, ...] = ()
    groups: tuple[str, ...] = (LOCALISATION,)
    target: str = "truth"
    fit: str = "squash"
    steps: int = 50
    batch: int = 8
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def key(self, rival: Rival) -> str:
        """A name for what this plan computes with one network: equal keys, equal figures."""
        asked = asdict(self)
        asked.pop("batch")
        asked["layers"] = list(self.layers.get(rival.label, ()))
        text = json.dumps([asked, rival.net.name, rival.net.weights, rival.net.input_size], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
