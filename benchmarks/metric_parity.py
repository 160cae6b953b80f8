"""Every metric that a peer has too, on the same maps of real photos: where they agree, and where they do not.

    python benchmarks/metric_parity.py            # measures (minutes), writes results/metric-parity.json and the table
    python benchmarks/metric_parity.py --tables   # writes the table in docs/metrics.md again, from what was measured

The maps are funcam's Grad-CAM at the last feature map, prepared: ReLU'd, divided by their maximum, resized to the
network's input. Both sides are given the same maps, images, classes, boxes, squares and steps, and no noise.

It needs the peers (`pip install .[test]`) and the assets' weights and photos: `--assets`, `FUNCAM_ASSETS` or
`../shared/assets`.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT / "tests" / "helpers") not in sys.path:  # a script; pytest has put it there
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

from metric_pairs import PAIRS, difference  # noqa: E402
from metric_peers import Place  # noqa: E402
from pages import filled  # noqa: E402
from parity import AGREES, PHOTOS  # noqa: E402
from photos import NETWORKS, network_input  # noqa: E402

import funcam  # noqa: E402
from benchmarks.files import put  # noqa: E402
from funcam import metrics  # noqa: E402

REPORT = ROOT / "benchmarks" / "results" / "metric-parity.json"
PAGE = ROOT / "docs" / "metrics.md"
PEERS = {
    "grad-cam": "grad-cam",
    "torchcam": "torchcam",
    "captum": "captum",
    "Quantus": "quantus",
    "scikit-learn": "scikit-learn",
    "scikit-image": "scikit-image",
    "SciPy": "scipy",
}
SIDE, STORED = 224, 227
Report = dict[str, Any]
Photo = tuple[Path, int, Any]
"""A file, its class, and its boxes."""


def places(assets: Path, every: int = 1) -> dict[str, list[Place]]:
    """The networks and photos where metrics are compared, in groups; of the photos each `every`-th pixel."""
    labelled = boxed_photos(assets / "photos" / "ilsvrc")
    several = [row for row in labelled if len(row[2]) > 1]
    two: list[Photo] = [(assets / "photos" / name, target, []) for name, target in PHOTOS.items()]
    make = partial(place, assets, every=every)
    return {
        "two photos": [make("squeezenet1_1", two), make("mobilenet_v2", two)],
        "an earlier layer": [make("mobilenet_v2", two, layer="features.6")],
        "photos with boxes": [make("squeezenet1_1", labelled[::25])],
        "photos with several boxes": [make("squeezenet1_1", several[::5])],
    }


def boxed_photos(folder: Path) -> list[Photo]:
    """The file, class and boxes of each photo, in pixels of the network's input."""
    found: dict[str, list[list[str]]] = {}
    with (folder / "boxes.csv").open(newline="") as stream:
        for name, *row in list(csv.reader(stream))[1:]:
            found.setdefault(name, []).append(row)
    boxes = {name: np.array([row[1:] for row in rows], float) * SIDE / STORED for name, rows in found.items()}
    return [(folder / name, int(rows[0][0]), boxes[name]) for name, rows in sorted(found.items())]


def place(assets: Path, network: str, photos: Sequence[Photo], *, layer: str = "", every: int = 1) -> Place:
    """Grad-CAM of some photos by one network, and of the photos multiplied by it."""
    model = torchvision.models.get_model(network, weights=None)
    model.load_state_dict(torch.load(assets / "weights" / f"{network}.pth", weights_only=True))
    model.eval()
    paths, classes, boxes = zip(*photos, strict=True)
    images = torch.cat([network_input(path) for path in paths])[..., ::every, ::every].contiguous()
    targets = torch.tensor(classes)
    cut = funcam.split(model, layer or NETWORKS[network])

    def maps(given: torch.Tensor) -> torch.Tensor:
        return metrics.prepared(funcam.explain(cut, given, targets).maps, images.shape[2:])

    first = maps(images)
    located = [np.array(rows) / every for rows in boxes]
    return Place(f"{network} {layer}".strip(), model, images, targets, first, maps(images * first[:, None]), located)


def measure(groups: dict[str, list[Place]]) -> list[Report]:
    """Every pair with its difference in each place."""
    found = []
    for (metric, peer), pair in PAIRS.items():
        start = time.perf_counter()
        chosen = [place for group in pair.where for place in groups[group]]
        entry: Report = {"metric": metric, "peer": peer, "name": pair.name}
        entry["differences"] = {place.name: difference(*pair.compare(place)) for place in chosen}
        if pair.instead:
            entry["condition"] = pair.condition
            entry["differences instead"] = {place.name: difference(*pair.instead(place)) for place in chosen}
        entry["why"] = pair.why
        found.append(entry)
        print(f"{metric:24}{peer:14}{verdict(entry):100}{time.perf_counter() - start:6.1f} s", flush=True)
    return found


def verdict(entry: Report) -> str:
    """A cell of the table: the peer's name for it, and whether they agree, else by how much they differ and why."""
    worst = max(entry["differences"].values())
    if worst < AGREES:
        return f"`{entry['name']}` {_agrees(worst)}"
    percent = 100 * worst
    text = (
        f"`{entry['name']}` differs {percent:.0f} %" if percent >= 10 else f"`{entry['name']}` differs {percent:.1g} %"
    )
    text += f": {entry['why']}"
    if "condition" in entry:
        text += f"; {entry['condition']} {_agrees(max(entry['differences instead'].values()))}"
    return text


def _agrees(worst: float) -> str:
    return f"agrees ({worst:.0e})" if worst else "agrees (exactly)"


def parity_table(report: Report) -> str:
    """A row for each pair, in the order of the pairs."""
    lines = ["| metric | peer | what was found |", "| --- | --- | --- |"]
    for entry in report["pairs"]:
        peer = f"{entry['peer']} {report['versions'][PEERS[entry['peer']]]}"
        lines.append(f"| `{entry['metric']}` | {peer} | {verdict(entry)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path, default=os.environ.get("FUNCAM_ASSETS", ROOT.parent / "shared/assets"))
    parser.add_argument("--tables", action="store_true", help="only write the table again")
    given = parser.parse_args()
    if not given.tables:
        warnings.simplefilter("ignore")  # the peers' own
        logging.disable(logging.WARNING)
        report = {
            "command": "python benchmarks/metric_parity.py",
            "versions": {"funcam": funcam.__version__, **{n: version(n) for n in ("torch", *PEERS.values())}},
            "agrees below": AGREES,
            "pairs": measure(places(given.assets)),
        }
        put(REPORT, json.dumps(report, indent=1) + "\n")
    put(PAGE, filled(PAGE.read_text(), {"metric parity": parity_table(json.loads(REPORT.read_text()))}))


if __name__ == "__main__":
    main()
