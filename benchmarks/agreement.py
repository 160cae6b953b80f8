"""How well the fast path agrees with the eager float32 maps, over photos: the worst photo, and the usual one.

    python benchmarks/agreement.py PHOTOS --net shufflenet_v2_x1_0=FILE --net mobilenet_v2=FILE --json RESULTS

Each photo is squashed onto the network's input; explained is the class that the eager network predicts. A correlation
is Pearson's over a map's cells; a difference is the largest over them, as a share of the eager map's largest value.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import funcam
from funcam.imaging.fit import fit_image
from funcam.imaging.reading import find_images, read_image
from funcam.zoo.nets import load_net
from funcam.zoo.preprocessing import normalised

TYPES: dict[str, torch.dtype | None] = {"float32": None, "bfloat16": torch.bfloat16}
BATCH = 8


def main() -> None:
    """Measure the networks that were named, over all photos."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", nargs="+", help="files and folders")
    parser.add_argument("--net", action="append", required=True, help="NAME=FILE of weights")
    parser.add_argument("--method", default="grad-cam")
    parser.add_argument("--not-compiled", action="store_true", help="folded and channels_last only")
    parser.add_argument("--json", type=Path, help="where the figures are written")
    options = parser.parse_args()
    paths = find_images(options.photos).paths
    found: dict[str, Any] = {"photos": len(paths), "method": options.method, "torch": torch.__version__, "nets": {}}
    backend = None if options.not_compiled else "inductor"
    for name, _, weights in (each.partition("=") for each in options.net):
        net = load_net(name, weights)
        images = normalised(net, [fit_image(read_image(path), net.input_size, "squash")[0] for path in paths], "cpu")
        for kind, dtype in TYPES.items():
            figures = agreement_over(net.model, images, dtype, backend, options.method)
            found["nets"].setdefault(name, {})[kind] = told(*figures)
            print(name, kind, found["nets"][name][kind], file=sys.stderr)
    print(json.dumps(found, indent=1))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


def agreement_over(
    model: nn.Module, images: torch.Tensor, dtype: torch.dtype | None, backend: str | None, method: str = "grad-cam"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The correlation and the difference of each image's map.

    Args:
        model: a network.
        images: as it takes them.
        dtype: of the prepared one; None for float32.
        backend: what compiles it; None for nothing.
        method: by its name.
    """
    classes = torch.cat([_predicted(model, batch) for batch in images.split(BATCH)])
    given, told = images[:BATCH], classes[:BATCH].tolist()
    fast = funcam.prepare(model, example=given, targets=told, method=method, dtype=dtype, backend=backend)
    pairs = list(_pairs(model, fast, images, classes, method))
    return np.array([_correlation(*pair) for pair in pairs]), np.array([_difference(*pair) for pair in pairs])


def told(correlations: NDArray[np.float64], differences: NDArray[np.float64]) -> dict[str, float]:
    """The worst, and the medians."""
    return {
        "lowest correlation": round(float(correlations.min()), 6),
        "median correlation": round(float(np.median(correlations)), 6),
        "largest difference": float(f"{differences.max():.2g}"),
        "median difference": float(f"{np.median(differences):.2g}"),
    }


def _predicted(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(images).argmax(1)
        return found


def _pairs(
    model: nn.Module,
    fast: Callable[..., funcam.Explanation],
    images: torch.Tensor,
    classes: torch.Tensor,
    method: str,
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """The fast and the eager map of each image; what is left of the last batch is filled up with the first images."""
    for first in range(0, len(images), BATCH):
        index = torch.arange(first, first + BATCH) % len(images)
        ours = fast(images[index], classes[index]).maps
        exact = funcam.explain(model, images[index], classes[index], method=method).maps
        for one, other in list(zip(ours, exact, strict=True))[: len(images) - first]:
            yield one.flatten().double().numpy(), other.flatten().double().numpy()


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(np.corrcoef(one, other)[0, 1])


def _difference(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(np.abs(one - other).max() / np.abs(other).max())


if __name__ == "__main__":
    main()
