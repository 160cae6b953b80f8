"""Every family of timm stands in the matrix of models, and what is expected of it is so by a plain hook."""

from __future__ import annotations

import math

import pytest
import torch

from benchmarks.models import timm_mobile, timm_pyramids, timm_resnets, timm_tokens, timm_variants
from benchmarks.models.small_timm import settle, waken

timm = pytest.importorskip("timm")

ENTRIES = [
    entry
    for module in (timm_resnets, timm_mobile, timm_pyramids, timm_tokens, timm_variants)
    for entry in module.entries()
]
EXCEPTIONS: dict[str, str] = {}  # module of timm.models: why none of its models is here
QUICK = (  # small models, one of each layout, prefix and leaf
    "test_resnet",
    "test_mambaout",
    "test_vit",
    "deit_tiny_distilled_patch16_224",
    "vit_tiny_patch16_dinov3_qkvb",
    "tnt_s_legacy_patch16_224",
    "xcit_nano_12_p16_224",
    "mobilevitv2_050",
    "levit_128s",
    "efficientvim_m1",
)


def test_every_module_that_registers_models_has_an_entry():
    chosen = {entry.name.removeprefix("timm/") for entry in ENTRIES}
    missing = {
        module
        for module in timm.models.list_modules()
        if timm.list_models(module=module) and not chosen & set(timm.list_models(module=module))
    }
    assert missing == set(EXCEPTIONS)


def test_names_are_registered_and_there_once():
    names = [entry.name.removeprefix("timm/") for entry in ENTRIES]
    assert len(names) == len(set(names))
    assert all(timm.is_model(name) for name in names)


def test_every_entry_says_why_and_expects_something():
    for entry in ENTRIES:
        assert ".py" in entry.why, entry.name  # a line of the source
        assert math.prod(entry.grid) >= 4, entry.name
        assert min(entry.grid) >= 2, entry.name


@pytest.mark.parametrize("name", QUICK)
def test_a_hook_sees_the_expected_shape_and_the_score_depends_on_it(name):
    entry = next(entry for entry in ENTRIES if entry.name == f"timm/{name}")
    torch.manual_seed(0)
    network = entry.make()
    seen = []
    network.get_submodule(entry.layers[0]).register_forward_hook(lambda module, args, output: seen.append(output))
    logits = network(torch.randn(2, *entry.image))
    (features,) = seen  # called once
    for key in entry.leaf:
        features = features[key]
    cells = math.prod(entry.grid)
    expected = {
        "channels-first": (2, features.shape[1], *entry.grid),
        "channels-last": (2, *entry.grid, features.shape[-1]),
        "tokens": (2, entry.prefix + cells + entry.suffix, features.shape[-1]),
    }
    assert features.shape == expected[entry.layout]
    assert logits.shape == (2, 10)
    assert (logits[0] - logits[1]).abs().max() > 0.01 * logits.std()  # the weights let the image through
    (gradient,) = torch.autograd.grad(logits[0].max(), features)
    assert gradient[0].abs().max() > 0
    assert gradient[1].abs().max() == 0


def test_silent_gains_are_woken_and_nothing_else():
    network = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.LayerNorm(4), torch.nn.Linear(4, 2))
    torch.nn.init.zeros_(network[1].weight)
    torch.nn.init.zeros_(network[2].weight)
    torch.nn.init.zeros_(network[1].bias)
    before = network[0].weight.clone()
    waken(network)
    assert torch.equal(network[0].weight, before)
    assert network[1].weight.min() >= 0.5
    assert network[2].weight.std() > 0.1
    assert network[1].bias.abs().max() == 0


def test_settled_norms_give_values_of_usual_size():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8)).eval()
    torch.nn.init.normal_(network[0].weight, std=1e-2)
    images = torch.randn(8, 3, 16, 16)
    settle(network, images)
    output = network(images)
    assert output.mean().abs() < 0.1
    assert 0.5 < output.std() < 1.5
    assert network[1].momentum == 0.1
    assert not network[1].training
