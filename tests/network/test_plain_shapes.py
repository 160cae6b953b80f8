"""Shapes by formulas are those that torch computes, and where there is a doubt there is no formula."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from funcam.network.graph import trace
from funcam.network.layers import shapes_of
from funcam.network.plain_shapes import result_of


def meta(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta")


def shapes_in(made: Any) -> Any:
    return [tuple(one.shape) for one in made] if isinstance(made, tuple) else tuple(made.shape)


MODULES = {
    "strides": nn.Conv2d(4, 6, (3, 5), stride=(2, 3), padding=(1, 0), dilation=(1, 2)),
    "groups": nn.Conv2d(4, 8, 3, groups=2),
    "other weights": nn.Conv2d(3, 8, 3, bias=False),
    "floor": nn.MaxPool2d(3, 2, padding=1),
    "ceiling": nn.MaxPool2d(3, 2, padding=1, ceil_mode=True),
    "ceiling past the padding": nn.AvgPool2d(2, 3, padding=1, ceil_mode=True),
    "gaps": nn.MaxPool2d(2, dilation=3),
    "own stride": nn.AvgPool2d((2, 3)),
    "one side": nn.AdaptiveAvgPool2d((3, None)),
    "norm": nn.BatchNorm2d(4),
    "flat": nn.Flatten(),
    "inner": nn.Flatten(1, 2),
}
MODULES["other weights"].weight = nn.Parameter(torch.randn(5, 4, 1, 1))  # in_channels and kernel_size still say 3


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("size", [(9, 11), (10, 12), (8, 15)])
def test_a_module_returns_what_the_formula_says(name: str, size: tuple[int, int]) -> None:
    module = MODULES[name].eval()
    assert shapes_in(result_of(module, (meta(2, 4, *size),), {})) == shapes_in(module(torch.randn(2, 4, *size)))


FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any]]] = {
    "mean": ("mean", ([-1, -2],), {}),
    "kept mean": (torch.mean, (1,), {"keepdim": True}),
    "number": (torch.add, (3,), {}),
    "pool": (F.max_pool2d, (3,), {"stride": 2, "return_indices": False}),
    "average": (F.avg_pool2d, (3, 1, 1), {"count_include_pad": False}),
    "adaptive": (F.adaptive_avg_pool2d, ((2, 3),), {}),
    "view": ("view", (2, 2, 2, 8, 9), {}),
    "reshape": (torch.reshape, ((2, -1),), {}),
    "order": ("permute", (0, 2, 3, 1), {}),
    "axes": (torch.transpose, (1, -1), {}),
    "chunks": ("chunk", (3,), {"dim": 1}),
    "flat": (torch.flatten, (1,), {}),
    "norm": (F.layer_norm, ((8, 9),), {}),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_returns_what_the_formula_says(name: str) -> None:
    function, args, kwargs = FUNCTIONS[name]
    call = getattr(torch.Tensor, function) if isinstance(function, str) else function
    made = result_of(function, (meta(2, 4, 8, 9), *args), kwargs)
    assert shapes_in(made) == shapes_in(call(torch.randn(2, 4, 8, 9), *args, **kwargs))


@pytest.mark.parametrize("shapes", [((2, 4, 8, 9), (4, 1, 1)), ((2, 4, 1, 1), (2, 4, 8, 9)), ((1, 4), (2, 1))])
def test_products_and_joins_of_two_are_what_torch_makes(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    given = [torch.randn(shape) for shape in shapes]
    assert result_of(torch.mul, [meta(*shape) for shape in shapes], {}).shape == (given[0] * given[1]).shape
    both = [meta(*shapes[0]), meta(*shapes[0])]
    assert result_of(torch.cat, (both, -1), {}).shape == torch.cat([given[0], given[0]], -1).shape


REFUSED = {
    "other channels": (nn.Conv2d(3, 8, 3), (meta(1, 4, 8, 8),)),
    "too small": (nn.Conv2d(4, 8, 9), (meta(1, 4, 8, 8),)),
    "without a batch": (nn.Conv2d(4, 8, 3), (meta(4, 8, 8),)),
    "another type": (nn.Conv2d(4, 8, 3).double(), (meta(1, 4, 8, 8),)),
    "named padding": (nn.Conv2d(4, 8, 3, padding="same"), (meta(1, 4, 8, 8),)),
    "other padding": (nn.Conv2d(4, 8, 3, padding=1, padding_mode="circular"), (meta(1, 4, 8, 8),)),
    "other features": (nn.Linear(4, 2), (meta(1, 5),)),
    "indices": (nn.MaxPool2d(2, return_indices=True), (meta(1, 4, 8, 8),)),
    "too much padding": (nn.MaxPool2d(2, padding=2), (meta(1, 4, 8, 8),)),
    "own statistics": (nn.BatchNorm2d(4, track_running_stats=False), (meta(1, 4, 8, 8),)),
    "no broadcast": (torch.add, (meta(1, 4), meta(1, 3))),
    "other types": (torch.add, (meta(1, 4), meta(1, 4).double())),
    "other sizes": (torch.cat, ([meta(1, 4), meta(2, 3)], 1)),
    "no such axis": ("mean", (meta(1, 4), 2)),
    "first axis moved": ("transpose", (meta(1, 4), 0, 1)),
    "first axis split": ("chunk", (meta(4, 4), 2)),
    "an unknown one": (torch.cumsum, (meta(1, 4), 0)),
    "something without a hash": ([], (meta(1, 4),)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_where_torch_might_say_something_else_there_is_no_formula(name: str) -> None:
    assert result_of(*REFUSED[name], {}) is None


class Shuffled(nn.Module):
    """Much of what networks do, a part of which no formula tells."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3, 2), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        batch, channels, height, width = y.size()
        y = y.view(batch, 2, channels // 2, height, width).transpose(1, 2).contiguous().view(batch, -1, height, width)
        one, other = y.chunk(2, dim=1)
        y = torch.cat((one.roll(1, 2), F.relu(other).cumsum(1)), 1) * y.mean((2, 3), keepdim=True).sigmoid()
        return self.fc(F.adaptive_avg_pool2d(y, 1).flatten(1))


def test_all_nodes_of_a_graph_have_the_shapes_that_running_it_shows() -> None:
    graph = trace(Shuffled().eval())
    seen: dict[torch.fx.Node, tuple[int, ...]] = {}

    class Noting(torch.fx.Interpreter):
        def run_node(self, n: torch.fx.Node) -> Any:
            made = super().run_node(n)
            if isinstance(made, Tensor):
                seen[n] = tuple(made.shape)
            return made

    Noting(graph.module, graph=graph.module.graph).run(torch.randn(1, 3, 17, 20))
    assert shapes_of(graph, (1, 3, 17, 20)).of == seen
