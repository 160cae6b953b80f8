"""Every method beside every peer that has it, on real networks and photos: where they agree, and where they do not.

    python benchmarks/parity.py            # measures (some minutes), writes results/parity.json and docs/methods.md
    python benchmarks/parity.py --tables   # writes the tables in docs/methods.md again, from what was measured

Both are given the same network, layer, class and image; compared is what each computes before it rescales or resizes.
Each map is divided by its own maximum, so a constant factor doesn't count; the difference is the largest one of a cell.
Methods of hundreds of passes are compared at a layer of 64 channels. Random numbers are the same on both sides.

It needs the peers (`pip install .[bench]`) and the assets' weights and photos: `--assets`, `FUNCAM_ASSETS` or
`../shared/assets`.
"""

from __future__ import annotations

import argparse
import inspect
import json
import logging
import os
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT / "tests" / "helpers") not in sys.path:  # a script; pytest has put it there
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

os.environ.setdefault("TQDM_DISABLE", "1")  # grad-cam draws progress bars

from pages import filled  # noqa: E402

import funcam  # noqa: E402
from benchmarks.files import put  # noqa: E402
from funcam.methods import METHODS, Method  # noqa: E402

REPORT = ROOT / "benchmarks" / "results" / "parity.json"
PAGE = ROOT / "docs" / "methods.md"
AGREES = 1e-3
PEERS = {"grad-cam": "grad-cam", "torchcam": "torchcam", "captum": "captum"}
PHOTOS = {"seed/pic1.jpg": 282, "peer/dog_cat.jfif": 207}  # a tiger cat, a golden retriever
Report = dict[str, Any]


def scenes(assets: Path) -> dict[str, list[Any]]:
    """The places where methods are compared, in groups."""
    import torch
    import torchvision
    from parity_peers import Scene
    from photos import NETWORKS, network_input

    images = torch.cat([network_input(assets / "photos" / name) for name in PHOTOS])
    classes = list(PHOTOS.values())

    def real(name: str, layer: str = "") -> Scene:
        model = torchvision.models.get_model(name, weights=None)
        model.load_state_dict(torch.load(assets / "weights" / f"{name}.pth", weights_only=True))
        return Scene(f"{name} {layer}".strip(), model.eval(), layer or NETWORKS[name], images, classes)

    last = [real(name) for name in NETWORKS]
    return {
        "last feature maps": last,
        "linear heads": last[:2],
        "a narrow layer": [real("squeezenet1_1", "features.12.squeeze_activation")],
        "a layer without ReLU": [real("mobilenet_v2", "features.4")],
        "a vision transformer": [Scene("vit", small_transformer(300), "encoder", images, classes)],
    }


def small_transformer(classes: int, size: int = 224, patch: int = 32) -> Any:
    """torchvision's VisionTransformer with random weights: no peer's assets hold real ones."""
    import torch
    from torchvision.models import VisionTransformer

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = VisionTransformer(size, patch, 4, 4, 64, 128, num_classes=classes)
        torch.nn.init.normal_(model.heads.head.weight, std=0.1)  # torchvision starts it at zero
    return model.eval()


def measure(places: dict[str, list[Any]]) -> list[Report]:
    """Every pair of a method and a peer that has it, with the differences in each place."""
    from parity_pairs import COUNTERPARTS

    pairs = []
    for peer, methods in COUNTERPARTS.items():
        for method, how in methods.items():
            start = time.perf_counter()
            chosen = [scene for group in how.where for scene in places[group]]
            found = {scene.name: how.compare(method, scene) for scene in chosen}
            pair: Report = {"method": method, "peer": peer, "options": dict(how.options), "differences": found}
            if how.instead:
                pair["instead"] = dict(how.instead)
                pair["differences instead"] = {s.name: how.compare(method, s, **how.instead) for s in chosen}
            pair["why"] = how.why
            pairs.append(pair)
            print(f"{method:24}{peer:10}{verdict(pair):100}{time.perf_counter() - start:6.1f} s", flush=True)
    return pairs


def verdict(pair: Report) -> str:
    """A cell of the table: whether they agree, else by how much they differ, where and why."""
    worst = {place: max(values) for place, values in pair["differences"].items()}
    apart = {place: value for place, value in worst.items() if value >= AGREES}
    alike = [value for place, value in worst.items() if place not in apart]
    if not apart:
        return _agrees(max(alike))
    percent = 100 * max(apart.values())
    text = f"differs {percent:.0f} %" if percent >= 10 else f"differs {percent:.1g} %"
    if alike:
        text = f"{_agrees(max(alike))}, but on {', '.join(apart)} {text}"
    text += f": {pair['why']}"
    if "instead" in pair:
        options = ", ".join(f"`{name}={value}`" for name, value in pair["instead"].items())
        text += f"; with {options} {_agrees(max(map(max, pair['differences instead'].values())))}"
    return text


def _agrees(worst: float) -> str:
    return f"agrees ({worst:.0e})" if worst else "agrees (exactly)"


def function_name(method: Method) -> str:
    """The public function of a method: its name as Python spells it."""
    return method.name.replace("++", "-pp").replace("-", "_")


def what_is_given(method: Method) -> list[str]:
    """What the public function is given, in its order: what the table says, and whatever it takes besides."""
    parameters = inspect.signature(getattr(funcam, function_name(method))).parameters.values()
    positional = [parameter.name for parameter in parameters if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    return [*method.takes, *positional[len(method.takes) :]]


def methods_table() -> str:
    """What every method is, from the table of methods and the functions' own keywords."""
    from funcam.attribution.dispatch import resolve_method

    lines = ["| name | function | given | options | what it does | paper |", "| --- | --- | --- | --- | --- | --- |"]
    for method in METHODS.values():
        defaults = resolve_method(method.name, {}, False).options
        options = ", ".join(f"`{name}={value!r}`" for name, value in defaults.items())
        given = ", ".join(f"`{name}`" for name in what_is_given(method))
        function = f"`funcam.{function_name(method)}`"
        lines.append(
            f"| `{method.name}` | {function} | {given} | {options or '-'} | {method.summary} | {method.paper} |"
        )
    return "\n".join(lines)


def parity_table(report: Report) -> str:
    """A row for each method, a column for each peer."""
    cells = {(pair["method"], pair["peer"]): verdict(pair) for pair in report["pairs"]}
    lines = [
        "| method | " + " | ".join(f"{peer} {report['versions'][name]}" for peer, name in PEERS.items()) + " |",
        "| --- " * (len(PEERS) + 1) + "|",
    ]
    for name in METHODS:
        lines.append(f"| `{name}` | " + " | ".join(cells.get((name, peer), "-") for peer in PEERS) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path, default=os.environ.get("FUNCAM_ASSETS", ROOT.parent / "shared/assets"))
    parser.add_argument("--tables", action="store_true", help="only write the tables again")
    given = parser.parse_args()
    if not given.tables:
        warnings.simplefilter("ignore")  # the peers' own
        logging.getLogger("torchcam").setLevel(logging.ERROR)
        versions = {name: version(name) for name in ("torch", "torchvision", *PEERS.values())}
        report = {
            "command": "python benchmarks/parity.py",
            "versions": {"funcam": funcam.__version__, **versions},
            "photos": PHOTOS,
            "agrees below": AGREES,
            "pairs": measure(scenes(given.assets)),
        }
        put(REPORT, json.dumps(report, indent=1) + "\n")
    tables = {"methods": methods_table(), "parity": parity_table(json.loads(REPORT.read_text()))}
    put(PAGE, filled(PAGE.read_text(), tables))


if __name__ == "__main__":
    main()
