"""Evaluation mode is what the model's own `train(False)` makes of it, on a twin."""

from __future__ import annotations

import pytest
import torch
from by_hand import Base, grad_cam
from torch.nn import functional as F

import funcam
from funcam import FuncamError

IMAGES = torch.randn(2, 3, 16, 20, generator=torch.Generator().manual_seed(1))


class Mode(Base):
    def prepare(self):
        self.mode = "train"

    def train(self, mode=True):
        self.mode = "train" if mode else "eval"
        return super().train(mode)

    def forward(self, x):
        return self.body(x) * (2 if self.mode == "eval" else -2)


class OwnEval(Mode):
    train = Base.train

    def eval(self):
        self.mode = "eval"
        return super().eval()


class Fused(Base):
    """Tensors that are made of the weights when evaluation begins."""

    def train(self, mode=True):
        super().train(mode)
        if not mode:
            self.fused = self.fc.weight.detach() * 2
        return self

    def forward(self, x):
        y = self.features(x).mean((2, 3))
        return self.fc(y) if self.training else F.linear(y, self.fused)


class Inside(Base):
    def prepare(self):
        self.part = Mode()

    def forward(self, x):
        return self.part(x) + self.body(x)


def assigned():
    model = Base()
    model.scale = 1.0

    def train(mode=True):
        model.scale = 1.0 if mode else -2.0
        return model

    model.train = train
    model.forward = lambda x: model.body(x) * model.scale
    return model


@pytest.mark.parametrize("make", [Mode, OwnEval, Fused, Inside, assigned])
@pytest.mark.parametrize("training", [True, False])
def test_a_train_of_the_models_own_runs(make, training):
    torch.manual_seed(0)
    model = make()
    model.train(training)
    for _ in range(2):
        state = {name: value for name, value in vars(model).items() if isinstance(value, str | float | bool)}
        result = funcam.explain(model, IMAGES, 1, layer="conv")
        assert {name: vars(model)[name] for name in state} == state
        if make is not assigned or not training:  # (a deep copy's train is the model's own)
            maps, outputs = grad_cam(model, IMAGES, 1)
            torch.testing.assert_close(result.outputs, outputs)
            torch.testing.assert_close(result.maps, maps)
        with torch.no_grad():
            model.fc.weight.mul_(-1.5)  # what was made of the weights is made anew
    assert not hasattr(model, "fused") or not training


class Needy(Base):
    def train(self, mode=True):
        if not mode:
            raise KeyError("no session")
        return super().train(mode)


def test_a_train_that_cannot_run_is_told():
    with pytest.raises(FuncamError, match=r"Needy has a train\(\) or eval\(\) of its own that can't run.*no session"):
        funcam.explain(Needy(), IMAGES, 1, layer="conv")
