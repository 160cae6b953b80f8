"""What a score is where a model goes on behind its softmax or sigmoid: probabilities, or numbers, and it is said."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import funcam
from funcam.network.ending import ending_of

IMAGES = torch.randn(2, 3, 12, 10, generator=torch.Generator().manual_seed(0))


class Ending(nn.Module):
    """A small network with some function at its end."""

    def __init__(self, end, classes=5):
        super().__init__()
        torch.manual_seed(1)
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc, self.end = nn.Linear(6, classes), end
        self.register_buffer("weights", torch.tensor([0.25, 0.75]))
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, x):
        return self.end(self, 8 * self.fc(self.body(x)))


def both(z):
    return torch.stack([z.sigmoid(), (z / 2).sigmoid()])


def filled(net, z):
    out = torch.zeros_like(z)
    out[:, :3] = z[:, :3].sigmoid()
    for column in (3, 4):
        out[:, column] = z[:, column].sigmoid() / 2
    return out


PROBABILITIES = {
    "mean of sigmoids": lambda net, z: (z.sigmoid() + (z / 2).sigmoid()) / 2,
    "mean of softmaxes": lambda net, z: (z.softmax(1) + (z / 2).softmax(1)) / 2,
    "clamped softmax": lambda net, z: z.softmax(1).clamp(0.05, 0.9),
    "the other answer": lambda net, z: 1 - z.sigmoid(),
    "softmax by hand": lambda net, z: z.exp() / z.exp().sum(1, keepdim=True),
    "sigmoid by hand": lambda net, z: 1 / (1 + (-z).exp()),
    "weighted by a buffer": lambda net, z: net.weights[0] * z.sigmoid() + net.weights[1] * (z / 2).sigmoid(),
    "weighted in one product": lambda net, z: torch.einsum("m,mbc->bc", net.weights, both(z)),
    "weighted by a softmax": lambda net, z: torch.einsum("m,mbc->bc", net.weights.softmax(0), both(z)),
    "either of two": lambda net, z: 1 - (1 - both(z)).prod(0),
    "written into columns": filled,
    "in place": lambda net, z: z.clone().sigmoid_().mul_(0.5),
    "of a tanh": lambda net, z: (z.tanh() + 1) / 2,
    "clamped logits": lambda net, z: (z / 6 + 0.5).clamp(0, 1),
}
LOGITS = {
    "scaled into [0, 1]": lambda net, z: z / 100 + 0.5,
    "gated": lambda net, z: z * z.sigmoid(),
    "gated by a parameter": lambda net, z: z * net.scale.sigmoid(),
    "behind hidden sigmoids": lambda net, z: F.linear(z.sigmoid(), net.fc.weight[:, :5]) / 100 + 0.5,
    "soft cap": lambda net, z: 30 * (z / 30).tanh(),
    "log-softmax": lambda net, z: z.log_softmax(1),
    "logarithm of a mean": lambda net, z: ((z.softmax(1) + (z / 2).softmax(1)) / 2).log(),
}
NUMBERS = {
    "log-sigmoid": lambda net, z: F.logsigmoid(z),
    "logarithm of a sigmoid": lambda net, z: z.sigmoid().log(),
    "a sigmoid's range": lambda net, z: 10 * z.sigmoid() - 5,
    "rates": lambda net, z: z.exp(),
    "probabilities beside logits": lambda net, z: torch.cat([z[:, :2].sigmoid(), z[:, 2:]], 1),
}


@pytest.mark.parametrize("case", PROBABILITIES)
def test_what_is_made_of_probabilities_is_the_probability(case):
    model = Ending(PROBABILITIES[case]).eval()
    explained = funcam.explain(model, IMAGES, funcam.probability(1), method="gradient")
    torch.testing.assert_close(explained.scores.flatten(), model(IMAGES)[:, 1].detach())


@pytest.mark.parametrize("case", LOGITS)
def test_logits_stay_logits(case):
    model = Ending(LOGITS[case]).eval()
    explained = funcam.explain(model, IMAGES, funcam.probability(1), method="gradient")
    torch.testing.assert_close(explained.scores.flatten(), model(IMAGES).softmax(1)[:, 1].detach())


@pytest.mark.parametrize("case", NUMBERS)
def test_what_is_no_probability_is_taken_as_it_is_and_it_is_said(case):
    model = Ending(NUMBERS[case]).eval()
    with pytest.warns(funcam.FuncamWarning, match=r"isn't known.*say scores="):
        explained = funcam.explain(model, IMAGES, funcam.probability(1), method="gradient")
    torch.testing.assert_close(explained.scores.flatten(), model(IMAGES)[:, 1].detach())
    with warnings.catch_warnings():  # what the caller says needs no word
        warnings.simplefilter("error")
        explained = funcam.explain(model, IMAGES, funcam.probability(1), method="gradient", scores="softmax")
    torch.testing.assert_close(explained.scores.flatten(), model(IMAGES).softmax(1)[:, 1].detach())


def test_one_logit_behind_a_mean_is_a_probability_and_a_plain_one_is_not():
    mean = Ending(PROBABILITIES["mean of sigmoids"], classes=1).eval()
    assert ending_of(lambda: mean(IMAGES), lambda outputs: outputs) == "sigmoid"
    assert ending_of(lambda: Ending(LOGITS["gated"], 1).eval()(IMAGES), lambda outputs: outputs) is None
    with torch.no_grad():
        expected = mean(IMAGES)[:, 0]
    torch.testing.assert_close(funcam.explain(mean, IMAGES, funcam.probability(0)).scores.flatten(), expected)
