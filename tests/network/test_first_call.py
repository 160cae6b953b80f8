"""What the first call of a model costs: how often it is run, and what is found without running it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.utils._python_dispatch import TorchDispatchMode

import funcam
from funcam.network import cutting
from funcam.network.checks import Reference, features_at, reference
from funcam.network.choice import carriers
from funcam.network.graph import Graph, trace
from funcam.network.layers import output_of, shapes_of
from funcam.network.tap import Inputs, Manner, Place
from funcam.network.traits import reads_shape


class Convolutions(TorchDispatchMode):
    """Counts the convolutions that are computed, not those on the meta device."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func)
        self.count += "convolution" in name and "backward" not in name and not args[0].is_meta
        return func(*args, **(kwargs or {}))


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3, 2), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).relu().mean((2, 3)))


class Branching(Small):
    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x).relu()
        return self.head((y if y[0].sum() >= 0 else -y).mean((2, 3)))


@pytest.mark.parametrize("batch", [1, 3])
def test_a_model_with_a_graph_is_run_three_times_before_it_is_explained(batch: int) -> None:
    model = Small().eval()
    with Convolutions() as first:
        funcam.explain(model, torch.rand(batch, 3, 32, 32), layer="conv")
    with Convolutions() as second:
        funcam.explain(model, torch.rand(batch, 3, 32, 32), layer="conv")
    assert (first.count, second.count) == (4, 1)


def test_a_model_that_is_tapped_is_run_seven_times_before_its_default_layer_is_explained() -> None:
    model = Branching().eval()
    with Convolutions() as first:
        assert funcam.explain(model, torch.rand(1, 3, 32, 32)).layer == "conv"
    assert first.count == 8


class Filtered(nn.Module):
    """A filter by frequencies, through which the image's axes can't be followed."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.mix, self.head = nn.Conv2d(3, 8, 8, 8), nn.Identity(), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.mix(torch.fft.irfft2(torch.fft.rfft2(self.conv(x)) * 0.5))
        return self.head(y.relu().mean((2, 3)))


def test_asking_which_axes_are_the_images_takes_four_passes_beside_the_one_that_is_made_anyway() -> None:
    torch.manual_seed(0)
    model, images = Filtered().eval(), torch.rand(1, 3, 64, 64)
    with Convolutions() as asked:
        found = funcam.explain(model, images, layer="mix")
    with Convolutions() as told:
        said = funcam.explain(Filtered().eval(), images, layer="mix", layout="channels-first")
    assert found.maps.shape == said.maps.shape == (1, 8, 8)
    assert asked.count - told.count == 4


@pytest.mark.parametrize("like", [torch.empty(1, 4, 9, 9), torch.empty(1, 4, 15, 15, dtype=torch.float64)])
def test_a_guess_of_what_a_layer_holds_that_is_wrong_is_corrected(like: Tensor) -> None:
    model, inputs, manner = Small().eval(), Inputs(torch.rand(1, 3, 32, 32)), Manner()
    guessed = reference(model, inputs, Place("conv"), manner, like)
    asked = reference(model, inputs, Place("conv"), manner)
    torch.testing.assert_close(_of(guessed), _of(asked))
    torch.testing.assert_close(asked.features, features_at(model, inputs, Place("conv"), manner))


def _of(known: Reference) -> list[Tensor | None]:
    return [*known.outputs, known.features, known.gradient]


class Inception(nn.Module):
    """Branches, a skip, and a shape that is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.left, self.right = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.join, self.head = nn.Conv2d(8, 4, 1), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        a = self.stem(x)
        b = self.join(torch.cat([self.left(a), self.right(a)], 1)) + a
        return self.head(b.view(x.size(0), 4, -1).mean(2))


@pytest.mark.parametrize(
    "make", [Small, Inception, lambda: __import__("torchvision").models.googlenet(init_weights=False, aux_logits=False)]
)
def test_what_carries_everything_is_what_a_search_for_a_way_around_finds(make: Callable[[], nn.Module]) -> None:
    graph = trace(make().eval())
    able = [node for node in graph.module.graph.nodes if node.op in ("call_module", "call_function", "call_method")]
    assert {node for node in able if not _way_around(graph, node)} == carriers(graph) & set(able)


def _way_around(graph: Graph, node: fx.Node) -> bool:
    seen, pending = {node}, [output_of(graph)]
    while pending:
        for given in pending.pop().all_input_nodes:
            if given.op == "placeholder":
                return True
            if given not in seen and not reads_shape(graph.module, given):
                seen.add(given)
                pending.append(given)
    return False


class Recurrent(nn.Module):
    """A recurrent layer over the rows of a map; what it returns beside the steps is returned too."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Any:
        returned = self.layer(x.mean(2).transpose(1, 2))
        return returned[0], returned[1][0]


_TWO = {"num_layers": 2, "bidirectional": True}


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *((kind, options) for kind in (nn.LSTM, nn.GRU, nn.RNN) for options in ({}, {"batch_first": True}, _TWO)),
        (nn.LSTM, {"proj_size": 2, **_TWO}),
    ],
)
def test_the_shapes_of_recurrent_layers_are_those_of_a_run(kind: Any, options: dict[str, Any]) -> None:
    images = torch.rand(1, 3, 8, 6)
    graph = trace(Recurrent(kind(3, 5, **options)).eval())
    returned: dict[fx.Node, Any] = {}

    class Running(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            returned[n] = super().run_node(n)
            return returned[n]

    Running(graph.module).run(images)
    shapes = {node: tuple(value.shape) for node, value in returned.items() if isinstance(value, Tensor)}
    assert shapes == shapes_of(graph, images.shape).of


def test_inside_compile_a_model_is_refused_and_a_split_made_before_is_taken() -> None:
    model, images = Small().eval(), torch.rand(1, 3, 32, 32)
    torch._dynamo.reset()
    with pytest.raises(funcam.FuncamError, match=r"inside torch.compile a model can't be cut.*cut it before"):
        torch.compile(lambda x: funcam.explain(model, x, 1).maps, backend="eager")(images)
    torch._dynamo.reset()
    with pytest.raises(torch._dynamo.exc.Unsupported, match=r"inside torch.compile a model can't be cut.*before"):
        torch.compile(lambda x: funcam.explain(model, x, 1).maps, backend="eager", fullgraph=True)(images)
    torch._dynamo.reset()
    split = funcam.split(model, example=images)
    maps = torch.compile(lambda x: funcam.explain(split, x, 1).maps, backend="eager")(images)
    torch.testing.assert_close(maps, funcam.explain(model, images, 1).maps)


def test_what_the_compiler_is_told_by_hand_is_what_its_own_decorator_tells() -> None:
    by_torch = torch.compiler.assume_constant_result(lambda: True)
    assert vars(by_torch).items() <= vars(vars(cutting)["_settle_while_compiling"]).items()
    assert vars(by_torch)
