"""An argument for every parameter of every public metric, by the parameter's name: a new metric is covered as it is."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from metric_cases import Bend, photos

from funcam import metrics

FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: getattr(metrics, name) for name in metrics.__all__ if inspect.isfunction(getattr(metrics, name))
}
TAKEN: dict[str, dict[str, inspect.Parameter]] = {
    name: dict(inspect.signature(function).parameters) for name, function in FUNCTIONS.items()
}
PARAMETERS = [(name, parameter) for name in FUNCTIONS for parameter in TAKEN[name]]

COUNT, SIDE, CLASSES = 3, 8, 5


def with_parameter(*names: str) -> list[str]:
    """The functions that take all of these."""
    return [name for name in FUNCTIONS if set(names) <= set(TAKEN[name])]


@cache
def arguments() -> dict[str, Any]:
    """A good argument for each name of a parameter, the same for all functions."""
    images, maps = photos(count=COUNT, side=SIDE, seed=3)
    _, others = photos(count=COUNT, side=SIDE, seed=4)
    masks = torch.zeros(COUNT, 2, SIDE, SIDE, dtype=torch.bool)
    masks[:, 0, :3, :4] = masks[:, 1, 5:, 2:] = True
    boxes, valid = metrics.pad_boxes([[(0, 0, 4, 3), (2, 5, 8, 8)]] * COUNT)
    half = torch.full((COUNT,), 0.5)
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    return {
        "network": Bend(images[0].numel()),
        "images": images,
        "maps": maps,
        "attributions": maps,
        "targets": torch.tensor([3, 1, 4]),
        "labels": torch.tensor([3, 1, 4]),
        "others": others,
        "again": others,
        "masks": masks,
        "boxes": boxes,
        "valid": valid,
        "coherency": half,
        "complexity": half,
        "average_drop": half,
        "road": half,
        "before": half,
        "logits": torch.eye(COUNT, CLASSES),
        "overlaps": torch.rand(COUNT, 4),
        "counts": torch.ones(COUNT),
        "hits": torch.ones(COUNT, 2, 4, dtype=torch.bool),
        "pixels": torch.ones(COUNT, 2, 4),
        "scores": metrics.Confidence(half, half),
        "missing": masks[:, 0],
        "ignore": masks[:, 0],
        "model": model,
        "layers": ["0"],
        "size": (SIDE, SIDE),
        "count": 2,
        "device": "cpu",
        "dtype": torch.float64,
        "steps": 4,
        "patch": 2,
        "chunk": 7,
        "samples": 5,
        "n": 3,
        "bins": 10,
        "window": 3,
        "side": 3,
        "first": 2,
        "seed": 1,
        "sigma": 1.0,
        "noise": 0.1,
        "std": 0.1,
        "spread": 0.3,
        "tolerance": 1.0,
        "level": 0.4,
        "share": 0.5,
        "shares": (0.2, 0.5),
        "levels": (0.1, 0.5),
        "baseline": None,
        "scaled": True,
        "score": metrics.identity,
        "perturb": metrics.gaussian_noise(),
        "generator": None,
    }


_OWN: dict[tuple[str, str], Any] = {
    ("box_hits", "least"): (0.3, 0.5),
    ("top1_localisation_error", "least"): 0.5,
    ("removed_square", "baseline"): 0.5,
    ("pad_boxes", "boxes"): [[(0, 0, 1, 1)], []],
}


def argument(name: str, parameter: str) -> Any:
    """A good one for a parameter of a function."""
    return _OWN[name, parameter] if (name, parameter) in _OWN else arguments()[parameter]


def call(name: str, **changed: Any) -> tuple[torch.Tensor, ...]:
    """The tensors that a function gives for good arguments where it needs them, and these others."""
    needed = {p: argument(name, p) for p, v in TAKEN[name].items() if v.default is inspect.Parameter.empty}
    value = FUNCTIONS[name](**(needed | changed))
    return tuple(value) if isinstance(value, tuple) else (value,)
