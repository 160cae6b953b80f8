"""Fitting what is in a file of weights to a network."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from checkpoint_cases import State, filled, refusal
from torch import nn
from torchvision import models

from funcam.zoo.architectures import class_axes, count_classes, is_complete, meta_network
from funcam.zoo.names import NETS
from funcam.zoo.state_dicts import build_with_state


@pytest.fixture(scope="module")
def net() -> nn.Module:
    """A small network with values that no initialisation gives."""
    return filled(models.shufflenet_v2_x0_5(weights=None))


def light(name: str, **options: Any) -> State:
    """A state dict of any size that takes no memory: each tensor is one number, repeated."""
    state = meta_network(name, **options).state_dict()
    return {key: torch.zeros((), dtype=tensor.dtype).expand(tensor.shape) for key, tensor in state.items()}


@pytest.mark.parametrize("name", [name for name in NETS if name != "scenes"])
def test_every_network_is_built_to_fit_any_number_of_classes(name: str) -> None:
    random_state = torch.get_rng_state()
    state = light(name, num_classes=7)
    model = build_with_state(name, state)
    assert count_classes(model) == 7
    assert is_complete(model)
    assert not model.training
    assert all(tensor.shape == state[key].shape for key, tensor in model.state_dict().items())
    assert torch.equal(random_state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("name", "axes"),
    [
        ("resnet18", {"fc.weight": 0, "fc.bias": 0}),
        ("vgg11", {"classifier.6.weight": 0, "classifier.6.bias": 0}),
        ("squeezenet1_0", {"classifier.1.weight": 0, "classifier.1.bias": 0}),
        ("densenet121", {"classifier.weight": 0, "classifier.bias": 0}),
        ("vit_b_16", {"heads.head.weight": 0, "heads.head.bias": 0}),
        ("swin_t", {"head.weight": 0, "head.bias": 0}),
        ("maxvit_t", {"classifier.5.weight": 0}),
        ("convnext_tiny", {"classifier.2.weight": 0, "classifier.2.bias": 0}),
    ],
)
def test_which_entries_depend_on_the_number_of_classes(name: str, axes: dict[str, int]) -> None:
    assert class_axes(lambda count: meta_network(name, num_classes=count)) == axes


SMALL: dict[str, Callable[..., nn.Module]] = {
    "regnet_y_400mf": models.regnet_y_400mf,
    "mnasnet0_5": models.mnasnet0_5,
    "shufflenet_v2_x0_5": models.shufflenet_v2_x0_5,
    "squeezenet1_1": models.squeezenet1_1,
    "densenet121": models.densenet121,
    "efficientnet_b0": models.efficientnet_b0,
    "swin_v2_t": models.swin_v2_t,
}


@pytest.mark.parametrize("name", SMALL)
def test_the_assembled_network_computes_what_torchvisions_own_does(name: str) -> None:
    own = SMALL[name](weights=None, num_classes=5).eval()
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        expected = own(images)
        logits = build_with_state(name, own.state_dict())(images)
    torch.testing.assert_close(logits, expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["inception_v3", "googlenet"])
def test_inception_and_googlenet(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against torchvision's builder with published weights, which are replaced by values made here."""
    entries = models.get_model_weights(name)
    full = filled(models.get_model(name, weights=None, aux_logits=True, init_weights=False))
    monkeypatch.setattr(type(entries.DEFAULT), "get_state_dict", lambda *_, **__: full.state_dict())
    own = models.get_model(name, weights=entries.DEFAULT).eval()
    assert own.transform_input
    state = full.state_dict()
    slim = {key: tensor for key, tensor in state.items() if not key.startswith(("AuxLogits", "aux"))}
    assert len(slim) < len(state)
    images = torch.randn(1, 3, 75, 75)
    with torch.no_grad():
        expected = own(images)
        for given in (state, slim):
            torch.testing.assert_close(build_with_state(name, given)(images), expected, rtol=0, atol=0)
        plain = build_with_state(name, state, transform_input=False)(images)
    assert not torch.allclose(plain, expected)


def test_densenets_early_names() -> None:
    own = filled(models.densenet121(weights=None))
    early = OrderedDict()
    for key, tensor in own.state_dict().items():
        if "denselayer" in key:
            key = key.replace("norm1", "norm.1").replace("norm2", "norm.2")
            key = key.replace("conv1", "conv.1").replace("conv2", "conv.2")
        if not key.endswith("num_batches_tracked"):  # younger than those files
            early[key] = tensor
    assert any("denselayer1.norm.1.weight" in key for key in early)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(build_with_state("densenet121", early)(images), own(images), rtol=0, atol=0)


def test_vision_transformers_early_names() -> None:
    state = light("vit_b_32")
    early = {
        key.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): tensor
        for key, tensor in state.items()
    }
    assert set(build_with_state("vit_b_32", early).state_dict()) == set(state)


@pytest.mark.parametrize(("name", "side"), [("vit_b_16", 384), ("vit_b_32", 64), ("vit_h_14", 518)])
def test_a_vision_transformers_image_size_is_read_off(name: str, side: int) -> None:
    model = build_with_state(name, light(name, image_size=side, num_classes=3))
    assert model.image_size == side
    assert count_classes(model) == 3


def without(state: State, *names: str) -> State:
    return {key: tensor for key, tensor in state.items() if key not in names}


def test_what_does_not_fit_is_named(net: nn.Module) -> None:
    state = dict(net.state_dict())
    state["conv1.0.weight"] = torch.zeros(24, 1, 3, 3)
    state["extra.weight"] = torch.zeros(1)
    message = refusal(lambda: build_with_state("shufflenet_v2_x0_5", without(state, "fc.bias"), origin="a.pth"))
    assert message.startswith("a.pth does not fit shufflenet_v2_x0_5: 1 missing: fc.bias; 1 unexpected: extra.weight;")
    assert "conv1.0.weight has the shape [24, 1, 3, 3], expected [24, 3, 3, 3]" in message
    assert "fits no other network" in message


def test_many_misfits_are_counted() -> None:
    message = refusal(lambda: build_with_state("resnet18", light("densenet121")))
    assert "and" in message
    assert "more" in message


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        ("resnet50", "resnet101"),
        ("resnet50", "wide_resnet50_2"),
        ("vgg16", "resnet18"),
        ("alexnet", "vgg11"),
        ("resnet50", "googlenet"),
        ("resnet18", "swin_v2_b"),
        ("vgg11", "scenes"),
    ],
)
def test_the_network_that_the_file_fits_is_named(given: str, fits: str) -> None:
    assert f"the file fits {fits}: use --net {fits}" in refusal(
        lambda: build_with_state(given, light(fits, num_classes=2))
    )


def test_a_head_of_another_form() -> None:
    state = without(light("resnet18"), "fc.weight", "fc.bias") | {"fc.0.weight": torch.zeros(7, 512)}
    message = refusal(lambda: build_with_state("resnet18", state))
    assert "2 missing: fc.weight, fc.bias; 1 unexpected: fc.0.weight" in message


def test_integers_for_floats() -> None:
    state = light("resnet18") | {"fc.weight": torch.zeros(1000, 512, dtype=torch.int8)}
    assert "fc.weight is torch.int8, expected torch.float32" in refusal(lambda: build_with_state("resnet18", state))


@pytest.mark.parametrize(("value", "word"), [(float("nan"), "NaN"), (float("inf"), "an infinite value")])
def test_values_that_are_no_numbers(net: nn.Module, value: float, word: str) -> None:
    state = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    state["stage2.0.branch1.0.weight"].view(-1)[3] = value
    message = refusal(lambda: build_with_state("shufflenet_v2_x0_5", state, origin="a.pth"))
    assert message.startswith(f"a.pth holds {word} in 'stage2.0.branch1.0.weight'")


def test_values_whose_sum_overflows_are_fine(net: nn.Module) -> None:
    state = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    state["fc.weight"].fill_(3e38)
    assert count_classes(build_with_state("shufflenet_v2_x0_5", state)) == 1000


def test_buffers_that_no_state_dict_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's networks have none today; one that comes with a newer torchvision still gets its values."""

    class Late(nn.Module):
        def __init__(self, num_classes: int = 1000) -> None:
            super().__init__()
            self.register_buffer("scale", torch.full((1,), 3.0), persistent=False)
            self.fc = nn.Linear(4, num_classes)

    monkeypatch.setattr(models, "get_model", lambda name, weights, **options: Late(**options))
    own, random_state = Late(num_classes=2), torch.get_rng_state()
    model = build_with_state("alexnet", own.state_dict())
    assert is_complete(model)
    assert dict(model.named_buffers())["scale"].tolist() == [3.0]
    assert torch.equal(model.state_dict()["fc.weight"], own.fc.weight)
    assert torch.equal(random_state, torch.get_rng_state())
