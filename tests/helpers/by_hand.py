"""Grad-CAM by plain autograd on a copy of a model in evaluation mode, as a user would compute it."""

from __future__ import annotations

import copy

import torch
from torch import nn


class Base(nn.Module):
    """A convolution and a head, for models whose `forward` does something unusual in between."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 6, 3, 2, 1), nn.Linear(6, 5)
        self.prepare()

    def prepare(self):
        """Whatever else the model holds."""

    def features(self, x):
        return torch.relu(self.conv(x))

    def body(self, x):
        return self.fc(self.features(x).mean((2, 3)))

    def forward(self, x):
        return self.body(x)


class Reversed(torch.autograd.Function):
    """Passes on what it is given, and back its opposite, twice."""

    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return -2 * gradient


class Reversing(Base):
    """Has a derivative of its own, in the old form, which `torch.func` refuses."""

    def features(self, x):
        return Reversed.apply(super().features(x))


def grad_cam(model, images, target, layer="conv"):
    """The map `[B, H, W]` and the outputs."""
    own = model if "forward" in vars(model) else copy.deepcopy(model).eval()  # (a copy's closures hold the model)
    kept = []

    def keep(_module, _given, output):
        kept.append(output)
        output.retain_grad()

    handle = own.get_submodule(layer).register_forward_hook(keep)
    with torch.enable_grad():
        outputs = own(images.clone().requires_grad_())
        outputs[:, target].sum().backward()
    handle.remove()
    own.zero_grad()
    (A,) = kept
    return (A.grad.mean((2, 3), keepdim=True) * A).sum(1).relu().detach(), outputs.detach()
