"""Code that writes into its parameters, or into what else it was given: the caller's stay as they are."""

from __future__ import annotations

import copy

import pytest
import torch
from by_hand import Base, grad_cam
from torch import nn
from torch.nn import functional as F

import funcam

IMAGES = torch.randn(2, 3, 16, 20, generator=torch.Generator().manual_seed(1))


class MaxNorm(Base):
    def forward(self, x):
        with torch.no_grad():
            self.fc.weight.div_(self.fc.weight.norm(dim=1, keepdim=True))
        return self.body(x)


class ByData(Base):
    def forward(self, x):
        self.fc.weight.data *= 0.5
        return self.body(x)


class Replaced(Base):
    def forward(self, x):
        self.fc.weight.data = F.normalize(self.fc.weight.data, dim=1)
        return self.body(x)


class Clamped(Base):
    def forward(self, x):
        for parameter in self.fc.parameters():
            parameter.data.clamp_(-0.1, 0.1)
        return self.body(x)


class Item(Base):
    def forward(self, x):
        with torch.no_grad():
            self.fc.weight[0] = 0.25
        return self.body(x)


class ForEach(Base):
    def forward(self, x):
        with torch.no_grad():
            torch._foreach_mul_(list(self.fc.parameters()), 0.5)
        return self.body(x)


class Out(Base):
    def forward(self, x):
        with torch.no_grad():
            torch.mul(self.fc.weight, 0.5, out=self.fc.weight)
        return self.body(x)


class Renormed(Base):
    def prepare(self):
        self.table = nn.Embedding(4, 6, max_norm=0.5)

    def forward(self, x):
        return self.fc(self.features(x).mean((2, 3)) * self.table(torch.zeros(len(x), dtype=torch.long)))


class Branching(MaxNorm):
    def forward(self, x):
        return super().forward(x) if x.sum() > -1e9 else x


class Merged(Base):
    """Adapters that `train(False)` merges into the weights, as those for low rank are."""

    def prepare(self):
        self.extra, self.merged = nn.Parameter(torch.randn(5, 6)), False

    def train(self, mode=True):
        super().train(mode)
        if mode == self.merged:
            self.fc.weight.data += -self.extra.data if mode else self.extra.data
            self.merged = not mode
        return self

    def forward(self, x):
        y = self.features(x).mean((2, 3))
        return self.fc(y) if self.merged else self.fc(y) + F.linear(y, self.extra)


WRITING = [MaxNorm, ByData, Replaced, Clamped, Item, ForEach, Out, Renormed, Branching, Merged]


@pytest.mark.parametrize("make", WRITING)
@pytest.mark.parametrize("hooked", [False, True])
def test_parameters_that_the_code_writes_stay_the_callers(make, hooked):
    torch.manual_seed(0)
    model = make().train()
    if hooked:
        model.conv.register_forward_hook(lambda _m, _g, output: 2 * output)
    before = copy.deepcopy(model.state_dict())
    versions = [parameter._version for parameter in model.parameters()]
    maps, outputs = grad_cam(model, IMAGES, 1)
    for options in ({}, {"differentiable": True}):
        result = funcam.explain(model, IMAGES, 1, layer="conv", **options)
        torch.testing.assert_close(result.outputs.detach(), outputs)
        torch.testing.assert_close(result.maps.detach(), maps)
    funcam.explain(model, IMAGES, 1, layer="conv", method="ablation-cam")
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert versions == [parameter._version for parameter in model.parameters()]


class Freezing(Base):
    def forward(self, x):
        self.requires_grad_(False)
        return self.body(x)


class FreezingOne(Base):
    def forward(self, x):
        self.fc.weight.requires_grad = False
        return self.body(x)


class FrozenByTrain(Base):
    def train(self, mode=True):
        super().train(mode)
        for parameter in self.conv.parameters():
            parameter.requires_grad = False
        return self


@pytest.mark.parametrize("make", [Freezing, FreezingOne, FrozenByTrain])
def test_parameters_ask_for_gradients_as_they_did(make):
    model = make()
    for options in ({}, {"differentiable": True}):
        funcam.explain(model, IMAGES, 1, layer="conv", **options)
    funcam.split(model, "conv", example=IMAGES)
    assert all(parameter.requires_grad for parameter in model.parameters())


class Counting(Base):
    """A plain tensor that is written at each call."""

    def prepare(self):
        self.calls = torch.zeros(6)

    def forward(self, x):
        self.calls += 1
        return self.fc(self.features(x).mean((2, 3)) * self.calls)


def test_a_plain_tensor_is_written_by_nobody_else():
    model = Counting().eval()
    for method in ("grad-cam", "ablation-cam"):
        result = funcam.explain(model, IMAGES, 1, layer="conv", method=method)
        torch.testing.assert_close(result.outputs, copy.deepcopy(model)(IMAGES))
    assert not model.calls.any()


class Stateful(Base):
    def forward(self, x, state, mask):
        state["calls"] += 1
        mask += 1
        return self.fc(self.features(x).mean((2, 3)) * state["calls"] * mask)


def test_what_is_given_besides_the_images_is_not_written():
    model, state, mask = Stateful().eval(), {"calls": 0}, torch.zeros(2, 1)
    result = funcam.explain(model, IMAGES, 1, layer="conv", inputs={"state": state, "mask": mask})
    assert state == {"calls": 0}
    assert not mask.any()
    torch.testing.assert_close(result.outputs, model(IMAGES, {"calls": 0}, torch.zeros(2, 1)))
