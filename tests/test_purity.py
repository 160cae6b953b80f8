"""The caller's model, and everything global, is bit for bit what it was after every call, successful or not."""

from __future__ import annotations

import copy
import os
import random
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torchcam.methods
from pytorch_grad_cam import GradCAM
from small import small, state_of, tiny_densenet
from torch import nn

import funcam
from funcam import METHODS, FuncamError

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
PACKAGE = Path(funcam.__file__).parent
HERE = [name for name in METHODS if name != "le-grad"]  # the networks here have no attention


def used() -> tuple[nn.Module, list[str]]:
    """A model in the middle of its life: mixed modes, frozen parts, gradients, and hooks of several kinds."""
    model = small().train()
    model.blocks[0].eval()
    model.stem[1].eval()
    model.stem.requires_grad_(False)
    model(IMAGES).sum().backward()
    events: list[str] = []
    conv = model.blocks[1].conv2

    def forward(_module, _inputs, output):
        assert isinstance(output, torch.Tensor)  # not a tracer's proxy
        events.append("forward")

    def before(_module, inputs):
        assert isinstance(inputs[0], torch.Tensor)
        events.append("before")

    for module in (conv, model.blocks, model):
        module.register_forward_hook(forward)
        module.register_forward_pre_hook(before)
        module.register_full_backward_hook(lambda *_: events.append("backward"))
    model.fc.weight.register_hook(lambda g: events.append("weight"))
    return model, events


ONE_PASS = ["before", "before", "before", "forward", "forward", "forward"]


def global_state():
    return [
        torch.get_rng_state().numpy().tobytes(),
        repr(np.random.get_state()),  # noqa: NPY002 - the global state is what is watched
        random.getstate(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        nn.Module.__call__,
        nn.Module.__getattr__,
        torch.nn.functional.relu,
        torch.backends.mha.get_fastpath_enabled(),
        torch.compiler.is_compiling(),
        sys.stderr,
    ]


SUCCEEDING = {
    "split": lambda m: funcam.split(m),
    "split at a layer": lambda m: funcam.split(m, "blocks.0.conv1"),
    "split at last-conv": lambda m: funcam.split(m, "last-conv"),
    "features and head": lambda m: (lambda A, head: head(A))(*funcam.split(m, "stem.1")(IMAGES)),
    "vjp": lambda m: (lambda A, head: torch.func.vjp(head, A)[1](torch.ones(2, 5)))(*funcam.split(m)(IMAGES)),
    "list_layers": lambda m: funcam.list_layers(m),
    "guided": lambda m: funcam.guided(m).network(IMAGES),
    "guided_backprop": lambda m: funcam.guided_backprop(funcam.guided(m).network, IMAGES[0], 1),
    "several methods": lambda m: funcam.explain_methods(m, IMAGES, "all", methods=HERE),
    "differentiable": lambda m: funcam.explain(m, IMAGES, differentiable=True),
    "small memory": lambda m: funcam.explain(m, IMAGES, "all", memory=1),
    **{name: partial(lambda m, name: funcam.explain(m, IMAGES, [1, 2], method=name), name=name) for name in HERE},
    **{f"{n} of all": partial(lambda m, n: funcam.explain(m, IMAGES, "all", method=n), n=n) for n in HERE},
    "several layers": lambda m: funcam.explain(m, IMAGES, layer=["stem", "blocks"], smooth=["aug", "eigen"]),
    "contrast": lambda m: funcam.explain(m, IMAGES, funcam.contrast(1), method="ablation-cam"),
}

FAILING = {
    "layer": (lambda m: funcam.split(m, "nowhere"), "'nowhere'"),
    "no feature map": (lambda m: funcam.explain(m, IMAGES, layer="fc"), "'fc' is no feature map"),
    "images": (lambda m: funcam.explain(m, IMAGES[:, :2], layer="stem"), r"\[2, 2, 32, 32\]"),
    "image type": (lambda m: funcam.explain(m, IMAGES.to(torch.uint8)), "uint8"),
    "targets": (lambda m: funcam.explain(m, IMAGES, [9, 9]), "class 9 is out of range"),
    "method": (lambda m: funcam.explain(m, IMAGES, method="none"), "unknown method 'none'"),
    "not finite": (lambda m: funcam.explain(m, IMAGES * float("nan")), "not finite"),
    "layers": (lambda m: funcam.list_layers(m, (1, 7, 8, 8)), r"\[1, 7, 8, 8\]"),
}


@pytest.mark.filterwarnings("ignore:Full backward hook is firing:UserWarning")  # the caller's, who has no other
@pytest.mark.parametrize("name", SUCCEEDING)
def test_a_call_changes_nothing(name):
    model, events = used()
    before, everything, happened = state_of(model), global_state(), list(events)
    images = IMAGES.clone()
    SUCCEEDING[name](model)
    assert state_of(model) == before
    assert global_state() == everything
    assert events[len(happened) :] in ([], ONE_PASS), "hooks that only watch see the one check and nothing else"
    assert torch.equal(IMAGES, images)
    model(IMAGES).sum().backward()  # and the hooks are still there
    assert len(events) > len(happened)


@pytest.mark.parametrize("name", FAILING)
def test_a_call_that_fails_changes_nothing(name):
    model, events = used()
    before, everything, happened = state_of(model), global_state(), list(events)
    call, message = FAILING[name]
    with pytest.raises(FuncamError, match=message):
        call(model)
    assert state_of(model) == before
    assert global_state() == everything
    assert events[len(happened) :] == ONE_PASS[: len(events) - len(happened)], "a part of one check"


class Moody(nn.Module):
    """Control flow on values, in place: `torch.fx` can't follow it."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.relu(self.norm(self.conv(x)))
        return x.mean((2, 3)) if x.sum() > 0 else -x.mean((2, 3))


def test_a_model_that_cannot_be_traced_is_left_alone():
    """It is tapped; what needs a graph or images says so."""
    model = Moody()
    before, everything = state_of(model), global_state()
    split = funcam.split(model, "conv", example=IMAGES)
    assert split.way == "tap"
    A, head = split(IMAGES)
    torch.testing.assert_close(head(A), copy.deepcopy(model).eval()(IMAGES))
    for method in set(HERE) - {"cam", "full-grad", "guided-backprop", "guided-grad-cam"}:
        funcam.explain(model, IMAGES, 1, layer="conv", method=method)
    for call in (funcam.guided, funcam.list_layers):
        with pytest.raises(FuncamError, match=r"can't be traced: .*control flow"):
            call(model)
    assert state_of(model) == before
    assert global_state() == everything


def test_random_numbers_drawn_afterwards_are_those_that_would_have_been():
    models = {method: small().train() for method in HERE}
    torch.manual_seed(3)
    want = torch.rand(5)
    torch.manual_seed(3)
    for method, model in models.items():
        funcam.explain(model, IMAGES, method=method)
    assert torch.equal(torch.rand(5), want)


def test_a_train_mode_model_with_an_individually_frozen_submodule():
    model = tiny_densenet().train()
    model.features[3].eval()
    model.features.denseblock1.eval()
    flags = [module.training for module in model.modules()]
    for method in set(HERE) - {"cam", "ss-cam", "is-cam"}:
        for layer in (None, "features.denseblock1", "features.norm5"):
            funcam.explain(model, IMAGES, method=method, layer=layer)
    assert [module.training for module in model.modules()] == flags


def test_models_with_a_peers_hooks_are_traced_and_the_peer_goes_on_working():
    model = small()
    want = funcam.explain(copy.deepcopy(model), IMAGES, [1, 2], layer="blocks.1").maps
    with GradCAM(model=model, target_layers=[model.blocks[1], model.blocks]) as peer:
        torch.testing.assert_close(funcam.explain(model, IMAGES, [1, 2], layer="blocks.1").maps, want)
        assert peer(IMAGES, None).shape == (2, 32, 32)
    with torchcam.methods.GradCAM(model, ["blocks", "stem"]) as peer:
        torch.testing.assert_close(funcam.explain(model, IMAGES, [1, 2], layer="blocks.1").maps, want)
        scores = model(IMAGES)
        assert len(peer([1, 2], scores)) == 2


# --- by reading the source -------------------------------------------------------------------------------------------


SOURCES = sorted(PACKAGE.rglob("*.py"))


def code_of(path: Path) -> str:
    """The code without comments and strings, in which such a name may be explained."""
    import io
    import tokenize

    tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    return " ".join(t.string for t in tokens if t.type not in (tokenize.COMMENT, tokenize.STRING))


BANNED = re.compile(r"\b(register_\w*hook|retain_grad|requires_grad_)\b|\. backward \(")
"""Nothing in the package trains: not even the network of the scenes, which benchmarks/train_scenes.py made."""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_hook_and_no_backward(path):
    assert [match[0] for match in BANNED.finditer(code_of(path))] == []


@pytest.mark.parametrize(
    "line",
    [
        "loss.backward()",
        "torch.autograd.backward(loss)",
        "layer.register_forward_hook(print)",
        "nn.modules.module.register_module_full_backward_hook(print)",
        "A.retain_grad()",
        "model.requires_grad_(False)",
    ],
)
def test_what_is_banned_would_be_found(line, tmp_path):
    (tmp_path / "a.py").write_text(f"{line}  # and in words: step\n")
    assert BANNED.search(code_of(tmp_path / "a.py"))
    (tmp_path / "a.py").write_text(f'"""In words: {line}"""\n# {line}\n')
    assert not BANNED.search(code_of(tmp_path / "a.py"))


# --- the face of the package -----------------------------------------------------------------------------------------


def fresh(code: str) -> str:
    """What a new interpreter prints."""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ}, check=True)
    return run.stdout.strip()


def test_importing_the_package_imports_no_torch():
    assert fresh("import sys, funcam, funcam.methods; print('torch' in sys.modules, 'numpy' in sys.modules)") == (
        "False False"
    )


def test_star_import_and_every_public_name():
    assert fresh("from funcam import *; print(split.__name__, explain.__name__, len(METHODS))") == (
        f"split explain {len(METHODS)}"
    )
    assert len(set(funcam.__all__)) == len(funcam.__all__)
    assert set(funcam.__all__) <= set(dir(funcam))
    for name in funcam.__all__:
        value = getattr(funcam, name)
        assert isinstance(value, dict) or value.__doc__
    assert sorted(funcam.__all__) == sorted({*funcam._HOME_OF, "FuncamError", "FuncamWarning", "METHODS"})
    with pytest.raises(AttributeError, match="no attribute 'gradcam'"):
        _ = funcam.gradcam
