"""What a model's own code does while it runs: registers hooks, calls closures, assigns buffers, turns recording off."""

from __future__ import annotations

import functools
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import funcam

IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.again, self.fc = nn.Conv2d(3, 5, 3), nn.Conv2d(5, 5, 3), nn.Linear(5, 4)

    def behind(self, v: Tensor) -> Tensor:
        return v

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.again(self.behind(self.conv(x))).relu().mean((2, 3)).tanh())


class RegistersHooks(Base):
    """As transformers collects hidden states: hooks are put on the modules at the first call."""

    def behind(self, v: Tensor) -> Tensor:
        self.again.register_forward_hook(lambda module, args, out: out + 0.1)
        self.fc.register_forward_pre_hook(lambda module, args: None)
        return v


class Closure(Base):
    """Functions that hold the module: in a closure, by default arguments, cached, one that holds itself."""

    def __init__(self) -> None:
        super().__init__()

        def deep(v: Tensor, n: int) -> Tensor:
            return deep(v, n - 1) if n else self.conv(v)

        self.deep = deep
        self.by_default = lambda v, module=self.again: module(v)
        self.weights = functools.lru_cache(maxsize=2)(lambda: self.fc.weight)
        self.register_buffer("calls", torch.zeros(()))
        self.note = lambda v: self.calls.add_(1)

    def forward(self, x: Tensor) -> Tensor:
        v = self.by_default(self.deep(x, 2)).relu()
        self.note(v)
        return v.mean((2, 3)).tanh() @ self.weights().T


class Average(Base):
    """A buffer that is assigned, not written into."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("average", torch.zeros(5))

    def behind(self, v: Tensor) -> Tensor:
        self.average = 0.9 * self.average + v.detach().mean((0, 2, 3))
        return v


class Renamed(Base):
    """A buffer that is taken away and another that comes."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("first", torch.ones(1))

    def behind(self, v: Tensor) -> Tensor:
        if hasattr(self, "first"):
            del self.first
            self.register_buffer("second", v.detach().mean()[None], persistent=False)
        return v


class NoGradBlock(Base):
    """The layer is inside; of what is behind it in the block nothing is recorded."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            v = self.conv(x)
            gate = self.again(v).mean((2, 3)).sigmoid()
        return self.fc((v.relu().mean((2, 3)) * gate).tanh())


class InferenceBlock(Base):
    def forward(self, x: Tensor) -> Tensor:
        with torch.inference_mode():
            v = self.conv(x)
            gate = self.again(v).mean((2, 3)).sigmoid()
        return self.fc((v.relu().mean((2, 3)) * gate.clone()).tanh())


def by_hand(model: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """Features, gradient and map at `conv`, with a leaf put there by a hook that records."""
    held: list[Tensor] = []

    def leaf(module: nn.Module, given: Any, A: Tensor) -> Tensor:
        with torch.inference_mode(False), torch.enable_grad():
            held.append(A.detach().clone().requires_grad_())
            return held[0].clone()

    handle = model.conv.register_forward_hook(leaf)
    logits = model(IMAGES)
    handle.remove()
    (g,) = torch.autograd.grad(logits.max(1).values.sum(), held[0])
    A = held[0].detach()
    return A, g, torch.einsum("bc,bchw->bhw", g.mean((2, 3)), A).relu()


def seeded(make: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return make().eval()


@pytest.mark.parametrize("make", [RegistersHooks, Closure, Average, Renamed, NoGradBlock, InferenceBlock])
def test_right_and_left_alone(make):
    model = seeded(make)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    A, head = funcam.split(model, "conv", example=IMAGES)(IMAGES)
    leaf = A.detach().requires_grad_()
    (g,) = torch.autograd.grad(head(leaf).max(1).values.sum(), leaf)
    maps = funcam.explain(model, IMAGES, layer="conv").maps
    funcam.explain(model, IMAGES)
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._forward_hooks_with_kwargs
        assert type(module).__module__ in (__name__, nn.Conv2d.__module__, nn.Linear.__module__)
    assert model.state_dict().keys() == state.keys()
    assert all(torch.equal(model.state_dict()[name], value) for name, value in state.items())
    if make is not Closure:  # its functions can't be pickled, before or afterwards
        pickle.dumps(model)
    right_A, right_g, right = by_hand(seeded(make))
    torch.testing.assert_close(A, right_A)
    torch.testing.assert_close(g, right_g)
    torch.testing.assert_close(maps, right)


def test_what_a_hook_fills_is_its_owners():
    """A closure's list is no part of the model: whoever made the hook reads it."""
    model, seen = seeded(Base), []
    model.conv.register_forward_hook(lambda module, args, out: seen.append(module.weight is model.conv.weight))
    funcam.explain(model, IMAGES, layer="again")
    assert seen
