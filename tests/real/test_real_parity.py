"""What the parity table says: where a peer agrees it does; where it differs funcam is the paper's formula, and why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from formulas import (
    Array,
    ablation_cam,
    eigen_cam,
    equation_19,
    features_and_gradient,
    finer_cam,
    full_grad,
    guided_backprop,
    guided_grad_cam,
    is_cam,
    score_cam,
    smooth_grad_cam_pp,
    ss_cam,
)
from parity import AGREES, PHOTOS, small_transformer
from parity_pairs import COUNTERPARTS, difference
from parity_peers import Options, Scene
from photos import network_input
from torch import nn

import funcam

for package in ("captum", "pytorch_grad_cam", "torchcam"):
    pytest.importorskip(package)

Formula = Callable[..., Array]
Scenes = Callable[[str], Scene]
PAIRS = [(peer, method) for peer, methods in COUNTERPARTS.items() for method in methods]
FORMULA_AGREES = 1e-4


@pytest.fixture(scope="module")
def scene(assets: Path, real_network: Callable[[str], nn.Module]) -> Scenes:
    """The places of the parity table, small: the costly ones with the 96 x 96 pixels around the cat."""
    images = torch.cat([network_input(assets / "photos" / name) for name in PHOTOS])
    classes = list(PHOTOS.values())
    small = images[:1, :, 115:211, 110:206]

    def make(group: str) -> Scene:
        if group == "a vision transformer":
            return Scene("vit", small_transformer(300, 112, 16), "encoder", images[..., ::2, ::2], classes)
        name, layer, given = {
            "last feature maps": ("squeezenet1_1", "features.12", images),
            "linear heads": ("shufflenet_v2_x1_0", "conv5", images),
            "a narrow layer": ("squeezenet1_1", "features.12.squeeze_activation", small),
            "a layer without ReLU": ("mobilenet_v2", "features.4", small),
            "every convolution": ("squeezenet1_1", "features.12", small),
            "six": ("mobilenet_v2", "features.18", small),
        }[group]
        return Scene(name, real_network(name), layer, given, classes[: len(given)])

    return make


class Difference(NamedTuple):
    """Where a peer differs: the paper's formula, what of it the peer changes, and where it shows."""

    formula: Formula
    change: dict[str, Any]
    place: str
    options: Options = {}  # noqa: RUF012 - read only


DIFFERS: dict[tuple[str, str], Difference] = {
    ("grad-cam", "grad-cam++"): Difference(equation_19, {"added": 1e-6}, "last feature maps"),
    ("torchcam", "grad-cam++"): Difference(equation_19, {"divided": False}, "last feature maps"),
    ("torchcam", "smooth-grad-cam++"): Difference(smooth_grad_cam_pp, {"as_torchcam": True}, "last feature maps"),
    ("grad-cam", "finer-cam"): Difference(finer_cam, {"weighted": True}, "last feature maps"),
    ("grad-cam", "eigen-cam"): Difference(eigen_cam, {"centred": True}, "last feature maps"),
    ("grad-cam", "ablation-cam"): Difference(ablation_cam, {"far_below": True}, "a layer without ReLU"),
    ("grad-cam", "score-cam"): Difference(score_cam, {"corners": True}, "a narrow layer"),
    ("torchcam", "score-cam"): Difference(score_cam, {"unit_first": True}, "a narrow layer"),
    ("torchcam", "ss-cam"): Difference(ss_cam, {"unit_first": True}, "a narrow layer", {"samples": 2, "noise": 0.5}),
    ("torchcam", "is-cam"): Difference(is_cam, {"as_torchcam": True}, "a narrow layer", {"samples": 2}),
    ("grad-cam", "full-grad"): Difference(full_grad, {"per_channel": True}, "every convolution"),
    ("grad-cam", "guided-backprop"): Difference(guided_backprop, {"plain": True}, "six"),
    ("captum", "guided-backprop"): Difference(guided_backprop, {"plain": True}, "six"),
    ("captum", "guided-grad-cam"): Difference(guided_grad_cam, {"plain": True}, "six"),
}
ROUGH = {"smooth-grad-cam++", "guided-backprop", "guided-grad-cam"}  # rounding decides at a pole or a ReLU's edge
WITHOUT_FORMULA = {("grad-cam", "dff"), ("torchcam", "le-grad")}  # tests of their own, below
# On these networks, without ReLU6 and behind a ReLU, the peers agree after all.
AGREES_ELSEWHERE = {("grad-cam", "guided-backprop"), ("captum", "guided-backprop"), ("captum", "guided-grad-cam")}
AGREES_ELSEWHERE |= {("grad-cam", "ablation-cam")}


@pytest.mark.parametrize(
    ("peer", "method"),
    [pair for pair in PAIRS if pair not in DIFFERS.keys() | WITHOUT_FORMULA or pair in AGREES_ELSEWHERE],
)
def test_they_agree(peer: str, method: str, scene: Scenes) -> None:
    how = COUNTERPARTS[peer][method]
    assert max(how.compare(method, scene(how.where[0]))) < AGREES


# Of the methods that pass the network for each channel Score-CAM is for each run, of those guided by ReLUs grad-cam's.
DEAR = {("grad-cam", "ablation-cam"), ("torchcam", "ss-cam"), ("torchcam", "is-cam")}
DEAR |= {("captum", "guided-backprop"), ("captum", "guided-grad-cam")}


@pytest.mark.parametrize(
    ("peer", "method"), [pytest.param(*pair, marks=pytest.mark.slow) if pair in DEAR else pair for pair in DIFFERS]
)
def test_funcam_is_the_formula_and_the_peer_differs_as_is_said(peer: str, method: str, scene: Scenes) -> None:
    """funcam is the paper's formula; the peer is not, but is the formula with the one change, both up to rounding."""
    how, case = COUNTERPARTS[peer][method], DIFFERS[peer, method]
    place, settled = scene(case.place), how.settled(method, case.options)
    place = place.double() if method in ROUGH else place
    formula = torch.as_tensor(case.formula(place, settled))
    changed = torch.as_tensor(case.formula(place, settled, **case.change))
    ours = place.ours(method, **{**how.options, **case.options})
    theirs = how.theirs(place, settled)
    assert max(difference(ours, formula, signed=how.signed)) < FORMULA_AGREES
    assert max(difference(formula, theirs, signed=how.signed, either_sign=how.either_sign)) > AGREES
    assert max(difference(changed, theirs, signed=how.signed, either_sign=how.either_sign)) < FORMULA_AGREES


def test_eigen_cam_agrees_once_it_is_centred(scene: Scenes) -> None:
    how = COUNTERPARTS["grad-cam"]["eigen-cam"]
    assert max(how.compare("eigen-cam", scene(how.where[0]), **how.instead)) < AGREES


def test_le_grad_agrees_once_the_class_token_is_classified(scene: Scenes) -> None:
    from torchcam.methods import LeGrad

    place = scene("a vision transformer")
    model = place.model
    with LeGrad(
        model, list(model.encoder.layers), score_projection=lambda tokens: model.heads(model.encoder.ln(tokens)[:, 0])
    ) as extractor:
        theirs = extractor(place.classes, model(place.images), normalized=False)[0].detach()
    assert max(difference(place.ours("le-grad"), theirs)) < AGREES
    assert max(COUNTERPARTS["torchcam"]["le-grad"].compare("le-grad", place)) > AGREES


def test_deep_feature_factorization_is_no_worse_than_grad_cams(scene: Scenes) -> None:
    """The paper minimises one error, which has many minima: what counts is how small it gets, in NumPy."""
    from pytorch_grad_cam.feature_factorization.deep_feature_factorization import dff

    place = scene("last feature maps")
    A, _ = features_and_gradient(place)
    found = funcam.deep_feature_factorization(torch.as_tensor(A), factors=5)
    ours = np.einsum("bfyx,fc->bcyx", found.maps.numpy(), found.concepts.numpy())
    concepts, maps = dff(A.copy(), n_components=5)
    theirs = np.einsum("bfyx,cf->bcyx", maps, concepts)
    assert found.maps.min() >= 0
    assert found.concepts.min() >= 0
    assert np.square(A - ours).sum() <= 1.001 * np.square(A - theirs).sum()
    assert max(COUNTERPARTS["grad-cam"]["dff"].compare("dff", place)) > AGREES


def test_the_table_says_why_where_and_only_where_they_differ() -> None:
    differing = {(peer, method) for peer, method in PAIRS if COUNTERPARTS[peer][method].why}
    assert differing == DIFFERS.keys() | WITHOUT_FORMULA


def test_a_difference_is_seen() -> None:
    """The yardstick itself: scale and chance signs don't count, all else does."""
    one = torch.tensor([[[0.0, 1.0, 2.0]]])
    assert difference(one, 7 * one) == [0.0]
    assert difference(one, torch.tensor([[[0.0, 1.5, 2.0]]])) == [0.25]
    assert difference(one, -one) == [1.0]
    assert difference(one, -one, signed=True) == [2.0]
    assert difference(one, -one, signed=True, either_sign=True) == [0.0]
