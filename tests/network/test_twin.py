"""A twin shares the tensors of a model and nothing else; a signature changes when, and only when, a cut would."""

from __future__ import annotations

import types

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import Small, randomised, small, state_of, tiny_densenet, tiny_swin, tiny_vit
from torch import nn
from torch.nn.utils import prune

from funcam.network.twin import meta_twin, signature, twin

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("make", [small, tiny_densenet, tiny_swin, tiny_vit])
def test_a_twin_computes_what_the_model_computes_with_the_same_tensors(make):
    model = make()
    copy = twin(model)
    assert type(copy) is type(model)
    assert copy is not model
    assert torch.equal(copy(IMAGES), model(IMAGES))
    theirs, ours = model.state_dict(keep_vars=True), copy.state_dict(keep_vars=True)
    assert list(theirs) == list(ours)
    assert all(theirs[name] is ours[name] for name in theirs)
    assert not {id(m) for m in model.modules()} & {id(m) for m in copy.modules()}


@settings(max_examples=30)
@given(flags=st.lists(st.booleans(), min_size=17, max_size=17))
def test_a_twin_is_in_evaluation_mode_whatever_mix_of_flags_the_model_has(flags):
    model = small()
    want = model(IMAGES)
    for module, flag in zip(model.modules(), flags, strict=False):
        module.training = flag
    before = state_of(model)
    copy = twin(model)
    assert not any(module.training for module in copy.modules())
    assert torch.equal(copy(IMAGES), want)
    copy.train().eval()
    assert state_of(model) == before


def test_a_module_used_in_two_places_stays_one_module():
    shared = nn.Linear(3, 3)
    copy = twin(nn.Sequential(shared, nn.ReLU(), shared))
    assert copy[0] is copy[2]
    assert copy[0] is not shared


def test_foreign_hooks_of_every_kind_stay_behind():
    model = small()
    called = []

    def hook(*_):
        called.append(True)

    conv = model.stem[0]
    conv.register_forward_hook(hook, with_kwargs=True)
    conv.register_forward_pre_hook(hook, with_kwargs=True)
    conv.register_full_backward_hook(hook)
    conv.register_full_backward_pre_hook(hook)
    conv.register_state_dict_pre_hook(hook)
    before = state_of(model)
    twin(model)(IMAGES).sum().backward()
    model.zero_grad()
    assert not called
    assert [row[:5] for row in state_of(model)] == [row[:5] for row in before]


@pytest.mark.parametrize(
    "wrap", [nn.utils.spectral_norm, nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm]
)
def test_hooks_that_compute_a_weight_are_part_of_the_model(wrap):
    model = nn.Sequential(wrap(nn.Conv2d(3, 4, 3)), nn.ReLU()).eval()
    model(IMAGES)
    assert torch.equal(twin(model)(IMAGES), model(IMAGES))


def test_pruning_masks_are_part_of_the_model():
    model = nn.Sequential(nn.Conv2d(3, 4, 3)).eval()
    prune.random_unstructured(model[0], "weight", 0.5)
    with torch.no_grad():
        model[0].weight_orig.mul_(2)  # seen only if the twin's hook recomputes the weight
    copy = twin(model)
    assert torch.equal(copy(IMAGES), model(IMAGES))


def test_a_method_assigned_to_an_instance_belongs_to_the_twin():
    model = small()
    model.stem.forward = types.MethodType(lambda self, x: self[0](x), model.stem)
    copy = twin(model)
    assert copy.stem.forward.__self__ is copy.stem
    assert torch.equal(copy(IMAGES), model(IMAGES))


def test_weights_made_in_inference_mode_can_be_differentiated_through():
    with torch.inference_mode():
        model = small()
    images = IMAGES.clone().requires_grad_()
    twin(model)(images).sum().backward()
    assert images.grad.abs().sum() > 0
    assert all(parameter.is_inference() for parameter in model.parameters())


def test_a_meta_twin_has_shapes_and_no_data():
    model = small()
    before = state_of(model)
    copy = meta_twin(model)
    assert {tensor.device.type for tensor in copy.state_dict().values()} == {"meta"}
    assert copy(torch.empty(2, 3, 32, 32, device="meta")).shape == (2, 5)
    assert state_of(model) == before


def test_a_compiled_submodule_is_not_run_in_the_twin():
    model = small()
    model.drop.compile(backend="eager")
    model.drop.train()
    copy = twin(model)
    assert torch.equal(copy.drop(IMAGES), IMAGES)


def replaced_fc(model):
    model.fc = nn.Linear(6, 9)


def replaced_parameter(model):
    model.fc.weight = nn.Parameter(model.fc.weight.detach().clone())


def replaced_buffer(model):
    model.stem[1].running_mean = model.stem[1].running_mean.clone()


def assigned(model):
    model.load_state_dict({name: value.clone() for name, value in model.state_dict().items()}, assign=True)


def eps(model):
    model.stem[1].eps = 0.5


def stride(model):
    model.stem[0].stride = (1, 1)


def appended(model):
    model.blocks.append(nn.ReLU())


def renamed(model):
    model.blocks._modules["one"] = model.blocks._modules.pop("1")


def own_forward(model):
    model.stem.forward = types.MethodType(lambda self, x: x, model.stem)


def builtin_function(model):
    model.activation = torch.tanh


@pytest.mark.parametrize(
    "change",
    [
        *(replaced_fc, replaced_parameter, replaced_buffer, assigned, eps, stride, appended, renamed, own_forward),
        builtin_function,
    ],
)
def test_a_signature_notices(change):
    model = small()
    model.activation = torch.relu
    before = signature(model)
    kept = [*model.modules(), *model.parameters(), *model.buffers()]  # as the cache's twin keeps the tensors
    change(model)
    assert signature(model) != before
    assert kept


def in_place_weights(model):
    with torch.no_grad():
        model.fc.weight.mul_(2)


def loaded(model):
    model.load_state_dict(Small().state_dict())


def modes(model):
    model.train()
    model.blocks[0].eval()


def frozen(model):
    model.requires_grad_(False)


def gradients(model):
    model(IMAGES).sum().backward()


def hooked(model):
    model.stem.register_forward_hook(lambda *_: None)


def test_a_hook_may_be_part_of_the_model_and_so_of_its_signature():
    model = randomised(Small())
    before = signature(model)
    hooked(model)
    assert signature(model) != before


@pytest.mark.parametrize("change", [in_place_weights, loaded, modes, frozen, gradients])
def test_a_signature_ignores(change):
    model = randomised(Small())
    before = signature(model)
    change(model)
    assert signature(model) == before
