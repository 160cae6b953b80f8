"""funcam: class activation maps for PyTorch as pure functions.

    split = funcam.split(model, layer)            # cut the model; reusable, thread-safe
    A, head = split(images)                       # features, and the rest of the network as a pure function
    result = funcam.explain(model, images)        # the maps of the predicted classes

Names are imported when they are first used, so that ``import funcam`` (and the command line's help) needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from funcam.errors import FuncamError

if TYPE_CHECKING:
    from funcam.cutting import Layer, Split, list_layers, split
    from funcam.explanation import Explanation, explain, explain_methods
    from funcam.guidance import Guided, guided, guided_backprop
    from funcam.maps import rescale, upsample
    from funcam.methods import METHODS
    from funcam.methods.gradient import grad_cam, grad_cam_pp, grad_cam_pp_normalised, guided_grad_cam

__version__ = "0.1.0"

__all__ = [
    "METHODS",
    "Explanation",
    "FuncamError",
    "Guided",
    "Layer",
    "Split",
    "explain",
    "explain_methods",
    "grad_cam",
    "grad_cam_pp",
    "grad_cam_pp_normalised",
    "guided",
    "guided_backprop",
    "guided_grad_cam",
    "list_layers",
    "rescale",
    "split",
    "upsample",
]

_HOMES = {
    "METHODS": "methods",
    "Explanation": "explanation",
    "Guided": "guidance",
    "Split": "cutting",
    "explain": "explanation",
    "explain_methods": "explanation",
    "grad_cam": "methods.gradient",
    "grad_cam_pp": "methods.gradient",
    "grad_cam_pp_normalised": "methods.gradient",
    "guided": "guidance",
    "guided_backprop": "guidance",
    "guided_grad_cam": "methods.gradient",
    "Layer": "cutting",
    "list_layers": "cutting",
    "rescale": "maps",
    "split": "cutting",
    "upsample": "maps",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'funcam' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"funcam.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
