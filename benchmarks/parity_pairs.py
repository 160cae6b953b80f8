"""Which method of funcam stands beside which class of a peer, how the two are compared, and why they differ."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from parity_peers import (
    Compute,
    Options,
    Scene,
    captums_smooth_grad,
    grad_cams_factors,
    grad_cams_finer,
    grad_cams_guided,
    grad_cams_random,
    of_captum,
    of_grad_cam,
    of_torchcam,
    ours_random,
    torchcams_le_grad,
    torchcams_smooth,
    torchcams_ss_cam,
)

from funcam.attribution.dispatch import resolve_method


@dataclass(frozen=True, eq=False)
class Counterpart:
    """How a peer computes a method.

    Attributes:
        theirs: the peer's values for a scene and funcam's options, `[B, *S]`.
        where: which groups of scenes to compare them in (`parity.scenes`).
        options: funcam's options for the comparison, where they are not its defaults.
        instead: funcam's options with which it does what the peer does, where it differs by default.
        signed: whether the sign of the values counts; else both are cut at zero, as the paper does.
        either_sign: whether the peer's sign is left to chance, so that its negative is as good.
        double: whether to compare in float64: where noise puts units on a ReLU's edge, rounding decides.
        ours: how funcam computes it, if not by `explain`.
        why: why it differs, in a few words.
    """

    theirs: Compute
    where: tuple[str, ...] = ("last feature maps",)
    options: Options = field(default_factory=dict)
    instead: Options = field(default_factory=dict)
    signed: bool = False
    either_sign: bool = False
    double: bool = False
    ours: Compute | None = None
    why: str = ""

    def settled(self, method: str, options: Options) -> dict[str, Any]:
        """All of the method's options, for the comparison."""
        return {**resolve_method(method, {}, False).options, **self.options, **options}

    def compare(self, method: str, scene: Scene, **options: Any) -> list[float]:
        """For each image the largest difference of a cell, both maps divided by their own maximum.

        Args:
            method: the method's name.
            scene: where.
            **options: funcam's, besides `self.options`.
        """
        scene = scene.double() if self.double else scene
        settled = self.settled(method, options)
        ours = self.ours(scene, settled) if self.ours else scene.ours(method, **self.options, **options)
        return difference(ours, self.theirs(scene, settled), signed=self.signed, either_sign=self.either_sign)


def difference(
    ours: torch.Tensor, theirs: torch.Tensor, *, signed: bool = False, either_sign: bool = False
) -> list[float]:
    """For each map `[*S]` of `[B, *S]` the largest difference of a cell, once each is divided by its maximum.

    Raises:
        ValueError: a map of ours is zero everywhere.
    """
    candidates = [theirs.to(ours.dtype), *([-theirs.to(ours.dtype)] if either_sign else [])]
    shown = _unit(ours if signed else ours.relu())
    if not (shown != 0).flatten(1).any(1).all():
        raise ValueError("a map is zero everywhere: there is nothing to compare; choose another layer, class or image")
    apart = [(shown - _unit(one if signed else one.relu())).abs().flatten(1).amax(1) for one in candidates]
    return [float(value) for value in torch.stack(apart).amin(0).detach()]


def _unit(maps: torch.Tensor) -> torch.Tensor:
    largest = maps.abs().flatten(1).amax(1).view(-1, *[1] * (maps.ndim - 1))
    return maps / torch.where(largest == 0, 1.0, largest)


_NARROW = ("a narrow layer",)
_SAMPLES = {"samples": 4, "noise": 0.15, "seed": 0}
_RELU6 = "its guided ReLU replaces `nn.ReLU` and misses `nn.ReLU6`"

COUNTERPARTS: dict[str, dict[str, Counterpart]] = {
    "grad-cam": {
        "grad-cam": Counterpart(of_grad_cam("GradCAM")),
        "grad-cam++": Counterpart(of_grad_cam("GradCAMPlusPlus"), why="adds 1e-6 to a divisor as small as that"),
        "xgrad-cam": Counterpart(of_grad_cam("XGradCAM")),
        "hires-cam": Counterpart(of_grad_cam("HiResCAM")),
        "element-wise-grad-cam": Counterpart(of_grad_cam("GradCAMElementWise")),
        "layer-cam": Counterpart(of_grad_cam("LayerCAM")),
        "shapley-cam": Counterpart(of_grad_cam("ShapleyCAM", target="ClassifierOutputReST")),
        "finer-cam": Counterpart(grad_cams_finer, why="weighs the similar classes by their probability"),
        "eigen-cam": Counterpart(
            of_grad_cam("EigenCAM"), either_sign=True, instead={"centre": True}, why="centres the features first"
        ),
        "eigen-grad-cam": Counterpart(of_grad_cam("EigenGradCAM"), signed=True, either_sign=True),
        "seg-eigen-cam": Counterpart(of_grad_cam("SegEigenCAM"), signed=True),
        "kpca-cam": Counterpart(of_grad_cam("KPCA_CAM"), signed=True, either_sign=True),
        "fem": Counterpart(of_grad_cam("FEM")),
        "dff": Counterpart(
            grad_cams_factors, options={"factors": 5}, why="another start, another minimum of the same error"
        ),
        "ablation-cam": Counterpart(
            of_grad_cam("AblationCAM"),
            (*_NARROW, "a layer without ReLU"),
            why="where features may be negative it sets a channel to its minimum less 1e7, not to zero",
        ),
        "score-cam": Counterpart(of_grad_cam("ScoreCAM"), _NARROW, why="aligns the corners in upsampling"),
        "full-grad": Counterpart(
            of_grad_cam("FullGrad", at="compute_cam_per_layer"), why="rescales every channel to 0..1 alone"
        ),
        "guided-backprop": Counterpart(grad_cams_guided, signed=True, why=_RELU6),
        "random-cam": Counterpart(grad_cams_random, ours=ours_random),
    },
    "torchcam": {
        "cam": Counterpart(of_torchcam("CAM"), ("linear heads",)),
        "grad-cam": Counterpart(of_torchcam("GradCAM")),
        "grad-cam++": Counterpart(of_torchcam("GradCAMpp"), why="its division is lost, alpha stays g^2"),
        "smooth-grad-cam++": Counterpart(
            torchcams_smooth, options=_SAMPLES, why="sum(A D3) for sum(A) D3; A and g of the last noisy copy"
        ),
        "xgrad-cam": Counterpart(of_torchcam("XGradCAM")),
        "layer-cam": Counterpart(of_torchcam("LayerCAM")),
        "finer-cam": Counterpart(of_torchcam("FinerCAM", lambda options: {"gamma": options["gamma"]})),
        "score-cam": Counterpart(of_torchcam("ScoreCAM"), _NARROW, why="brings masks to 0..1 before upsampling them"),
        "ss-cam": Counterpart(
            torchcams_ss_cam,
            _NARROW,
            {"samples": 4, "noise": 2.0, "seed": 0},
            why="brings masks to 0..1 before upsampling them",
        ),
        "is-cam": Counterpart(
            of_torchcam("ISCAM", lambda options: {"num_samples": options["samples"]}),
            _NARROW,
            {"samples": 10},
            why="adds the steps of the integral up; brings masks to 0..1 before upsampling them",
        ),
        "le-grad": Counterpart(
            torchcams_le_grad, ("a vision transformer",), why="classifies the mean of the tokens, not the class token"
        ),
    },
    "captum": {
        "grad-cam": Counterpart(of_captum("LayerGradCam", layer=True, of_layer=True)),
        "hires-cam": Counterpart(of_captum("LayerGradientXActivation", layer=True, of_layer=True)),
        "gradient": Counterpart(of_captum("Saliency", abs=False), signed=True),
        "smooth-grad": Counterpart(captums_smooth_grad, options=_SAMPLES, signed=True, double=True),
        "input-x-gradient": Counterpart(of_captum("InputXGradient"), signed=True),
        "guided-backprop": Counterpart(of_captum("GuidedBackprop"), signed=True, why=_RELU6),
        "guided-grad-cam": Counterpart(
            of_captum("GuidedGradCam", layer=True, interpolate_mode="bilinear"), signed=True, why=_RELU6
        ),
    },
}
"""Peer -> method -> how the peer computes it."""
