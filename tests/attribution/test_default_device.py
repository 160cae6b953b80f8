"""Torch's default device and type are the caller's, for tensors of their own: funcam's are the model's."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from explanation_cases import HERE, IMAGES
from metric_arguments import FUNCTIONS, call
from small import small

import funcam

OWN = {"smooth-grad": {"samples": 3}, "ss-cam": {"samples": 3}, "is-cam": {"samples": 3}, "dff": {"iterations": 5}}


@contextmanager
def default(setter, value, back):
    setter(value)
    try:
        yield
    finally:
        setter(back)


def elsewhere():
    """A device on which nothing has values: whatever is made there by mistake can't be used."""
    return default(torch.set_default_device, "meta", None)


@pytest.mark.parametrize("method", HERE)
def test_every_method_on_another_default_device_and_in_another_default_type(method):
    options = OWN.get(method, {})
    want = funcam.explain(small(), IMAGES, [1, 4, 2], method=method, **options)
    fresh = small(), small()
    with elsewhere():
        found = funcam.explain(fresh[0], IMAGES, [1, 4, 2], method=method, **options)
    torch.testing.assert_close(found.maps, want.maps)
    with default(torch.set_default_dtype, torch.float64, torch.float32):
        found = funcam.explain(fresh[1], IMAGES, [1, 4, 2], method=method, **options)
    assert found.maps.dtype == torch.float32
    torch.testing.assert_close(found.maps, want.maps)


TARGETS = {
    "number": lambda: 2,
    "lists": lambda: [[0, 1], [2, 3], [4, 0]],
    "contrast": lambda: funcam.contrast([0, 1, 2], [3, 4, 0]),
    "probability": lambda: funcam.probability([0, 1, 2]),
    "similarity": lambda: funcam.similarity([1.0, 0.0, 2.0, 0.0, 0.0]),
    "function": lambda: lambda logits: logits[:, :2],
}


@pytest.mark.parametrize("via", [None, "tap"])
@pytest.mark.parametrize("kind", TARGETS)
def test_every_target_on_another_default_device(kind, via):
    want = funcam.explain(small(), IMAGES, TARGETS[kind]())
    split = funcam.split(small(), "blocks", via=via)
    with elsewhere():
        found = funcam.explain(split, IMAGES, TARGETS[kind]())
        str(found)
        found.to_dict()
    torch.testing.assert_close(found.maps, want.maps)


OF_TENSORS = [name for name in FUNCTIONS if all(isinstance(part, torch.Tensor) for part in call(name))]


@pytest.mark.parametrize("name", OF_TENSORS)
def test_every_metric_on_another_default_device(name):
    want = call(name)
    with elsewhere():
        found = call(name)
    for ours, theirs in zip(found, want, strict=True):
        torch.testing.assert_close(ours, theirs, equal_nan=True)


def test_a_shuffled_model_on_another_default_device():
    model = small()
    with elsewhere():
        (_, shuffled), *_ = funcam.metrics.cascading_randomisation(model, ["fc"])
    assert sorted(shuffled.fc.bias.tolist()) == sorted(model.fc.bias.tolist())
