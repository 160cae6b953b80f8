"""Code with a derivative of its own: an exported graph computes what it computes, and passes back something else."""

from __future__ import annotations

import pytest
import torch
from by_hand import Base, Reversing

import funcam

IMAGES = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(1))


class Straight(torch.autograd.Function):
    @staticmethod
    def forward(x):
        return (4 * x).round() / 4

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Rounding(Base):
    def features(self, x):
        return Straight.apply(super().features(x))


class Hooking(Base):
    def features(self, x):
        x = super().features(x)
        if x.requires_grad:
            x.register_hook(lambda gradient: 2 * gradient)
        return x


@pytest.mark.parametrize("make", [Reversing, Rounding, Hooking])
@pytest.mark.parametrize("method", ["guided-backprop", "guided-grad-cam", "full-grad"])
def test_what_is_made_of_a_graph_is_refused(make, method):
    with pytest.raises(funcam.FuncamError, match=r"derivative .*; use gradient, or grad-cam"):
        funcam.explain(make(), IMAGES, 1, method=method)


@pytest.mark.parametrize("make", [Reversing, Rounding, Hooking])
def test_what_is_made_of_the_code_is_autograds(make):
    model, given = make().eval(), IMAGES.clone().requires_grad_()
    (want,) = torch.autograd.grad(model(given)[:, 1].sum(), given)
    torch.testing.assert_close(funcam.explain(model, IMAGES, 1, method="gradient").maps, want, rtol=1e-4, atol=1e-8)
