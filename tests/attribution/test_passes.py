"""How often a network is run: the operations of its blocks, counted."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from small import small, tiny_vit
from torch.utils._python_dispatch import TorchDispatchMode

import funcam

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


class Counted(TorchDispatchMode):
    """How often each operation was called."""

    def __init__(self):
        super().__init__()
        self.calls = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.calls[str(function)] += 1
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("targets", [None, [[0, 3, 1], [1, 2, 4]], lambda z: z[:, :2].square()])
def test_le_grad_runs_each_block_once(targets):
    model = tiny_vit()
    want = funcam.explain(model, IMAGES, targets, method="le-grad")  # the first call finds out how to cut
    with Counted() as counted:
        found = funcam.explain(model, IMAGES, targets, method="le-grad", memory=1)
    assert counted.calls["aten.gelu.default"] == len(model.encoder.layers)
    torch.testing.assert_close(found.maps, want.maps)
    torch.testing.assert_close(found.outputs, model(IMAGES))


def test_le_grad_beside_others_is_what_it_is_alone():
    results = funcam.explain_methods(tiny_vit(), IMAGES, [[0, 1]] * 2, methods=["le-grad", "grad-cam"])
    alone = funcam.explain(tiny_vit(), IMAGES, [[0, 1]] * 2, method="le-grad", differentiable=True)
    torch.testing.assert_close(results[0].maps, alone.maps.detach())
    torch.testing.assert_close(results[0].scores, alone.scores.detach())


@pytest.mark.parametrize("method", ["gradient", "input-x-gradient", "guided-backprop"])
@pytest.mark.parametrize("targets", [None, [[0, 3, 1]], lambda z: z[:, :2].square()])
def test_the_gradient_of_an_image_is_that_of_the_pass_that_finds_the_class(method, targets):
    model, image = small(), IMAGES[:1]
    share_none = {"methods": [method, "grad-cam"], "layer": ["blocks.0", "blocks.1"]}
    want = funcam.explain_methods(model, image, targets, **share_none)[0]
    funcam.explain(model, image, targets, method=method)
    with Counted() as forward:
        model(image)
    with Counted() as counted:
        found = funcam.explain(model, image, targets, method=method)
    assert counted.calls["aten.convolution.default"] == forward.calls["aten.convolution.default"] > 0
    torch.testing.assert_close(found.maps, want.maps)
    torch.testing.assert_close(found.scores, want.scores)
    assert (found.layer, found.method) == (want.layer, want.method)


@pytest.mark.parametrize("method", ["gradient", "guided-backprop"])
def test_a_gradient_under_autocast_is_that_without_to_its_precision(method):
    model, image = small(), IMAGES[:1]
    want = funcam.explain(model, image, "all", method=method).maps
    with torch.autocast("cpu", torch.bfloat16):
        found = funcam.explain(model, image, "all", method=method).maps
    assert (found - want).abs().max() < 0.05 * want.abs().max()


def test_copies_of_an_image_are_not_run_where_the_gradient_is_known():
    model = small()
    funcam.explain(model, IMAGES, "all", method="smooth-grad-cam++")
    with Counted() as forward:
        model(IMAGES)
    with Counted() as counted:
        funcam.explain(model, IMAGES, "all", method="smooth-grad-cam++")
    assert counted.calls["aten.convolution.default"] == forward.calls["aten.convolution.default"] > 0


@pytest.mark.parametrize("method", ["gradient", "input-x-gradient", "guided-backprop"])
def test_the_gradients_of_several_images_take_one_pass_more(method):
    model = small()
    funcam.explain(model, IMAGES, method=method)
    with Counted() as forward:
        model(IMAGES)
    with Counted() as counted:
        funcam.explain(model, IMAGES, method=method)
    assert counted.calls["aten.convolution.default"] == 2 * forward.calls["aten.convolution.default"] > 0


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("targets", [None, [0, 3], funcam.contrast(None)])
@pytest.mark.parametrize("method", ["gradient", "input-x-gradient", "guided-backprop", "guided-grad-cam"])
def test_an_images_gradient_beside_maps_takes_no_pass_more(method, targets, count):
    model, images = small(), IMAGES[:count]
    targets = targets if not isinstance(targets, list) else targets[:count]
    asked = ["grad-cam", method, "layer-cam"]
    want = [funcam.explain(model, images, targets, method=name) for name in asked]
    with Counted() as forward:
        model(images)
    with Counted() as counted:
        found = funcam.explain_methods(model, images, targets, methods=asked)
    assert counted.calls["aten.convolution.default"] == forward.calls["aten.convolution.default"] > 0
    for one, alone in zip(found, want, strict=True):
        torch.testing.assert_close(one.maps, alone.maps)
        torch.testing.assert_close(one.outputs, alone.outputs)
        torch.testing.assert_close(one.scores, alone.scores)


@pytest.mark.parametrize("targets", [None, [[0, 1], [2, 3]], lambda z: z[:, :2].square()])
@pytest.mark.parametrize("layer", ["blocks.0", "stem"])
def test_nothing_guided_gets_into_the_maps_of_an_early_layer(layer, targets):
    model = small()
    alone = funcam.explain(model, IMAGES, targets, layer=layer, method="element-wise-grad-cam")
    both = funcam.explain_methods(
        model, IMAGES, targets, layer=layer, methods=["element-wise-grad-cam", "guided-backprop", "gradient"]
    )
    torch.testing.assert_close(both[0].maps, alone.maps)
    for each in both[1:]:
        torch.testing.assert_close(each.maps, funcam.explain(model, IMAGES, targets, method=each.method).maps)
    assert not torch.allclose(both[1].maps, both[2].maps)


def test_where_images_mix_or_memory_is_short_each_image_is_differentiated_for_itself():
    mixing = torch.nn.Sequential(torch.nn.BatchNorm2d(3, track_running_stats=False), small()).eval()
    methods = {"methods": ["random-cam", "gradient"]}
    for model, options in ((mixing, {}), (small(), {"memory": 1})):
        image = IMAGES[:1]
        given = image.clone().requires_grad_()
        (want,) = torch.autograd.grad(model(given)[0, 2], given)
        found = funcam.explain_methods(model, image, 2, **methods, **options)[1].maps
        torch.testing.assert_close(found, want)
    alone = [funcam.explain(small(), IMAGES[row : row + 1], 2, method="gradient").maps for row in range(2)]
    both = funcam.explain_methods(small(), IMAGES, 2, **methods, memory=1)[1].maps
    torch.testing.assert_close(both, torch.cat(alone))


@pytest.mark.parametrize("method", ["grad-cam", "score-cam", "layer-cam"])
@pytest.mark.parametrize("layer", [None, "blocks.0"])
def test_a_function_is_called_with_the_outputs_once(method, layer):
    """What it writes into them is written once, too."""
    model, calls = small(), []

    def doubled(outputs):
        calls.append(len(outputs))
        return outputs.mul_(2)[:, 1]

    funcam.explain(model, IMAGES, doubled, method=method, layer=layer)  # the first call finds out how to cut
    calls.clear()
    found = funcam.explain(model, IMAGES, doubled, method=method, layer=layer)
    torch.testing.assert_close(found.scores, 2 * model(IMAGES)[:, 1].detach())
    if method != "score-cam":  # which calls it for each channel
        assert calls.count(len(IMAGES)) == 1


def test_logits_behind_a_mean_are_not_differentiated():
    model = small()
    want = funcam.explain(model, IMAGES, lambda z: z[:, :2])
    with Counted() as counted:
        found = funcam.explain(model, IMAGES, [[0, 1]] * 2)
    assert not any("backward" in name for name in counted.calls)
    torch.testing.assert_close(found.maps, want.maps)


@pytest.mark.parametrize("method", ["score-cam", "ss-cam", "is-cam"])
def test_masked_images_pass_in_channels_last_and_the_model_stays_as_it_is(method):
    model = small().eval()
    layout = [p.stride() for p in model.parameters()]
    samples = {} if method == "score-cam" else {"samples": 2}
    found = funcam.explain(model, IMAGES, 1, method=method, **samples)
    with torch.enable_grad():  # where somebody may differentiate, the network runs as it is
        plain = funcam.explain(model, IMAGES, 1, method=method, differentiable=True, **samples)
    torch.testing.assert_close(found.maps, plain.maps.detach(), rtol=1e-3, atol=1e-5)
    assert [p.stride() for p in model.parameters()] == layout
