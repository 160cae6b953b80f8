"""What callers pass to ``explain`` is used or refused in words: layers, methods, and every setting."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from explanation_cases import IMAGES, MODEL
from small import features_and_gradients, grad_cam_numpy, small, state_of
from torch import nn

import funcam
from funcam import FuncamError

CUT = funcam.split(MODEL)
PAIR = (MODEL.stem, lambda A: A.mean((2, 3))[:, :5])


def refused(call, message):
    with pytest.raises(FuncamError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


# --- layers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["stem", "blocks", "blocks.0", "blocks.0.conv1", "blocks.1.bn2", "stem.0"])
def test_a_module_is_a_layer(name):
    model = small()
    module = model.get_submodule(name)
    before = state_of(model)
    A, g = features_and_gradients(model, name, IMAGES, torch.tensor([1, 1, 1]))
    result = funcam.explain(model, IMAGES, 1, layer=module)
    assert result.layer == name
    np.testing.assert_allclose(result.maps, grad_cam_numpy(A, g), rtol=1e-3, atol=1e-5)
    features, _ = funcam.split(model, module)(IMAGES)
    torch.testing.assert_close(features, A)
    assert state_of(model) == before


@pytest.mark.parametrize(
    "wrap", [nn.DataParallel, lambda m: torch.compile(m, backend="eager"), lambda m: nn.DataParallel(torch.compile(m))]
)
def test_a_module_of_a_wrapped_model_is_found(wrap):
    model = small()
    wrapped = wrap(model)
    assert funcam.explain(wrapped, IMAGES, layer=model.blocks[0]).layer == "blocks.0"
    assert funcam.split(wrapped, model.stem).layer == "stem"
    assert funcam.explain(wrapped, IMAGES, layer=torch.compile(model.stem)).layer == "stem"


def test_several_layers_however_they_are_given():
    want = funcam.explain(MODEL, IMAGES, layer=["stem", "blocks.0"], combine="max")
    lines = {layer.name: layer for layer in funcam.list_layers(MODEL)}
    for layers in (
        [MODEL.stem, MODEL.blocks[0]],
        (MODEL.stem, "blocks.0"),
        (layer for layer in ("stem", MODEL.blocks[0])),
        [MODEL.stem, lines["blocks.0"]],
        np.array(["stem", "blocks.0"]),
        ["stem", MODEL.blocks[0], "blocks.0", MODEL.stem],
    ):
        found = funcam.explain(MODEL, IMAGES, layer=layers, combine="max")
        assert found.layer == "stem+blocks.0"
        assert torch.equal(found.maps, want.maps)
    (result,) = funcam.explain_methods(MODEL, IMAGES, methods="fem", layer=MODEL.blocks[0])
    assert torch.equal(result.maps, funcam.explain(MODEL, IMAGES, method="fem", layer="blocks.0").maps)


def test_a_line_of_list_layers_is_a_layer():
    line = next(layer for layer in funcam.list_layers(MODEL) if layer.name == "blocks.0")
    assert torch.equal(
        funcam.explain(MODEL, IMAGES, layer=line).maps, funcam.explain(MODEL, IMAGES, layer="blocks.0").maps
    )
    assert funcam.split(MODEL, line).layer == "blocks.0"


def test_layers_that_are_one_count_once():
    for layers in ([None, "blocks"], ["blocks", "blocks.1"], ["blocks", MODEL.blocks], [None], [MODEL.blocks] * 2):
        found = funcam.explain(MODEL, IMAGES, layer=layers)
        assert found.layer == "blocks"
        torch.testing.assert_close(found.maps, funcam.explain(MODEL, IMAGES).maps)


def test_a_module_with_several_names_is_the_first():
    model = small()
    model.alias = model.blocks
    assert funcam.split(model, model.alias).layer == "blocks"


def test_modules_that_are_not_there():
    refused(
        lambda: funcam.explain(MODEL, IMAGES, layer=copy.deepcopy(MODEL).blocks[0]),
        r"the Residual that was given as a layer is not in Small.*its own of that type: 'blocks.0', 'blocks.1'",
    )
    refused(lambda: funcam.split(MODEL, nn.LSTM(1, 1)), "the LSTM .* is not in Small.*it has no LSTM")
    refused(lambda: funcam.explain(MODEL, IMAGES, layer=["stem", nn.GELU()]), "the GELU .* is not in Small")
    refused(lambda: funcam.explain(MODEL, IMAGES, layer=MODEL), "is the model itself; give a module inside of it")
    refused(lambda: funcam.explain(nn.DataParallel(MODEL), IMAGES, layer=MODEL), "is the model itself")
    model = small()
    model.spare = nn.ModuleList([nn.ReLU()])
    refused(lambda: funcam.split(model, model.spare), "'spare' is in Small but is never called there by itself")


@pytest.mark.parametrize(
    "layer", [3, b"x", 1.5, True, ("stem", 3), [b"stem"], [["stem"]], "", [""], {"stem": 1}.values()]
)
def test_what_names_no_layer(layer):
    refused(
        lambda: funcam.explain(MODEL, IMAGES, layer=layer), "names no layer; expected a name .*a module of the model"
    )


@pytest.mark.parametrize("layer", [[], (), {}, iter(())])
def test_no_layer_at_all(layer):
    refused(lambda: funcam.explain(MODEL, IMAGES, layer=layer), "layer is empty; give one layer or several, or None")


@pytest.mark.parametrize("layer", [3, ["stem"], [], b"stem", 1.5])
def test_split_takes_one_layer(layer):
    refused(lambda: funcam.split(MODEL, layer), "names no layer; expected a name")


def test_a_split_has_its_layer():
    for layer in (None, "blocks", MODEL.blocks, "module.blocks", ["blocks"]):
        assert funcam.explain(CUT, IMAGES, layer=layer).layer == "blocks"
    for layer in ("stem", MODEL.stem):
        refused(
            lambda layer=layer: funcam.explain(CUT, IMAGES, layer=layer), "split at 'blocks'; to explain it at 'stem'"
        )
    refused(
        lambda: funcam.explain(CUT, IMAGES, layer=["stem", "blocks"]), r"split at 'blocks' already.*split.model\(\)"
    )
    assert funcam.explain(CUT.model(), IMAGES, layer=["stem", "blocks"]).layer == "stem+blocks"
    refused(lambda: funcam.explain(CUT, IMAGES, layer=small().stem), "not in Small")


def test_a_pair_has_none():
    assert funcam.explain(PAIR, IMAGES).layer == "features"
    for layer in (MODEL.stem, ["a", "b"], "stem", 3):
        refused(lambda layer=layer: funcam.explain(PAIR, IMAGES, layer=layer), "pair|names no layer")


@pytest.mark.parametrize("call", [funcam.split, funcam.list_layers, funcam.guided, funcam.detector])
def test_what_is_no_model(call):
    refused(lambda: call(CUT), r"a Split was given where the model is needed; give its .model\(\)")
    refused(lambda: call(nn.ReLU), "ReLU is a class, not a model; give an instance")
    refused(lambda: call(3), "a int is no model")
    refused(lambda: call("resnet18"), "is a name, not a model")


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"combine": "nonsense"}, "unknown combination 'nonsense'; expected one of mean, max, product"),
        ({"combine": 3}, "unknown combination 3"),
        ({"combine": "product"}, r"combine='product' makes one map of several layers and there is one.*layer=\[...\]"),
        ({"combine": "max", "layer": ["stem", "stem"]}, "there is one"),
        ({"combine": None, "layer": ["stem", "blocks"]}, "returns one explanation; give 'mean'.*explain_methods"),
        ({"memory": -1}, "memory is -1; expected a whole number of at least 1"),
        ({"memory": 0}, "memory is 0"),
        ({"memory": 1.5}, "memory is 1.5"),
        ({"memory": True}, "memory is True"),
        ({"memory": "1GB"}, "memory is '1GB'"),
        ({"memory": None}, "memory is None"),
        ({"smooth": "nonsense"}, "unknown smoothing 'nonsense'; expected aug or eigen"),
        ({"smooth": 3}, "unknown smoothing 3"),
        ({"smooth": True}, "unknown smoothing True"),
        ({"smooth": ["aug", None]}, "unknown smoothing None"),
        ({"differentiable": "yes"}, "differentiable is 'yes'; expected True or False"),
        ({"differentiable": 1}, "differentiable is 1"),
        ({"output": 2.5}, "output is 2.5; expected a key or attribute"),
        ({"output": True}, "output is True"),
        ({"output": ""}, "output is ''"),
        ({"output": "nonsense"}, "returned a Tensor, in which there is no 'nonsense'.*leave output out"),
        ({"output": 5}, "in which there is no 5"),
        ({"nonsense": 5}, "grad-cam has no option 'nonsense'"),
    ],
    ids=str,
)
def test_settings_that_are_none(settings, message):
    refused(lambda: funcam.explain(MODEL, IMAGES, **settings), message)
    if settings.get("combine", ...) is not None and "nonsense" not in settings:
        refused(lambda: funcam.explain_methods(MODEL, IMAGES, methods=["grad-cam"], **settings), message)


def test_settings_of_other_spellings_that_mean_something():
    want = funcam.explain(MODEL, IMAGES)
    for settings in (
        {"combine": None},
        {"combine": "mean"},
        {"smooth": None},
        {"smooth": []},
        {"memory": np.int64(2**20)},
        {"output": lambda outputs: outputs},
    ):
        assert torch.equal(funcam.explain(MODEL, IMAGES, **settings).maps, want.maps), settings
    twice = funcam.explain(MODEL, IMAGES, smooth=("aug", "aug"))
    assert torch.equal(twice.maps, funcam.explain(MODEL, IMAGES, smooth="aug").maps)
    assert not torch.equal(twice.maps, want.maps)


@pytest.mark.parametrize(
    ("methods", "options", "message"),
    [
        ([], None, "methods is empty; give one or several"),
        (None, None, "method None is no name"),
        (["grad-cam", 3], None, "method 3 is no name"),
        (
            ["grad-cam"],
            {"score-cam": {"strongest": 3}},
            "options are given for 'score-cam', which is not among.*'grad-cam'",
        ),
        (["grad-cam"], {"nonsense": {}}, "options are given for 'nonsense', which is not among"),
        (["grad-cam"], {"grad-cam": 3}, "the options of 'grad-cam' are 3; expected their names and values"),
        (["grad-cam"], [1], r"options are \[1\]; expected those of each method"),
        (["score-cam"], {"score-cam": {"strongest": -1}}, "strongest=-1 does not fit score-cam"),
        (["score-cam"], {"score-cam": {"weakest": 1}}, "score-cam has no option 'weakest'"),
    ],
)
def test_methods_and_options_that_do_not_go_together(methods, options, message):
    refused(lambda: funcam.explain_methods(MODEL, IMAGES, methods=methods, options=options), message)


def test_one_method_needs_no_list():
    (result,) = funcam.explain_methods(MODEL, IMAGES, methods="grad-cam")
    assert torch.equal(result.maps, funcam.explain(MODEL, IMAGES).maps)
    (few,) = funcam.explain_methods(MODEL, IMAGES, methods="score-cam", options={funcam.score_cam: {"strongest": 2}})
    assert torch.equal(few.maps, funcam.explain(MODEL, IMAGES, method="score-cam", strongest=2).maps)


@pytest.mark.parametrize(
    ("explainer", "flip", "message"),
    [
        (3, True, "the explainer is 3; expected a function"),
        (lambda images: images, "yes", "flip is 'yes'; expected True or False"),
        (lambda images: funcam.explain(MODEL, images), True, "the explainer returned a Explanation; expected maps"),
    ],
)
def test_augmented_takes_explainers(explainer, flip, message):
    refused(lambda: funcam.augmented(explainer, flip=flip)(IMAGES), message)
