"""Code that `torch.func` refuses, or that keeps nothing for its derivative without grad mode: autograd takes it."""

from __future__ import annotations

import copy

import pytest
import torch
from by_hand import Base, Reversing
from torch import nn

import funcam

IMAGES = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))


class Retaining(Base):
    def features(self, x):
        x = super().features(x)
        if x.requires_grad:
            x.retain_grad()
        return x


class Recurrent(Base):
    def prepare(self):
        self.cells = nn.LSTM(6, 6, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(12, 5)

    def body(self, x):
        return self.fc(self.cells(self.features(x).flatten(2).mT)[0].mean(1))


MODELS = [Reversing, Retaining, Recurrent]


def made(make):
    torch.manual_seed(3)
    return make().eval()


def gradients(model, images, classes):
    """The gradients `[B, K, channels, *size]` by autograd."""
    given = images.clone().requires_grad_()
    outputs = copy.deepcopy(model)(given)
    return torch.stack([torch.autograd.grad(outputs[:, k].sum(), given, retain_graph=True)[0] for k in classes], 1)


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("classes", [[2], [0, 4]])
@pytest.mark.parametrize("count", [1, 3])
def test_the_image_s_gradient_is_autograd_s(make, classes, count):
    model, images = made(make), IMAGES[:count]
    want = gradients(model, images, classes)
    smooth = {"samples": 2, "noise": 0.0}
    methods = [("gradient", 1, {}), ("input-x-gradient", images[:, None], {}), ("smooth-grad", 1, smooth)]
    for method, factor, options in methods:
        found = funcam.explain(model, images, [classes] * count, method=method, **options)
        torch.testing.assert_close(found.maps, want * factor, rtol=1e-4, atol=1e-7)
