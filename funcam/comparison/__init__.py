"""Comparing networks, layers and methods over a data set: what is measured, kept, summed up and told.

    examples = scene_examples(500)                       # or image_examples(paths, truths)
    rivals = [Rival("scenes", funcam.zoo.nets.load_net("scenes"))]
    result = compare(rivals, examples, Plan(Recipe(("grad-cam", "grad-cam++"))), folder)
    result.rows, result.pairs, result.conclusions

Names are imported when they are first used, so that the command line's help needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from funcam.comparison.dataset import Example, image_examples, scene_examples
    from funcam.comparison.findings import ComparisonResult
    from funcam.comparison.plan import METRICS, Plan, Rival
    from funcam.comparison.run import compare

__all__ = ["METRICS", "ComparisonResult", "Example", "Plan", "Rival", "compare", "image_examples", "scene_examples"]

_HOMES = {
    "plan": ("METRICS", "Plan", "Rival"),
    "findings": ("ComparisonResult",),
    "run": ("compare",),
    "dataset": ("Example", "image_examples", "scene_examples"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'funcam.comparison' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"funcam.comparison.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value
