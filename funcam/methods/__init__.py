"""The table of methods. It drives the API, `funcam methods`, the documentation and the tests; it needs no torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from funcam.errors import FuncamError, nearest_or_listed, shown


@dataclass(frozen=True)
class Method:
    """One line of the table.

    Attributes:
        name: the name on the command line and in `explain(method=...)`.
        title: the name in pictures and tables.
        home: where the function is, `module:function`.
        takes: what the function is given, in its order (`funcam.attribution.quantities`). With
            `head` or `network` it is for one image and all scores at once, else for one image and one score.
        gives: `map` (`[*S]`, on the layer's grid), `heat` (`[*image size]`) or `pixels` (`[channels, *image
            size]`, signed).
        summary: what it does, in a line.
        paper: where it was published.
        options: what can be set besides the function's own keyword arguments, with the defaults.
        explains: what of a class the paper differentiates or measures: `logit`, `probability` or `logit and
            log-probability`.
        needs: what the model must have, if anything: `linear head`, `classes`.
        beware: when not to use it, where its map misleads; told with its results.
    """

    name: str
    title: str
    home: str
    takes: tuple[str, ...]
    gives: str
    summary: str
    paper: str
    options: Mapping[str, Any] = field(default_factory=dict)
    explains: str = "logit"
    needs: str = ""
    beware: str = ""

    @property
    def module(self) -> str:
        """The file of its family, in this folder."""
        return self.home.partition(":")[0]

    @property
    def function_name(self) -> str:
        """What its function is called, in its module and in `funcam`."""
        return self.home.partition(":")[2]

    def function(self) -> Callable[..., Any]:
        """The method itself."""
        module = importlib.import_module(f"funcam.methods.{self.module}")
        function: Callable[..., Any] = getattr(module, self.function_name)
        return function

    @property
    def whole(self) -> bool:
        """Whether it is given a function, and so is called for one image with all its scores."""
        return any(name in ("head", "network", "guided_network", "masked_network") for name in self.takes)

    @property
    def at_layer(self) -> bool:
        """Whether its values depend on the layer where the network is cut."""
        return any(name in ("A", "cam") for name in self.takes)


def _line(line: str, summary: str, paper: str, **more: Any) -> Method:
    title, name, home, arguments, gives = (part.strip() for part in line.split("|"))
    return Method(name, title, home, tuple(arguments.split()), gives, summary, paper, **more)


_GRAD_CAM_PP = "Chattopadhay et al., WACV 2018, arXiv:1710.11063"
_GRAD_CAM = "Selvaraju et al., ICCV 2017, arXiv:1610.02391"
_SCORE_CAM = "Wang et al., CVPR workshops 2020, arXiv:1910.01279"
_SAMPLES = {"samples": 10, "noise": 0.15, "seed": 0}

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        _line(
            "CAM | cam | gradient:cam | A g | map",
            "channels weighted by the row of the linear layer behind the pooling",
            "Zhou et al., CVPR 2016, arXiv:1512.04150",
            needs="linear head",
        ),
        _line(
            "Grad-CAM | grad-cam | gradient:grad_cam | A g | map",
            "channels weighted by the mean of their gradient",
            _GRAD_CAM,
        ),
        _line(
            "Grad-CAM++ | grad-cam++ | gradient:grad_cam_pp | A g | map",
            "channels weighted by their positive gradients, each cell by Eq. 19; covers several objects better",
            _GRAD_CAM_PP,
        ),
        _line(
            "Grad-CAM++ normalised | grad-cam++-normalised | gradient:grad_cam_pp_normalised | A g | map",
            "Grad-CAM++ as in the authors' code, which divides each channel's alphas by their sum",
            _GRAD_CAM_PP,
        ),
        _line(
            "Smooth Grad-CAM++ | smooth-grad-cam++ | gradient:smooth_grad_cam_pp | A noisy_g | map",
            "Grad-CAM++ from gradients averaged over noisy copies of the image",
            "Omeiza et al., 2019, arXiv:1908.01224",
            options=_SAMPLES,
        ),
        _line(
            "XGrad-CAM | xgrad-cam | gradient:xgrad_cam | A g | map",
            "channels weighted by their gradient, averaged where they are active",
            "Fu et al., BMVC 2020, arXiv:2008.02312",
        ),
        _line(
            "HiResCAM | hires-cam | gradient:hires_cam | A g | map",
            "gradient times features, cell by cell: exactly what a linear head adds up",
            "Draelos and Carin, 2020, arXiv:2011.08891",
        ),
        _line(
            "Element-wise Grad-CAM | element-wise-grad-cam | gradient:element_wise_grad_cam | A g | map",
            "the positive part of gradient times features",
            "element-wise variant of Selvaraju et al., arXiv:1610.02391 (in pytorch-grad-cam)",
        ),
        _line(
            "LayerCAM | layer-cam | gradient:layer_cam | A g | map",
            "features weighted by their positive gradients, cell by cell; sharp at early layers",
            "Jiang et al., IEEE TIP 2021, doi:10.1109/TIP.2021.3089943",
        ),
        _line(
            "ShapleyCAM | shapley-cam | gradient:shapley_cam | A g h | map",
            "Grad-CAM with the second-order term of the Shapley value (a Hessian-vector product)",
            "Cai, 2025, arXiv:2501.06261",
            explains="logit and log-probability",
        ),
        _line(
            "Finer-CAM | finer-cam | gradient:finer_cam | A g similar_g | map",
            "Grad-CAM of a class against the classes most similar to it",
            "Zhang et al., CVPR 2025, arXiv:2501.11309",
            options={"similar": 3},
            needs="classes",
        ),
        _line(
            "Eigen-CAM | eigen-cam | features:eigen_cam | A | map",
            "the features projected on their first singular vector; the same for all classes",
            "Muhammad and Yeasin, IJCNN 2020, arXiv:2008.00299",
        ),
        _line(
            "EigenGrad-CAM | eigen-grad-cam | gradient:eigen_grad_cam | A g | map",
            "the first principal component of gradient times features",
            "class-dependent variant of Muhammad and Yeasin, arXiv:2008.00299 (in pytorch-grad-cam)",
        ),
        _line(
            "SegEigen-CAM | seg-eigen-cam | gradient:seg_eigen_cam | A g | map",
            "the first principal component of features times the gradient's magnitude",
            "Chung and Ying, Applied Sciences 2025, doi:10.3390/app15137562",
        ),
        _line(
            "KPCA-CAM | kpca-cam | features:kpca_cam | A | map",
            "the first component of a kernel PCA of the features; the same for all classes",
            "Karmani et al., 2024, arXiv:2410.00267",
        ),
        _line(
            "FEM | fem | features:fem | A | map",
            "channels weighted by how often they stand out from their mean; the same for all classes",
            "Fuad et al., IPTA 2020, hal-02963298",
        ),
        _line(
            "Prototype CAM | prototype-cam | prototypes:prototype_cam | A g finer | map",
            "cells compared with the mean features of object and rest, also at a finer layer; for photos of one object",
            "funcam; prototypes after Xu et al. (CREAM), CVPR 2022, arXiv:2205.13922",
            beware="outlines the object and hardly tells classes apart: where a picture shows several, take grad-cam",
        ),
        _line(
            "DFF | dff | factorization:dff | head A | map",
            "of the image's non-negative factors the one that speaks most for the class",
            "Collins et al., ECCV 2018, arXiv:1806.10206",
        ),
        _line(
            "Ablation-CAM | ablation-cam | perturbation:ablation_cam | head A | map",
            "channels weighted by what the score loses without them; exact, through the head alone",
            "Desai and Ramaswamy, WACV 2020, doi:10.1109/WACV45572.2020.9093360",
        ),
        _line(
            "Score-CAM | score-cam | perturbation:score_cam | masked_network image A | map",
            "channels weighted by the score of the image masked with them (softmax over channels)",
            _SCORE_CAM,
        ),
        _line(
            "Score-CAM (authors) | score-cam-authors | perturbation:score_cam_authors | masked_network image A | map",
            "Score-CAM as in the authors' code: class probabilities as weights, no softmax over channels",
            _SCORE_CAM,
            explains="probability",
        ),
        _line(
            "SS-CAM | ss-cam | perturbation:ss_cam | masked_network image A | map",
            "Score-CAM averaged over noisy masks",
            "Wang et al., 2020, arXiv:2006.14255",
        ),
        _line(
            "IS-CAM | is-cam | perturbation:is_cam | masked_network image A | map",
            "Score-CAM integrated over the strength of the masks",
            "Naidu et al., 2020, arXiv:2010.03023",
        ),
        _line(
            "FullGrad | full-grad | network:full_grad | image_term bias_terms | heat",
            "input times gradient and every layer's bias times its gradient, added up at the image's resolution",
            "Srinivas and Fleuret, NeurIPS 2019, arXiv:1905.00780",
        ),
        _line(
            "LeGrad | le-grad | network:le_grad | attention_g | map",
            "positive gradients of every layer's attention, for Vision Transformers",
            "Bousselham et al., 2024, arXiv:2404.03214",
        ),
        _line(
            "Gradient | gradient | pixels:gradient | network image | pixels",
            "the image's gradient",
            "Simonyan et al., ICLR 2014 workshop, arXiv:1312.6034",
        ),
        _line(
            "SmoothGrad | smooth-grad | pixels:smooth_grad | network image | pixels",
            "the image's gradient, averaged over noisy copies",
            "Smilkov et al., 2017, arXiv:1706.03825",
        ),
        _line(
            "Input x gradient | input-x-gradient | pixels:input_x_gradient | network image | pixels",
            "the image times its gradient",
            "Shrikumar et al., 2016, arXiv:1605.01713",
        ),
        _line(
            "Guided backprop | guided-backprop | pixels:gradient | guided_network image | pixels",
            "the image's gradient with negative gradients stopped at every ReLU",
            "Springenberg et al., ICLR 2015 workshop, arXiv:1412.6806",
        ),
        _line(
            "Guided Grad-CAM | guided-grad-cam | gradient:guided_grad_cam | guided_g cam | pixels",
            "guided backpropagation where a map is bright",
            _GRAD_CAM,
            options={"cam": "grad-cam"},
        ),
        _line(
            "Random-CAM | random-cam | features:random_cam | A random | map",
            "channels weighted at random: the baseline that every method has to beat",
            "baseline (in pytorch-grad-cam)",
            options={"seed": 0},
        ),
    )
}


def find_method(name: str) -> Method:
    """The method of a name.

    Raises:
        FuncamError: there is none; the nearest names are given.

    Example:
        >>> find_method("grad-cam").paper
        'Selvaraju et al., ICCV 2017, arXiv:1610.02391'
    """
    if not isinstance(name, str):
        raise FuncamError(f"method {shown(name)} is no name; expected one that `funcam methods` lists, e.g. 'grad-cam'")
    if name not in METHODS:
        known = nearest_or_listed(name, METHODS, "`funcam methods` lists them all")
        raise FuncamError(f"unknown method {name!r}; {known}")
    return METHODS[name]
