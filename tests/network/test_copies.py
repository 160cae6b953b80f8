"""Splits and explanations that are copied or pickled: it works, or it is refused in words."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import funcam

IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()


def first(outputs: Any) -> Any:
    return outputs


def pair() -> funcam.Split:
    whole = model()
    return funcam.split((whole[:2], whole[2:]))


@pytest.mark.parametrize("make", [lambda: funcam.split(KEPT, "1"), pair])
@pytest.mark.parametrize("used", [False, True])
def test_a_split_is_refused_by_pickle_in_words_and_copied_as_it_is(
    make: Callable[[], funcam.Split], used: bool
) -> None:
    split = make()
    if used:
        split(IMAGES)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(funcam.FuncamError, match=r"can't be pickled.*split it again"):
            pickle.dumps(split, protocol)
    with pytest.raises(funcam.FuncamError, match="can't be pickled"):
        torch.save({"split": split}, io.BytesIO())
    for copied in (copy.copy(split), copy.deepcopy(split), copy.deepcopy([split])[0]):
        features, head = copied(IMAGES)
        torch.testing.assert_close(head(features), split(IMAGES)[1](features))


KEPT = model()


def test_a_model_with_a_split_in_it_is_copied() -> None:
    whole = model()
    holder = nn.Module()
    holder.whole, holder.cut = whole, funcam.split(whole, "1")
    copied = copy.deepcopy(holder)
    assert copied.whole is not whole
    torch.testing.assert_close(copied.cut(IMAGES)[0], whole[:2](IMAGES))


def test_an_explanation_is_pickled_and_copied_with_all_that_is_in_it() -> None:
    result = funcam.explain(model(), IMAGES, [1, 2], layer="1", output=first)
    loaded = [pickle.loads(pickle.dumps(result, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    for other in (*loaded, copy.copy(result), copy.deepcopy(result)):
        for name in ("maps", "targets", "scores", "logits"):
            assert torch.equal(getattr(other, name), getattr(result, name))
        assert (other.layer, other.method, other.output) == (result.layer, result.method, first)
    assert copy.deepcopy(result).maps.data_ptr() != result.maps.data_ptr()


def test_an_explanation_that_cannot_be_pickled_or_copied_says_why() -> None:
    odd = funcam.explain(model(), IMAGES, layer="1", output=lambda outputs: outputs)
    with pytest.raises(funcam.FuncamError, match=r"output= is .*pickle result\.maps"):
        pickle.dumps(odd)
    assert torch.equal(copy.deepcopy(odd).logits, odd.logits)
    assert copy.copy(odd).output is odd.output
    differentiable = funcam.explain(model(), IMAGES, layer="1", differentiable=True)
    with pytest.raises(funcam.FuncamError, match=r"differentiable.*detach"):
        copy.deepcopy(differentiable)
