"""Randomised copies of a network, maps that know nothing, and whether a method beats them."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from funcam import metrics
from funcam.errors import FuncamError


def network() -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), nn.ReLU(), nn.Flatten(), nn.Linear(16, 8), nn.Linear(8, 5)
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model.train()


def changed(copied: nn.Module, model: nn.Module) -> list[str]:
    ours, theirs = copied.state_dict(), model.state_dict()
    return [name for name in theirs if not torch.equal(ours[name], theirs[name])]


def test_layers_are_randomised_one_after_the_other_from_the_output():
    model = network()
    order, found = ["4", "3", "0.1", "0.0"], list(metrics.cascading_randomisation(model))
    assert [name for name, _ in found] == order
    for step, (_, copied) in enumerate(found):
        expected = {f"{name}.{kind}" for name in order[: step + 1] for kind in ("weight", "bias")}
        assert set(changed(copied, model)) == expected


def test_layers_are_randomised_one_at_a_time_to_the_same_values():
    model = network()
    cascade = dict(metrics.cascading_randomisation(model))
    independent = list(metrics.independent_randomisation(model))
    assert [name for name, _ in independent] == list(cascade)
    for name, copied in independent:
        assert changed(copied, model) == [f"{name}.weight", f"{name}.bias"]
        ours, theirs = copied.get_submodule(name).state_dict(), cascade[name].get_submodule(name).state_dict()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_a_named_block_is_randomised_whole_and_keeps_its_distribution():
    model = network()
    ((name, copied),) = metrics.independent_randomisation(model, ["0"])
    assert name == "0"
    assert changed(copied, model) == ["0.0.weight", "0.0.bias", "0.1.weight", "0.1.bias"]
    for ours, theirs in zip(copied.parameters(), model.parameters(), strict=True):
        assert torch.equal(ours.flatten().sort().values, theirs.flatten().sort().values)


def test_the_users_model_stays_as_it_is_and_so_do_torchs_random_numbers():
    model = network()
    before, flags = copy.deepcopy(model.state_dict()), [module.training for module in model.modules()]
    state = torch.get_rng_state()
    places = [parameter.data_ptr() for parameter in model.parameters()]
    images = torch.ones(1, 3, 4, 4)
    outputs = {}
    for randomise in (metrics.cascading_randomisation, metrics.independent_randomisation):
        for name, copied in randomise(model):
            outputs[randomise, name] = copied(images)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == flags
    assert [parameter.data_ptr() for parameter in model.parameters()] == places
    whole = copy.deepcopy(model).eval()(images)
    assert all((found - whole).abs().max() > 1e-3 for found in outputs.values())


def test_a_seed_gives_other_weights_and_a_shared_weight_stays_shared():
    model = network()
    first, other, again = (next(metrics.cascading_randomisation(model, seed=seed))[1] for seed in (0, 1, 0))
    assert not torch.equal(first[4].weight, other[4].weight)
    assert torch.equal(first[4].weight, again[4].weight)
    tied = nn.ModuleDict({"a": nn.Linear(6, 6), "b": nn.Linear(6, 6)})
    tied["b"].weight = tied["a"].weight
    for name, copied in metrics.independent_randomisation(tied):
        assert copied["a"].weight is copied["b"].weight, name
        assert not torch.equal(copied["a"].weight, tied["a"].weight)


def test_a_layer_without_parameters_is_refused_at_once():
    for randomise in (metrics.cascading_randomisation, metrics.independent_randomisation):
        with pytest.raises(FuncamError, match=r"'1' is no module with parameters; nearest:"):
            randomise(network(), ["1"])


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([0.1, 0.25]))
def test_the_centre_gaussian(height, width, spread):
    found = metrics.centre_gaussian(2, (height, width), spread=spread).numpy()
    y, x = np.mgrid[:height, :width]
    bell = np.exp(-((((y + 0.5) / height - 0.5) / spread) ** 2 + (((x + 0.5) / width - 0.5) / spread) ** 2) / 2)
    np.testing.assert_allclose(found, np.stack([bell / bell.max()] * 2), atol=1e-5)


@given(st.integers(0, 9), st.integers(0, 9))
def test_random_maps_are_one_for_each_image(seed, first):
    state = torch.get_rng_state()
    maps = metrics.random_maps(6, (5, 4), seed=seed)
    assert torch.equal(torch.get_rng_state(), state)
    assert len(maps.unique()) == maps.numel()
    assert 0 <= maps.min() <= maps.max() <= 1
    assert torch.equal(
        metrics.random_maps(4, (5, 4), seed=seed, first=first)[:1],
        metrics.random_maps(first + 1, (5, 4), seed=seed)[-1:],
    )
    assert not torch.equal(maps, metrics.random_maps(6, (5, 4), seed=seed + 1))


def test_baselines_score_what_chance_gives():
    masks = torch.zeros(400, 1, 8, 8, dtype=torch.bool)
    masks[:, 0, :4, :4] = True  # a quarter of the image
    random = metrics.random_maps(400, (8, 8))
    assert metrics.energy(random, masks).mean().item() == pytest.approx(0.25, abs=0.01)
    assert metrics.pointing_game(random, masks).mean().item() == pytest.approx(0.25, abs=0.06)
    assert metrics.energy(metrics.uniform_maps(400, (8, 8)), masks).unique().tolist() == [0.25]
