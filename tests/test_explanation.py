"""``explain``: shapes, chunks, transforms, types, and what it refuses."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from small import (
    Applied,
    Dense,
    Small,
    features_and_gradients,
    grad_cam_numpy,
    randomised,
    small,
    tiny_densenet,
    tiny_vit,
)
from torch import nn
from torch.nn import functional

import funcam
from funcam import METHODS, FuncamError, applying, case, ingredients

IMAGES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
MODEL = small()
HERE = [name for name in METHODS if name != "le-grad"]  # MODEL has no attention
CAMS = ["cam", "grad-cam", "grad-cam++", "grad-cam++-normalised", "hires-cam", "layer-cam"]
SPACE = {"map": (8, 8), "heat": (32, 32), "pixels": (3, 32, 32)}


# --- targets and shapes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", HERE)
@pytest.mark.parametrize("targets", [None, 2, [0, 1, 4], [[0, 1], [2, 3], [4, 4]], "all"])
def test_maps_have_the_shape_of_the_targets_and_each_is_that_of_its_class_alone(method, targets):
    result = funcam.explain(MODEL, IMAGES, targets, method=method)
    assert result.maps.shape == result.targets.shape + SPACE[METHODS[method].gives]
    assert result.scores.equal(MODEL(IMAGES).gather(1, result.targets.view(3, -1)).view(result.targets.shape))
    assert result.method == method
    assert result.layer == ("blocks" if METHODS[method].at_layer else "whole network")
    torch.testing.assert_close(result.logits, MODEL(IMAGES).detach())
    if targets is None:
        assert result.targets.equal(MODEL(IMAGES).argmax(1))
    columns = result.targets[:, None] if result.targets.ndim == 1 else result.targets
    maps = result.maps[:, None] if result.targets.ndim == 1 else result.maps
    for b, k in itertools.product(range(3), range(columns.shape[1])):
        alone = funcam.explain(MODEL, IMAGES[b : b + 1], [int(columns[b, k])], method=method).maps[0]
        torch.testing.assert_close(maps[b, k], alone, rtol=1e-4, atol=1e-6)
    assert result.maps.abs().sum() > 0 or method == "random-cam"


@settings(max_examples=25, deadline=None)
@given(classes=st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=3, max_size=3))
def test_grad_cam_is_plain_autograd_on_the_unsplit_model(classes):
    maps = funcam.explain(MODEL, IMAGES, classes).maps
    for k in range(3):
        raw, g = features_and_gradients(MODEL, "blocks.1", IMAGES, torch.tensor(classes)[:, k])
        np.testing.assert_allclose(maps[:, k], grad_cam_numpy(raw, g), rtol=1e-4, atol=1e-6)


def test_several_methods_share_their_passes(monkeypatch):
    calls = []
    pull = ingredients.pull
    monkeypatch.setattr(ingredients, "pull", lambda *args: calls.append(1) or pull(*args))
    funcam.explain_methods(MODEL, IMAGES, "all", methods=[*CAMS, "xgrad-cam", "eigen-cam", "guided-grad-cam"])
    assert len(calls) == 1


def test_several_methods_give_what_each_gives_alone():
    together = funcam.explain_methods(MODEL, IMAGES, "all", methods=HERE)
    assert [result.method for result in together] == HERE
    for result in together:
        alone = funcam.explain(MODEL, IMAGES, "all", method=result.method)
        torch.testing.assert_close(result.maps, alone.maps, rtol=1e-4, atol=1e-5)


# --- chunks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", HERE)
@pytest.mark.parametrize("memory", [1, 40_000, 150_000])
def test_chunks_give_the_same(method, memory):
    whole = funcam.explain(MODEL, IMAGES, "all", method=method, memory=2**30)
    parts = funcam.explain(MODEL, IMAGES, "all", method=method, memory=memory)
    torch.testing.assert_close(parts.maps, whole.maps, rtol=1e-4, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(memory=st.integers(1, 400_000), batch=st.integers(1, 3))
def test_no_chunk_takes_more_memory_than_was_allowed_unless_it_is_a_single_class(memory, batch):
    sizes = []
    pull = ingredients.pull

    def observed(pullback, cotangents):
        sizes.append(len(cotangents))
        (g,) = pull(pullback, cotangents)
        assert g.shape == (len(cotangents), batch, 6, 8, 8)
        assert len(cotangents) == 1 or g.numel() * g.element_size() <= memory
        return (g,)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ingredients, "pull", observed)
        maps = funcam.explain(MODEL, IMAGES[:batch], "all", memory=memory).maps
    assert maps.shape == (batch, 5, 8, 8)
    assert sum(sizes) == 5
    assert max(sizes) - min(sizes) < max(sizes) or len(set(sizes)) == 1
    if memory >= 4 * 5 * batch * 6 * 64 * 4:  # everything fits with room for the copies: one pass
        assert sizes == [5]


@pytest.mark.parametrize("method", ["guided-backprop", "ablation-cam", "score-cam"])
@pytest.mark.parametrize("memory", [1, 2**30])
def test_the_chunks_of_other_methods_are_bounded_too(method, memory, monkeypatch):
    chunks = []
    function = applying._FUNCTIONS[method]
    monkeypatch.setitem(
        applying._FUNCTIONS, method, lambda *args, chunk, **more: chunks.append(chunk) or function(*args, **more)
    )
    funcam.explain(MODEL, IMAGES, "all", method=method, memory=memory)
    assert set(chunks) == ({8 if method == "score-cam" else 32} if memory > 1 else {1})


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [None, "blocks.0"])
@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 32, 32), r"\[3, 32, 32\]"),
        (torch.zeros(32, 32), r"\[32, 32\].*expected a float tensor \[B, channels, \*size\]"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), r"\[1, 3, 32, 32\] and type torch.uint8; expected a float"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.long), r"type torch.int64; expected a float"),
        (torch.zeros(2, 4, 32, 32), r"\[2, 4, 32, 32\]"),
        (
            torch.zeros(1, 3, 32, 32, dtype=torch.float64),
            r"\[1, 3, 32, 32\] and type torch.float64.*(Double|double|type)",
        ),
        (np.zeros((1, 3, 32, 32), np.float32), r"\[1, 3, 32, 32\] and type float32; expected a float tensor"),
        (torch.zeros(1, 1, 3, 32, 32), r"\[1, 1, 3, 32, 32\]"),
    ],
)
def test_images_of_another_shape_or_type(layer, images, message):
    with pytest.raises(FuncamError, match=message) as caught:
        funcam.explain(MODEL, images, layer=layer)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("targets", [[0], [0, 1, 2, 3], [0.0, 1.0, 2.0], [0, 1, 5], [0, -1, 2], "every"])
def test_targets_that_do_not_fit(targets):
    with pytest.raises(FuncamError, match=r"target|class"):
        funcam.explain(MODEL, IMAGES, targets)


def test_an_unknown_method_and_an_unknown_layer():
    with pytest.raises(FuncamError, match="unknown method 'grad_cam'; nearest: 'grad-cam'"):
        funcam.explain(MODEL, IMAGES, method="grad_cam")
    with pytest.raises(FuncamError, match=r"layer 'block' is not in Small; nearest: 'blocks'"):
        funcam.explain(MODEL, IMAGES, layer="block")


@pytest.mark.parametrize("layer", ["fc", "drop"])
def test_a_layer_that_is_no_feature_map(layer):
    with pytest.raises(FuncamError, match=rf"layer '{layer}' is no feature map"):
        funcam.explain(MODEL, IMAGES, layer=layer)


def test_a_split_is_explained_where_it_was_split():
    cut = funcam.split(MODEL, "blocks.0")
    assert funcam.explain(cut, IMAGES, layer="blocks.0").layer == "blocks.0"
    with pytest.raises(FuncamError, match=r"split at 'blocks.0'; to explain it at 'stem'"):
        funcam.explain(cut, IMAGES, layer="stem")


class Segmenter(Small):
    def forward(self, x):
        return self.blocks(self.pool(self.stem(x)))


class Named(Small):
    def forward(self, x):
        return {"a": super().forward(x), "b": x}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Segmenter, r"returned shape \[3, 6, 8, 8\] for 3 images; expected logits \[3, N\].*function of the outputs"),
        (Named, r"returned a dict with 'a', 'b'; expected logits \[B, N\] in it: name them with output='KEY'"),
    ],
    ids=["map", "dict"],
)
def test_a_model_that_returns_no_logits(kind, message):
    model = randomised(kind()).eval()
    with pytest.raises(FuncamError, match=message):
        funcam.explain(model, IMAGES, layer="blocks.0")


def test_not_a_number_is_an_error_and_not_a_map():
    for layer in ("stem.0", "fc"):
        model = small()
        with torch.no_grad():
            model.get_submodule(layer).weight[0] = float("nan")
        with pytest.raises(
            FuncamError, match=r"grad-cam at 'blocks' is not finite \(NaN or infinity\).*NaN in the weights"
        ):
            funcam.explain(model, IMAGES)
    images = IMAGES.clone()
    images[1, 0, 0, 0] = float("inf")
    for method in CAMS:
        with pytest.raises(FuncamError, match="not finite"):
            funcam.explain(MODEL, images, method=method)


def test_a_map_that_is_zero_everywhere_is_returned():
    model = small()
    with torch.no_grad():
        model.fc.weight[3] = -model.fc.weight[3].abs()  # behind a ReLU: every weight and so the sum is negative
        model.fc.weight[4] = 0
    for target in (3, 4):
        result = funcam.explain(model, IMAGES, target)
        assert torch.equal(result.maps, torch.zeros(3, 8, 8))
        assert torch.equal(funcam.rescale(result.maps), torch.zeros(3, 8, 8))


def test_a_model_that_cannot_be_traced():
    class Moody(Small):
        def forward(self, x):
            return super().forward(x) if x.mean() > 0 else x

    with pytest.raises(FuncamError, match=r"Moody can't be traced: .*control flow"):
        funcam.explain(Moody(), IMAGES)


# --- modes, types, memory formats ------------------------------------------------------------------------------------


def everything_frozen():
    return small().requires_grad_(False)


def made_in_inference_mode():
    with torch.inference_mode():
        return small()


@pytest.mark.parametrize("method", HERE)
@pytest.mark.parametrize("make", [small, everything_frozen, made_in_inference_mode])
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_every_mode_of_autograd_gives_the_same_maps(method, make, mode):
    want = funcam.explain(MODEL, IMAGES, [0, 1, 2], method=method)
    model = make()
    with mode():
        images = IMAGES * 1  # an inference tensor inside inference_mode
        found = [funcam.explain(given, images, [0, 1, 2], method=method) for given in (model, funcam.split(model))]
    for result in found:
        torch.testing.assert_close(result.maps, want.maps, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(result.logits, want.logits)
        assert not result.maps.requires_grad
        assert not result.maps.is_inference()


def test_nothing_is_recorded_for_a_gradient_that_nobody_asked_for(monkeypatch):
    """A graph would hold on to the activations of the whole network."""
    recorded = []
    vjp = case.vjp
    monkeypatch.setattr(case, "vjp", lambda f, A, **more: recorded.append(A.requires_grad) or vjp(f, A, **more))
    for mode in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        with mode():
            funcam.explain(MODEL, IMAGES)
    assert recorded == [False] * 3
    funcam.explain(MODEL, IMAGES, differentiable=True)
    assert recorded[3]


@pytest.mark.parametrize("method", HERE)
def test_bfloat16_is_right_to_its_precision(method):
    model, images = small(), IMAGES[:, :, :16, :16]
    want = funcam.explain(model, images, 1, method=method).maps
    result = funcam.explain(copy.deepcopy(model).bfloat16(), images.bfloat16(), 1, method=method)
    assert result.maps.dtype == torch.float32
    assert result.logits.dtype == torch.bfloat16
    assert torch.isfinite(result.maps).all()
    cosine = functional.cosine_similarity(result.maps.flatten(), want.flatten(), dim=0)
    assert cosine > 0.97


@pytest.mark.parametrize("method", HERE)
def test_double_precision_and_channels_last(method):
    want = funcam.explain(copy.deepcopy(MODEL).double(), IMAGES.double(), "all", method=method).maps
    assert want.dtype == torch.float64
    got = funcam.explain(MODEL, IMAGES.to(memory_format=torch.channels_last), "all", method=method).maps
    torch.testing.assert_close(got.double(), want, rtol=1e-3, atol=1e-5)


def test_an_empty_batch_gives_empty_maps():
    assert funcam.explain(MODEL, IMAGES[:0]).maps.shape == (0, 8, 8)


# --- transforms of the whole function --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method", [name for name in HERE if not METHODS[name].whole and "seed" not in METHODS[name].options]
)
def test_vmap_over_images(method):
    cut = funcam.split(MODEL)
    maps = torch.vmap(lambda image: funcam.explain(cut, image[None], [1], method=method).maps[0])(IMAGES)
    torch.testing.assert_close(maps, funcam.explain(cut, IMAGES, 1, method=method).maps, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", CAMS[1:])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_maps_can_be_differentiated_in_turn(method, dimensions):
    """Against central differences, in float64, through a network whose second derivative is not zero."""
    model = Dense(dimensions, functional.softplus).double()
    cut = funcam.split(model, "second")
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(1, 2, *[5, 4, 3][:dimensions], dtype=torch.float64, generator=generator)
    direction = torch.randn(images.shape, dtype=torch.float64, generator=generator)
    brightest = int(funcam.explain(cut, images, "all", method=method).maps.flatten(2).sum(2).argmax())

    def energy(images):
        return funcam.explain(cut, images, [brightest], method=method, differentiable=True).maps.pow(2).sum()

    gradient = torch.func.grad(energy)(images)
    step = 1e-5
    difference = (energy(images + step * direction) - energy(images - step * direction)) / (2 * step)
    assert difference.abs() > 1e-8
    torch.testing.assert_close((gradient * direction).sum(), difference.detach(), rtol=1e-4, atol=1e-9)


def test_maps_can_be_differentiated_with_respect_to_the_weights():
    model = Dense(2, functional.softplus).double()
    images = torch.randn(1, 2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

    def energy():
        return funcam.explain(model, images, [2], layer="second", differentiable=True).maps.pow(2).sum()

    (gradient,) = torch.autograd.grad(energy(), [model.third.weight])
    step = 1e-5
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            model.third.weight[0, 0, 1, 1] += sign * step
            values.append(energy())
            model.third.weight[0, 0, 1, 1] -= sign * step
    difference = (values[0] - values[1]) / (2 * step)
    assert difference.abs() > 1e-8
    torch.testing.assert_close(gradient[0, 0, 1, 1], difference, rtol=1e-4, atol=1e-9)


def test_maps_carry_no_graph_unless_asked():
    images = IMAGES.clone().requires_grad_()
    assert not funcam.explain(MODEL, images).maps.requires_grad
    assert funcam.explain(MODEL, images, differentiable=True).maps.requires_grad


@pytest.mark.parametrize("method", [*CAMS[1:], "xgrad-cam", "shapley-cam", "finer-cam", "fem"])
def test_the_whole_function_compiles_into_one_graph(method):
    torch.compiler.reset()
    cut = funcam.split(MODEL)
    cam = torch.compile(
        lambda x: funcam.explain(cut, x, [0, 1, 2], method=method).maps, fullgraph=True, backend="aot_eager"
    )
    torch.testing.assert_close(cam(IMAGES), funcam.explain(cut, IMAGES, [0, 1, 2], method=method).maps)


def test_the_whole_function_compiles_with_the_default_backend():
    model = randomised(Applied(lambda m, x: m.relu(x))).eval()
    cut = funcam.split(model, "conv")
    cam = torch.compile(lambda x: funcam.explain(cut, x).maps, fullgraph=True)
    images = IMAGES[:, :, :8, :8].contiguous()
    torch.testing.assert_close(cam(images), funcam.explain(cut, images).maps, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("make", [tiny_densenet, tiny_vit])
def test_other_architectures_compile(make):
    cut = funcam.split(make())
    cam = torch.compile(lambda x: funcam.explain(cut, x, "all").maps, fullgraph=True, backend="eager")
    torch.testing.assert_close(cam(IMAGES), funcam.explain(cut, IMAGES, "all").maps, rtol=1e-4, atol=1e-6)


def test_a_real_network_agrees_with_plain_autograd():
    model = torchvision.models.resnet18(num_classes=10).eval()
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    classes = torch.tensor([3, 7])
    for layer in ("layer4", "layer3", "layer4.0.conv1"):
        raw, g = features_and_gradients(model, layer, images, classes)
        maps = funcam.explain(model, images, classes, layer=layer).maps
        want = grad_cam_numpy(raw, g)
        np.testing.assert_allclose(maps, want, rtol=1e-3, atol=1e-5 * want.max())
    assert isinstance(model, nn.Module)
