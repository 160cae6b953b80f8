"""Targets: which classes are explained."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from funcam.errors import FuncamError
from funcam.targets import class_targets

LOGITS = torch.tensor([[0.0, 3.0, 1.0, 2.0], [5.0, 4.0, 6.0, 1.0]])


@given(batch=st.integers(1, 4), classes=st.integers(1, 6), data=st.data())
def test_targets_have_the_shape_that_was_asked_for(batch, classes, data):
    logits = torch.zeros(batch, classes)
    index = st.integers(0, classes - 1)
    one = data.draw(index)
    each = data.draw(st.lists(index, min_size=batch, max_size=batch))
    several = data.draw(st.lists(st.lists(index, min_size=3, max_size=3), min_size=batch, max_size=batch))
    for given_targets, want in [(one, [one] * batch), (each, each), (several, several)]:
        for form in (given_targets, torch.tensor(given_targets), np.array(given_targets, dtype=np.int32)):
            found = class_targets(form, logits)
            assert found.dtype == torch.long
            assert found.tolist() == want
    assert class_targets(tuple(each), logits).tolist() == each
    assert class_targets("all", logits).tolist() == [list(range(classes))] * batch


def test_the_predicted_class_is_the_default():
    assert class_targets(None, LOGITS).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([0], r"shape \[1\] for 2 images; expected \[2\]"),
        ([0, 1, 2], r"shape \[3\] for 2 images; expected \[2\]"),
        ([[0, 1]], r"shape \[1, 2\] for 2 images"),
        (torch.zeros(2, 1, 1, dtype=torch.long), r"shape \[2, 1, 1\]"),
        ([[], []], r"expected \[2\]|type torch.float32"),
        (torch.zeros(2, 0, dtype=torch.long), r"shape \[2, 0\]"),
        ([0.0, 1.0], "type torch.float32; expected whole numbers"),
        (torch.tensor([0.5, 1.0], dtype=torch.bfloat16), "type torch.bfloat16"),
        (torch.tensor([True, False]), "type torch.bool"),
        ([1j, 2j], "type torch.complex64"),
        ([0, 4], "class 4 is out of range: the model has 4 classes, 0 to 3"),
        (4, "class 4 is out of range"),
        (-1, "class -1 is out of range"),
        ([[0, 1], [2, -3]], "class -3 is out of range"),
        ("cat", r"targets 'cat' is not known; expected class indices, 'all', a function or None"),
        ([[0, 1], [2]], "are no class indices"),
        (["a", "b"], "are no class indices"),
        ({1: 2}, "are no class indices"),
        (2**70, "are no class indices"),
    ],
)
def test_other_targets_are_refused(targets, message):
    with pytest.raises(FuncamError, match=message) as caught:
        class_targets(targets, LOGITS)
    assert "\n" not in str(caught.value)


def test_one_image_is_spelt_in_the_singular():
    with pytest.raises(FuncamError, match=r"for 1 image; expected \[1\]"):
        class_targets([0, 1], LOGITS[:1])


def test_values_are_not_looked_at_inside_a_transform():
    found = torch.func.vmap(lambda t: class_targets(t[None], LOGITS[:1]))(torch.tensor([1, 99]))
    assert found.tolist() == [[1], [99]]
