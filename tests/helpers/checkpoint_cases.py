"""What the tests of weights share: a state dict's type, odd values, and how a refusal looks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from funcam.errors import FuncamError

State = dict[str, Tensor]


def filled(model: nn.Module) -> nn.Module:
    """The model with other values everywhere, BatchNorm's statistics included."""
    generator = torch.Generator().manual_seed(7)
    for tensor in model.state_dict().values():
        if tensor.ndim > 1:
            tensor.uniform_(-1, 1, generator=generator).mul_((3 / tensor[0].numel()) ** 0.5)
        elif tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5, generator=generator)
    return model.eval()


def saved(content: Any, file: Path, **options: Any) -> Path:
    torch.save(content, file, **options)
    return file


def refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(FuncamError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 700
    return message


def assert_same(state: State, expected: State) -> None:
    assert set(state) == set(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(state[name], tensor, rtol=0, atol=0)
