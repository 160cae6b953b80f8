"""Functions of the outputs that hold something for each image: the maps of each image explained alone."""

from __future__ import annotations

import pytest
import torch
from explanation_cases import HERE, IMAGES
from small import small
from torch.nn import functional

import funcam
from funcam import FuncamError

LABELS = torch.tensor([1, 4, 2])
WEIGHTS = torch.randn(3, 5, generator=torch.Generator().manual_seed(3))
FUNCTIONS = {
    "index": lambda z: z[torch.arange(3), LABELS],
    "gather": lambda z: z.gather(1, LABELS[:, None]),
    "loss": lambda z: -functional.cross_entropy(z, LABELS, reduction="none"),
    "list": lambda z: torch.stack([row[label] for row, label in zip(z, LABELS, strict=False)]),
    "weights": lambda z: (z * WEIGHTS).sum(1),
    "written": lambda z: z.mul_(2)[torch.arange(3), LABELS],
}
ALONE = {
    "loss": lambda z, i: z.log_softmax(1)[:, LABELS[i]],
    "weights": lambda z, i: (z * WEIGHTS[i]).sum(1),
    "written": lambda z, i: 2 * z[:, LABELS[i]],
}
OPTIONS = {"ss-cam": {"samples": 3}, "is-cam": {"samples": 3}, "smooth-grad": {"samples": 3}}
FUNCTION_METHODS = ["ablation-cam", "score-cam", "gradient", "smooth-grad", "guided-backprop", "dff"]


def assert_each_is_its_own(method, function, kind, layer="blocks.0", images=IMAGES, model=None):
    model, options = model or small(), OPTIONS.get(method, {})
    one = ALONE.get(kind, lambda z, i: z[:, LABELS[i]])
    places = {} if method in ("gradient", "smooth-grad", "guided-backprop") else {"layer": layer}
    found = funcam.explain(model, images, function, method=method, **places, **options).maps
    for i in range(len(images)):
        alone = funcam.explain(model, images[i : i + 1], lambda z, i=i: one(z, i), method=method, **places, **options)
        got = found[i : i + 1] if kind != "gather" else found[i : i + 1, 0]
        torch.testing.assert_close(got, alone.maps, rtol=1e-3, atol=1e-5 * float(alone.maps.abs().max()))


@pytest.mark.parametrize("kind", FUNCTIONS)
@pytest.mark.parametrize(
    "method", [pytest.param(name, marks=pytest.mark.slow) if name == "dff" else name for name in FUNCTION_METHODS]
)
def test_an_image_of_the_batch_has_the_map_that_it_has_alone(method, kind):
    assert_each_is_its_own(method, FUNCTIONS[kind], kind)


@pytest.mark.slow
@pytest.mark.parametrize("method", [m for m in HERE if m not in (*FUNCTION_METHODS, "cam", "finer-cam", "random-cam")])
def test_so_it_is_of_all_methods(method):
    places = method not in ("full-grad", "input-x-gradient")
    assert_each_is_its_own(method, FUNCTIONS["weights"], "weights", layer="blocks.0" if places else None)


@pytest.mark.parametrize("method", ["score-cam", "smooth-grad"])
def test_as_many_images_as_rows_of_one(method):
    """So that what is held for the images would fit the rows of one of them."""
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    assert_each_is_its_own(method, FUNCTIONS["weights"], "weights", images=images)
    one = funcam.explain(small(), images[:1], lambda z: z[0, 3][None], layer="blocks.0", method="score-cam")
    same = funcam.explain(small(), images[:1], 3, layer="blocks.0", method="score-cam")
    torch.testing.assert_close(one.maps, same.maps)


def test_code_that_runs_by_taps_has_them_too():
    for kind in ("index", "weights"):
        for method in ("ablation-cam", "score-cam"):
            split = funcam.split(small(), "blocks.0", via="tap")
            assert_each_is_its_own(method, FUNCTIONS[kind], kind, layer=None, model=split)


@pytest.mark.parametrize(
    "function",
    [
        lambda z: z[:, 0].flip(0),
        lambda z: z[:, 0] + z[:, 1].sum(),
        lambda z: z.softmax(0)[:, 0],
        lambda z: z[:, 0] - z[:1, 0],
        lambda z: (z - z.mean(0))[:, :2],
    ],
)
def test_a_gradient_of_scores_that_are_made_of_other_images_is_refused(function):
    with pytest.raises(FuncamError, match="for other images, too"):
        funcam.explain(small(), IMAGES, function, layer="blocks")
    funcam.explain(small(), IMAGES[:1], function, layer="blocks.0")  # one image has no others
    detached = funcam.explain(small(), IMAGES, lambda z: z[:, 0] - z[:1, 0].detach(), layer="blocks")
    torch.testing.assert_close(detached.maps, funcam.explain(small(), IMAGES, 0, layer="blocks").maps)


@pytest.mark.parametrize("layer", [None, "blocks"])
def test_scores_without_a_derivative_are_refused_at_a_named_layer_too(layer):
    for function in (lambda z: z[:, 0].detach(), lambda z: torch.ones(3), lambda z: z.argmax(1).float()):
        with pytest.raises(FuncamError, match="depends on nothing that"):
            funcam.explain(small(), IMAGES, function, layer=layer)


@pytest.mark.parametrize("method", ["grad-cam", "score-cam", "ablation-cam"])
def test_scores_are_floats(method):
    for function in (lambda z: z.argmax(1), lambda z: z[:, 0] > 0, lambda z: torch.complex(z[:, 0], z[:, 1])):
        with pytest.raises(FuncamError, match=r"returned type torch\.\w+; expected floats"):
            funcam.explain(small(), IMAGES, function, layer="blocks", method=method)


@pytest.mark.parametrize("method", ["grad-cam", "ablation-cam", "gradient"])
def test_a_batch_of_none_has_maps_of_none(method):
    for function, ours in ((lambda z: z[:, 0], ()), (lambda z: z[:, :2], (2,))):
        found = funcam.explain(small(), IMAGES[:0], function, method=method)
        assert found.maps.shape[: 1 + len(ours)] == (0, *ours)
