"""What operations are: alike as module, function, method and ATen's, and true of what they compute."""

from __future__ import annotations

import operator

import pytest
import torch
from small import tiny_swin, tiny_vit
from torch import fx, nn
from torch.nn import functional

from funcam.network.exported import export
from funcam.network.graph import Graph, trace
from funcam.network.rewrites.explicit_attention import attentions_of
from funcam.network.traits import (
    is_attention,
    is_fresh,
    is_homogeneous,
    is_not_negative,
    is_passing,
    is_view,
    is_weighted,
    keeps_sign,
    operation,
    reads_shape,
    sets_grid,
)


class Call(nn.Module):
    """A function as a module."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


X = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))

FORMS = {
    "ReLU": (nn.ReLU(), functional.relu, lambda x: x.relu()),
    "ReLU6": (
        nn.ReLU6(),
        functional.relu6,
        nn.Hardtanh(0, 6),
        lambda x: functional.hardtanh(x, max_val=6.0, min_val=0),
    ),
    "softmax": (nn.Softmax(1), lambda x: functional.softmax(x, 1), lambda x: x.softmax(1)),
    "sigmoid": (nn.Sigmoid(), torch.sigmoid, lambda x: x.sigmoid()),
    "GELU": (nn.GELU(), functional.gelu),
    "pooling": (nn.MaxPool2d(2), lambda x: functional.max_pool2d(x, 2), torch.nn.AvgPool2d(2)),
    "dropout": (nn.Dropout(), lambda x: functional.dropout(x, training=False), nn.Dropout2d()),
    "axes": (lambda x: x.permute(0, 2, 3, 1), lambda x: torch.movedim(x, 1, -1), lambda x: x.transpose(1, 2)),
    "shape": (nn.Flatten(), lambda x: torch.flatten(x, 1), lambda x: x.reshape(1, -1)),
    "convolution": (nn.Conv2d(4, 4, 1), lambda x: functional.conv2d(x, torch.ones(4, 4, 1, 1))),
    "transposed": (nn.ConvTranspose2d(4, 4, 2), lambda x: functional.conv_transpose2d(x, torch.ones(4, 4, 2, 2))),
    "norm": (nn.LayerNorm(8), lambda x: functional.layer_norm(x, (8,))),
    "sum": (lambda x: x + 1, lambda x: torch.add(x, 1), lambda x: x.add(1)),
    "quotient": (lambda x: x / 2, lambda x: torch.true_divide(x, 2), lambda x: x.div(2)),
}
OF_NODES = (is_not_negative, is_passing, is_weighted)
OF_NAMES = (is_homogeneous, keeps_sign, sets_grid)


def last(graph: Graph) -> fx.Node:
    """The node that the graph returns."""
    (node,) = graph.module.graph.output_node().all_input_nodes
    return node


@pytest.mark.parametrize("name", FORMS)
def test_an_operation_is_the_same_in_every_form(name: str) -> None:
    models = [Call(form).eval() for form in FORMS[name]]
    graphs = [*map(trace, models), *(export(model, X) for model in models)]
    graphs = [graph for graph in graphs if last(graph).op != "placeholder"]  # an exported dropout is gone
    assert len(graphs) >= len(models)
    traits = {
        (
            *(trait(graph, last(graph)) for trait in OF_NODES),
            *(trait(operation(graph, last(graph))) for trait in OF_NAMES),
        )
        for graph in graphs
    }
    assert len(traits) == 1


RUN = {
    "add": lambda x: x + x,
    "max_pool2d": lambda x: functional.max_pool2d(x, 2),
    "avg_pool2d": lambda x: functional.avg_pool2d(x, 2),
    "interpolate": lambda x: functional.interpolate(x, scale_factor=2),
    "relu": torch.relu,
    "leaky_relu": functional.leaky_relu,
    "gelu": functional.gelu,
    "softmax": lambda x: x.softmax(1),
    "exp": torch.exp,
    "neg": torch.neg,
    "mean": lambda x: x.mean(1),
    "amax": lambda x: x.amax(1),
    "sub": lambda x: x - x.flip(1),
    "permute": lambda x: x.permute(0, 2, 3, 1),
    "getitem": lambda x: x[:, 1:],
    "clone": torch.clone,
    "contiguous": lambda x: x.contiguous(),
    "float": lambda x: x.float(),
    "flip": lambda x: x.flip(1),
    "expand": lambda x: x.expand(2, -1, -1, -1),
    "repeat": lambda x: x.repeat(2, 1, 1, 1),
    "conv_transpose2d": lambda x: functional.conv_transpose2d(x, -torch.ones(4, 4, 2, 2)),
    "pixel_shuffle": lambda x: functional.pixel_shuffle(x, 2),
    "chunk": lambda x: x.chunk(2, 1)[1],
    "unfold": lambda x: x.unfold(2, 2, 2),
    "zero_pad": nn.ZeroPad2d(1),
    "mT": lambda x: x.mT,
    "to": lambda x: x.to(torch.float32),
    "dropout": nn.Dropout().eval(),
    "stack": lambda x: torch.stack([x, x]),
    "max_unpool2d": lambda x: functional.max_unpool2d(x, torch.arange(256).view(1, 4, 8, 8) % 64, 2),
}


@pytest.mark.parametrize("name", RUN)
def test_what_is_said_of_an_operation_is_true_of_its_values(name: str) -> None:
    model = RUN[name] if isinstance(RUN[name], nn.Module) else Call(RUN[name])
    graph = trace(model)
    node = last(graph)
    called = operation(graph, node)
    if is_not_negative(graph, node):
        assert model(X).min() >= 0
    if keeps_sign(called):
        assert model(X.abs()).min() >= 0
    if is_homogeneous(called):
        torch.testing.assert_close(model(3 * X), 3 * model(X))
    shares = model(X).untyped_storage().data_ptr() == X.untyped_storage().data_ptr()
    assert is_view(graph.module, node) or not shares
    assert not (is_fresh(graph.module, node) and shares)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x.shape[0], True),
        (lambda x: x.size(), True),
        (lambda x: torch.zeros_like(x), True),
        (lambda x: x.dtype, True),
        (lambda x: x.max(1).values, False),
        (lambda x: x.mT, False),
        (lambda x: x.sum(), False),
    ],
)
def test_reading_a_shape_is_not_reading_values(function, expected: bool) -> None:
    graph = trace(Call(function))
    (node, *_) = graph.module.graph.find_nodes(op="placeholder")[0].users
    assert reads_shape(graph.module, node if expected else last(graph)) is expected


class Written(nn.Module):
    """Attention written out, with whatever stands behind and before its softmax."""

    def __init__(self, before, behind, product) -> None:
        super().__init__()
        self.before, self.behind, self.product = before, behind, product

    def forward(self, x):
        x = x.flatten(2)
        scores = self.before(self.product(x, x.transpose(1, 2)))
        return self.product(self.behind(scores.softmax(-1)), x)


@pytest.mark.parametrize("product", [torch.matmul, torch.bmm, operator.matmul])
@pytest.mark.parametrize("behind", [nn.Dropout(), lambda x: x.float(), lambda x: x.contiguous()])
@pytest.mark.parametrize("before", [lambda s: s / 2, lambda s: 0.5 * s, lambda s: s.reshape(1, 4, 4) + 1])
def test_a_softmax_between_two_products_is_attention(before, behind, product) -> None:
    graph = trace(Written(before, behind, product).eval())
    assert [operation(graph, n) for n in graph.module.graph.nodes if is_attention(graph, n)] == ["softmax"]
    assert [operation(graph, n) for n in attentions_of(graph)] == ["softmax"]


@pytest.mark.parametrize(
    "function",
    [lambda x: (x.mean((2, 3)) @ torch.ones(4, 3)).softmax(1), lambda x: x.softmax(1) * x],
)
def test_another_softmax_is_no_attention(function) -> None:
    graph = trace(Call(function))
    assert not [node for node in graph.module.graph.nodes if is_attention(graph, node)]


def test_attention_whose_softmax_is_of_the_keys_alone_has_no_map_of_tokens() -> None:
    graph = trace(Call(lambda x: x @ (x.softmax(2).transpose(-1, -2) @ x)))
    assert [operation(graph, node) for node in graph.module.graph.nodes if is_attention(graph, node)] == ["softmax"]
    assert attentions_of(graph) == []


def test_attention_in_windows_is_attention_that_is_not_written_out() -> None:
    swin, vit = trace(tiny_swin().eval()), trace(tiny_vit().eval())
    kinds = {operation(swin, node) for node in swin.module.graph.nodes if is_attention(swin, node)}
    assert kinds == {"shifted_window_attention"}
    assert attentions_of(swin) == []
    assert attentions_of(vit) == [node for node in vit.module.graph.nodes if is_attention(vit, node)] != []
