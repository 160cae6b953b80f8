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
    from funcam.explanation import Explanation, explain, explain_methods
    from funcam.maps import combine_maps, rescale, upsample
    from funcam.methods import METHODS
    from funcam.methods.factorization import deep_feature_factorization, dff
    from funcam.methods.features import eigen_cam, fem, kpca_cam, random_cam
    from funcam.methods.gradient import (
        cam,
        eigen_grad_cam,
        element_wise_grad_cam,
        finer_cam,
        grad_cam,
        grad_cam_pp,
        grad_cam_pp_normalised,
        guided_grad_cam,
        hires_cam,
        layer_cam,
        seg_eigen_cam,
        shapley_cam,
        smooth_grad_cam_pp,
        xgrad_cam,
    )
    from funcam.methods.network import full_grad, le_grad
    from funcam.methods.perturbation import ablation_cam, is_cam, score_cam, score_cam_authors, ss_cam
    from funcam.methods.pixels import gradient, input_x_gradient, smooth_grad
    from funcam.methods.prototypes import prototype_cam
    from funcam.methods.reduce import eigen_smoothed, first_component, positive_sum, signed_sum
    from funcam.network.cutting import Layer, Split, list_layers, split
    from funcam.network.detection import box_score, detector
    from funcam.network.guidance import Guided, guided, guided_backprop
    from funcam.rules import contrast, log_probability, probability
    from funcam.smoothing import augmented
    from funcam.targets import logits_of
    from funcam.tasks import regression, segmentation, similarity

__version__ = "0.1.0"

__all__ = [
    "METHODS",
    "Explanation",
    "FuncamError",
    "Guided",
    "Layer",
    "Split",
    "ablation_cam",
    "augmented",
    "box_score",
    "cam",
    "combine_maps",
    "contrast",
    "deep_feature_factorization",
    "detector",
    "dff",
    "eigen_cam",
    "eigen_grad_cam",
    "eigen_smoothed",
    "element_wise_grad_cam",
    "explain",
    "explain_methods",
    "fem",
    "finer_cam",
    "first_component",
    "full_grad",
    "grad_cam",
    "grad_cam_pp",
    "grad_cam_pp_normalised",
    "gradient",
    "guided",
    "guided_backprop",
    "guided_grad_cam",
    "hires_cam",
    "input_x_gradient",
    "is_cam",
    "kpca_cam",
    "layer_cam",
    "le_grad",
    "list_layers",
    "log_probability",
    "logits_of",
    "positive_sum",
    "probability",
    "prototype_cam",
    "random_cam",
    "regression",
    "rescale",
    "score_cam",
    "score_cam_authors",
    "seg_eigen_cam",
    "segmentation",
    "shapley_cam",
    "signed_sum",
    "similarity",
    "smooth_grad",
    "smooth_grad_cam_pp",
    "split",
    "ss_cam",
    "upsample",
    "xgrad_cam",
]

_HOMES = {
    "network.cutting": ("Layer", "Split", "list_layers", "split"),
    "network.detection": ("box_score", "detector"),
    "explanation": ("Explanation", "explain", "explain_methods"),
    "network.guidance": ("Guided", "guided", "guided_backprop"),
    "maps": ("combine_maps", "rescale", "upsample"),
    "methods": ("METHODS",),
    "methods.factorization": ("deep_feature_factorization", "dff"),
    "methods.features": ("eigen_cam", "fem", "kpca_cam", "random_cam"),
    "methods.prototypes": ("prototype_cam",),
    "methods.gradient": (
        "cam",
        "eigen_grad_cam",
        "element_wise_grad_cam",
        "finer_cam",
        "grad_cam",
        "grad_cam_pp",
        "grad_cam_pp_normalised",
        "guided_grad_cam",
        "hires_cam",
        "layer_cam",
        "seg_eigen_cam",
        "shapley_cam",
        "smooth_grad_cam_pp",
        "xgrad_cam",
    ),
    "methods.network": ("full_grad", "le_grad"),
    "methods.perturbation": ("ablation_cam", "is_cam", "score_cam", "score_cam_authors", "ss_cam"),
    "methods.pixels": ("gradient", "input_x_gradient", "smooth_grad"),
    "methods.reduce": ("eigen_smoothed", "first_component", "positive_sum", "signed_sum"),
    "smoothing": ("augmented",),
    "rules": ("contrast", "log_probability", "probability"),
    "targets": ("logits_of",),
    "tasks": ("regression", "segmentation", "similarity"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'funcam' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"funcam.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
