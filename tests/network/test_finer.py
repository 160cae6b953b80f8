"""The layer beside a cut with the next larger grid: the last one whose values can't be negative."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from funcam.network.finer import finer_layer
from funcam.network.graph import trace
from funcam.network.traits import has_negative_constant

IMAGES = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Arithmetic(nn.Module):
    """Behind a ReLU a module that computes, which pooling follows."""

    def __init__(self, function) -> None:
        super().__init__()
        self.conv, self.relu, self.behind = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), Behind(function)
        self.pool, self.deeper = nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        return self.deeper(self.pool(self.behind(self.relu(self.conv(x))))).mean((2, 3))


class Behind(nn.Module):
    """A function as a module."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function
        self.register_buffer("below", torch.tensor(-3.0))

    def forward(self, x):
        return self.function(self, x)


NEGATIVE = {
    "sum": lambda self, x: x + (-3),
    "sum, the number first": lambda self, x: -3 + x,
    "sum, by a function": lambda self, x: torch.add(x, -3.0),
    "sum, by a keyword": lambda self, x: torch.add(input=x, other=-3),
    "difference of maps": lambda self, x: torch.add(x, x.flip(1), alpha=-2),
    "sum with a buffer": lambda self, x: x + self.below,
    "product": lambda self, x: x * -1,
    "product, by a method": lambda self, x: x.mul(-0.5),
    "product, by its long name": lambda self, x: torch.multiply(x, -1),
    "quotient": lambda self, x: x / -2,
    "quotient, by a function": lambda self, x: torch.div(x, -2.0),
}
KEEPING = {
    "sum": lambda self, x: x + 3,
    "sum of maps": lambda self, x: x + x.flip(1),
    "product": lambda self, x: x * 0.5,
    "product with zero": lambda self, x: x * 0,
    "quotient": lambda self, x: x / 2,
    "quotient by a size": lambda self, x: x / x.shape[1],
    "axes counted from the end": lambda self, x: x.transpose(-1, -2),
    "joined along an axis from the end": lambda self, x: torch.cat([x[:, :2], x[:, 2:]], -3),
}


@pytest.mark.parametrize("name", NEGATIVE)
def test_what_a_negative_number_makes_of_an_activation_is_none(name: str) -> None:
    model = Arithmetic(NEGATIVE[name]).eval()
    assert model.behind(torch.rand(1, 4, 16, 16)).min() < 0
    assert finer_layer(model, "deeper", IMAGES) == "relu"


@pytest.mark.parametrize("name", KEEPING)
def test_what_keeps_an_activation_from_being_negative_is_one(name: str) -> None:
    model = Arithmetic(KEEPING[name]).eval()
    assert model.behind(torch.rand(1, 4, 16, 16)).min() >= 0
    assert finer_layer(model, "deeper", IMAGES) == "behind"


@pytest.mark.parametrize(("number", "expected"), [(-1, True), (-0.0, False), (0, False), (float("nan"), True)])
def test_a_number_that_is_not_above_zero_is_told(number: float, expected: bool) -> None:
    graph = trace(Behind(lambda self, x: x * number))
    (node,) = graph.module.graph.output_node().all_input_nodes
    assert has_negative_constant(graph, node) is expected
