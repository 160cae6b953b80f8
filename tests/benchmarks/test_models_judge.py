"""The judge of the matrix of models says wrong of what is wrong: each of its measures on a case that is known."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import funcam
from benchmarks.models import alignment, collecting, page, processes, purity, reference, ways_out
from benchmarks.models.judge import judge
from benchmarks.models.traps import Small, trap

SMALL = trap("small", Small, "nothing is wrong with it")


class Half(Small):
    """Twice as large where funcam's graph doesn't see it: a hook."""

    def __init__(self) -> None:
        super().__init__()
        self.fc.register_forward_hook(lambda module, args, outputs: outputs * 2)


def test_a_plain_network_is_right():
    record = judge(SMALL)
    assert record["verdict"] == "right"
    assert record["alignment"] == 4
    assert record["changed"] == []


def test_another_expected_layer_is_told():
    record = judge(replace(SMALL, layers=("stem.1",), grid=(16, 24)))
    assert record["named"]["verdict"] == "right"
    assert record["default"]["verdict"] == record["verdict"] == "other layer"


def test_an_expectation_that_the_model_does_not_keep_is_no_reference():
    assert judge(replace(SMALL, grid=(12, 8)))["verdict"] == "no reference"


@pytest.mark.parametrize("wrong", ["maps", "outputs", "scores"])
def test_a_wrong_explanation_is_wrong(monkeypatch, wrong):
    right = funcam.explain

    def changed(*args, **options):
        result = right(*args, **options)
        return replace(result, **{wrong: getattr(result, wrong) * 1.01})

    monkeypatch.setattr(funcam, "explain", changed)
    assert judge(SMALL)["verdict"] == "wrong"


def test_exceptions_and_refusals_are_told_apart(monkeypatch):
    def fails(*args, **options):
        raise error

    monkeypatch.setattr(funcam, "split", fails)
    error: Exception = funcam.FuncamError("no; name another layer: 'stem.1' or 'hidden'")
    record = judge(SMALL)
    assert record["named"]["verdict"] == record["verdict"] == "refused"
    assert record["named"]["way_out"]["offered"] == ["layer='stem.1'", "layer='hidden'"]
    error = ZeroDivisionError("a bug")
    assert judge(SMALL)["named"]["verdict"] == "raw exception"


def test_the_reference_is_plain_autograd():
    torch.manual_seed(0)
    model = Small().eval()
    images = reference.images_of(SMALL)
    measured = reference.measure(SMALL, copy.deepcopy(model), images)
    A = model.features(model.stem(images)).detach().requires_grad_()
    logits = model.fc(model.hidden(A.mean((2, 3))).tanh())
    (gradient,) = torch.autograd.grad(logits.max(1).values.sum(), A)
    torch.testing.assert_close(measured.gradient, gradient)
    torch.testing.assert_close(measured.cam, (gradient.mean((2, 3), keepdim=True) * A).sum(1).relu().detach())


def test_the_patch_tells_axes_apart():
    images = torch.rand(1, 1, 32, 48)
    features = nn.functional.avg_pool2d(alignment.patched(images), 4)
    assert alignment.places_right(features) == 4
    assert alignment.places_right(features.flip(-1)) == 0
    assert alignment.places_right(features.transpose(2, 3)) == 2  # two places lie on the diagonal


def change_values(model: Small) -> None:
    with torch.no_grad():
        model.fc.bias[0] += 1


def change_class(model: Small) -> None:
    model.hidden.__class__ = type("Other", (nn.Linear,), {})


def change_dict(model: Small) -> None:
    model.__dict__["cache"]["key"] = 1


def change_hook(model: Small) -> None:
    model.fc.register_forward_hook(lambda module, args, outputs: None)


def change_flag(model: Small) -> None:
    model.fc.weight.requires_grad_(False)


def change_mode(model: Small) -> None:
    model.features.train()


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (change_values, "state"),
        (change_class, "classes"),
        (change_dict, "containers"),
        (change_hook, "containers"),
        (change_flag, "flags"),
        (change_mode, "training"),
    ],
)
def test_every_change_is_seen(change, kind):
    model = Small().eval()
    model.__dict__["cache"] = {}
    before = purity.snapshot(model)
    assert purity.differences(before, purity.snapshot(model)) == []
    change(model)
    assert any(line.startswith(kind) for line in purity.differences(before, purity.snapshot(model)))


def test_a_pair_by_hooks_is_the_model():
    torch.manual_seed(0)
    model, images = Half().eval(), reference.images_of(SMALL)
    features, head = ways_out.pair_of(SMALL, model)
    A, rest = features(images)
    torch.testing.assert_close(head(A, rest), model(images))
    assert not torch.allclose(head(A + 1, rest), model(images))


def test_names_are_unique_and_expectations_are_complete():
    entries, _ = collecting.collect()
    names = [entry.name for entry in entries]
    assert len(set(names)) == len(names)
    for entry in entries:
        assert entry.why, f"{entry.name} has no source"
        assert (entry.layout == "other") == (entry.to_map is not None), entry.name
    classifiers = [entry for entry in entries if entry.name.startswith("torchvision/") and entry.kind == "classifier"]
    assert len(classifiers) == 80
    assert {*collecting.QUICK} <= {*names}


def stuck() -> nn.Module:
    import time

    time.sleep(60)
    return Small()


def greedy() -> nn.Module:
    model = Small()
    model.ballast = torch.ones(200_000_000)  # 0.8 GB
    return model


def died() -> nn.Module:
    import os

    os._exit(3)


def test_a_process_is_stopped_at_its_limits_and_the_others_go_on():
    entries = [
        trap("greedy", greedy, "0.8 GB"),
        trap("died", died, "ends the process"),
        SMALL,
    ]
    limits = processes.Limits(seconds=60, gigabytes=0.6)
    found = [
        *processes.judged([trap("stuck", stuck, "sleeps")], jobs=1, limits=replace(limits, seconds=1), peers=False),
        *processes.judged(entries, jobs=3, limits=limits, peers=False),
    ]
    records = {record["name"]: record for record in found}
    assert {name: record["verdict"] for name, record in records.items()} == {
        "traps/stuck": "too slow",
        "traps/greedy": "too large",
        "traps/died": "did not finish",
        "traps/small": "right",
    }
    text = page.failures(records)
    assert "while making" in text
    assert text.count("- `traps/") == 3


def test_what_a_layer_returns_is_put_back_where_it_was():
    value = {"maps": [torch.zeros(1), torch.zeros(2)], "rest": 3}
    changed = reference.with_part(value, ("maps", 1), torch.ones(2))
    assert torch.equal(reference.part_of(changed, ("maps", 1)), torch.ones(2))
    assert torch.equal(value["maps"][1], torch.zeros(2))
    assert [tensor.numel() for tensor in reference.tensors_in(changed)] == [1, 2]


def test_tokens_become_a_map():
    entry = replace(SMALL, layout="tokens", prefix=1, suffix=2, grid=(2, 3))
    tokens: Tensor = torch.arange(9.0).view(1, 9, 1)
    assert reference.to_map(entry, tokens).tolist() == [[[[1, 2, 3], [4, 5, 6]]]]
