"""The site's pictures, for light and dark pages: `python benchmarks/site_pictures.py` writes `docs/pictures/`.

A scene with several shapes, explained class by class with the network that comes with the package.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import numpy as np
from matplotlib import pyplot
from numpy.typing import NDArray

import funcam
from funcam.scenes import CLASSES, Scene, scene
from funcam.scenes.network import inputs
from funcam.zoo import load_net

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
INK = {"light": "#212529", "dark": "#e9ecef"}  # on the page's own ground: the pictures are transparent
SEED = 2
Tile = tuple[str, NDArray[np.float32] | None]


def shapes() -> list[str]:
    """The classes of the scene, the most likely first."""
    model = load_net("scenes").model
    there = {CLASSES[thing.label] for thing in _scene().things}
    order = model(inputs([_scene().image]))[0].argsort(descending=True)
    return [CLASSES[int(index)] for index in order if CLASSES[int(index)] in there]


def maps(method: str, names: Sequence[str]) -> NDArray[np.float32]:
    """The maps of these classes at the picture's size, in 0..1."""
    image = _scene().image
    classes = [[CLASSES.index(name) for name in names]]
    found = funcam.explain(load_net("scenes").model, inputs([image]), classes, method=method).maps[0]
    large = funcam.upsample(funcam.rescale(found.relu(), "per-map"), image.shape[:2])
    return np.asarray(large.detach().numpy(), np.float32)


def draw(name: str, rows: Sequence[Sequence[Tile]]) -> None:
    """Rows of tiles under their titles; a tile without a map is the image itself."""
    image = _scene().image
    for ground, ink in INK.items():
        size = (2.4 * len(rows[0]), (2.8 + 0.3 * rows[0][0][0].count("\n")) * len(rows))
        figure, axes = pyplot.subplots(len(rows), len(rows[0]), figsize=size, squeeze=False, layout="constrained")
        for axis, (title, heat) in zip(axes.flat, (tile for row in rows for tile in row), strict=True):
            axis.imshow(image)
            if heat is not None:
                axis.imshow(heat, cmap="inferno", alpha=0.25 + 0.6 * heat, vmin=0, vmax=1)
            axis.set_title(title, color=ink, fontsize=17)
            axis.axis("off")
        figure.savefig(FOLDER / f"{name}-{ground}.webp", transparent=True, dpi=100, pil_kwargs={"quality": 85})
        pyplot.close(figure)


def _scene() -> Scene:
    return scene(SEED, subset="multiple")


def main() -> None:
    """Write all of them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    names = shapes()
    found = {"Grad-CAM": maps("grad-cam", names), "Prototype CAM": maps("prototype-cam", names)}
    draw("classes", [[("the scene", None), *zip(names, found["Grad-CAM"], strict=True)]])
    draw(
        "prototype",
        [
            [(f"{title}\n{name}", heat) for name, heat in zip(names, heats, strict=True)]
            for title, heats in found.items()
        ],
    )


if __name__ == "__main__":
    main()
