"""What the tests of the zoo share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from funcam.errors import FuncamError

NAME = "shufflenet_v2_x0_5"
"""A network of 1.4 million parameters."""


def refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(FuncamError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def assert_same_network(model: nn.Module, expected: nn.Module) -> None:
    state = model.state_dict()
    assert set(state) == set(expected.state_dict())
    assert all(torch.equal(state[key], tensor) for key, tensor in expected.state_dict().items())
