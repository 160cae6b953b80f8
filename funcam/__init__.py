"""funcam: class activation maps for PyTorch as pure functions.

    net = funcam.load_net("resnet50")             # a network, its classes, and how it takes pictures
    funcam.explain(net, "dog.jpg").save("cam.png")

    split = funcam.split(model, layer)            # cut the model; reusable, thread-safe
    A, head = split(images)                       # features, and the rest of the network as a pure function
    result = funcam.explain(model, images)        # the maps of the predicted classes

Names are imported when they are first used, so that `import funcam` (and the command line's help) needs no torch.
The functions of the methods come from their table: a method that stands there stands here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from funcam.errors import FuncamError as FuncamError
from funcam.errors import FuncamWarning as FuncamWarning
from funcam.methods import METHODS

if TYPE_CHECKING:  # what type checkers see; `as` (and `*`) says that it is public here
    from funcam.attribution.explanation import Explanation as Explanation
    from funcam.attribution.explanation import explain as explain
    from funcam.attribution.explanation import explain_methods as explain_methods
    from funcam.attribution.prepared import Prepared as Prepared
    from funcam.attribution.preparing import prepare as prepare
    from funcam.attribution.smoothing import augmented as augmented
    from funcam.exporting.exports import Exported as Exported
    from funcam.exporting.exports import export as export
    from funcam.imaging.fit import View as View
    from funcam.imaging.fit import fit_image as fit_image
    from funcam.imaging.fit import onto_image as onto_image
    from funcam.imaging.given import as_image as as_image
    from funcam.imaging.panel import PanelRow as PanelRow
    from funcam.imaging.panel import panel as panel
    from funcam.imaging.reading import read_image as read_image
    from funcam.imaging.render import heatmap as heatmap
    from funcam.imaging.render import overlay as overlay
    from funcam.imaging.render import save_picture as save_picture
    from funcam.live.serving import app as app
    from funcam.maps import combine_maps as combine_maps
    from funcam.maps import rescale as rescale
    from funcam.maps import upsample as upsample
    from funcam.methods.factorization import *
    from funcam.methods.features import *
    from funcam.methods.gradient import *
    from funcam.methods.network import *
    from funcam.methods.perturbation import *
    from funcam.methods.pixels import *
    from funcam.methods.prototypes import *
    from funcam.methods.reduce import *
    from funcam.network.cutting import Layer as Layer
    from funcam.network.cutting import Split as Split
    from funcam.network.cutting import split as split
    from funcam.network.detection import detector as detector
    from funcam.network.layout import Layout as Layout
    from funcam.network.listing import list_layers as list_layers
    from funcam.network.rewrites.guidance import Guided as Guided
    from funcam.network.rewrites.guidance import guided as guided
    from funcam.targets.boxes import box_score as box_score
    from funcam.targets.class_scores import contrast as contrast
    from funcam.targets.class_scores import counterfactual as counterfactual
    from funcam.targets.class_scores import log_probability as log_probability
    from funcam.targets.class_scores import probability as probability
    from funcam.targets.target import logits_of as logits_of
    from funcam.targets.tasks import regression as regression
    from funcam.targets.tasks import segmentation as segmentation
    from funcam.targets.tasks import similarity as similarity
    from funcam.zoo.batches import Batch as Batch
    from funcam.zoo.batches import fit_images as fit_images
    from funcam.zoo.net import Net as Net
    from funcam.zoo.nets import load_net as load_net
    from funcam.zoo.own import own_net as own_net

__version__ = "0.1.0"

_HOMES = {
    "attribution.explanation": ("Explanation", "explain", "explain_methods"),
    "attribution.prepared": ("Prepared",),
    "attribution.preparing": ("prepare",),
    "attribution.smoothing": ("augmented",),
    "exporting.exports": ("Exported", "export"),
    "imaging.fit": ("View", "fit_image", "onto_image"),
    "imaging.given": ("as_image",),
    "imaging.panel": ("PanelRow", "panel"),
    "imaging.reading": ("read_image",),
    "imaging.render": ("heatmap", "overlay", "save_picture"),
    "live.serving": ("app",),
    "maps": ("combine_maps", "rescale", "upsample"),
    "methods.factorization": ("deep_feature_factorization",),
    "methods.pixels": ("guided_backprop",),
    "methods.reduce": ("eigen_smoothed", "first_component", "positive_sum", "signed_sum"),
    "network.cutting": ("Layer", "Split", "split"),
    "network.layout": ("Layout",),
    "network.listing": ("list_layers",),
    "network.detection": ("detector",),
    "network.rewrites.guidance": ("Guided", "guided"),
    "targets.boxes": ("box_score",),
    "targets.class_scores": ("contrast", "counterfactual", "log_probability", "probability"),
    "targets.target": ("logits_of",),
    "targets.tasks": ("regression", "segmentation", "similarity"),
    "zoo.batches": ("Batch", "fit_images"),
    "zoo.net": ("Net",),
    "zoo.nets": ("load_net",),
    "zoo.own": ("own_net",),
}
_HOME_OF = {method.function_name: f"methods.{method.module}" for method in METHODS.values()} | {
    name: home for home, names in _HOMES.items() for name in names
}

__all__ = sorted(("METHODS", "FuncamError", "FuncamWarning", *_HOME_OF))


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'funcam' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"funcam.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
