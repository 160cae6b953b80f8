"""Which heads are pooling and one linear layer, by name, and the weights behind that answer by plain autograd."""

from __future__ import annotations

import pytest
import torch
import torchvision
from small import Applied, features_and_gradients, small, tiny_densenet, tiny_swin, tiny_vit
from torch import nn
from torch.nn import functional

from funcam.network.cutting import graph_of
from funcam.network.heads import why_not_linear


def why(model: nn.Module, layer: str, size: tuple[int, ...] = (64, 64)) -> str | None:
    graph = graph_of(model)
    return why_not_linear(graph, graph.outputs.get(layer) or graph.nodes[layer], (1, 3, *size))


class Pooled(nn.Module):
    """``conv -> pool -> fc`` with the pooling given."""

    def __init__(self, pool) -> None:
        super().__init__()
        self.conv, self.drop, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.Dropout(), nn.Linear(4, 5)
        self.pool = pool

    def forward(self, x):
        return self.fc(self.drop(self.pool(self.conv(x))))


LINEAR = {
    "mean of two": lambda x: x.mean((2, 3)),
    "mean by keyword": lambda x: torch.mean(x, dim=[-1, -2]),
    "mean that keeps": lambda x: x.mean([2, 3], keepdim=True).flatten(1),
    "adaptive": lambda x: functional.adaptive_avg_pool2d(x, 1).view(x.size(0), -1),
    "adaptive pair": lambda x: functional.adaptive_avg_pool2d(x, (1, 1)).squeeze(-1).squeeze(-1),
    "module": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "covering": nn.Sequential(nn.AvgPool2d(8), nn.Flatten()),
    "covering function": lambda x: functional.avg_pool2d(x, 8).reshape(x.shape[0], -1),
    "twice": nn.Sequential(nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "channels last": lambda x: x.permute(0, 2, 3, 1).mean((1, 2)),
}

NOT_LINEAR = {
    "over one side": (lambda x: x.mean(3).mean(2)[:, :4], "mean"),
    "over channels too": (lambda x: x.mean((1, 2, 3)).view(-1, 1).expand(-1, 4), "mean"),
    "over a half": (lambda x: functional.adaptive_avg_pool2d(x, (1, 2))[..., 0].flatten(1), "adaptive_avg_pool2d"),
    "maximum": (lambda x: x.amax((2, 3)), "amax"),
    "max pooling": (lambda x: functional.adaptive_max_pool2d(x, 1).flatten(1), "adaptive_max_pool2d"),
    "activation": (lambda x: x.relu().mean((2, 3)), "1 ReLU"),
    "activation behind": (lambda x: x.mean((2, 3)).sigmoid(), "1 sigmoid"),
    "two reads": (lambda x: x.mean((2, 3)) + x.mean((2, 3)), "1 add"),
    "a part": (lambda x: torch.mean(x[:, :, 1:], (2, 3)), "selection of a part"),
    "scaled by itself": (lambda x: x.mean((2, 3)) * x.mean((2, 3)), "1 mul"),
}


@pytest.mark.parametrize("name", LINEAR)
def test_pooling_and_one_linear_layer_is_linear(name):
    model = Pooled(LINEAR[name]).eval()
    assert why(model, "conv", (8, 8)) is None
    images, classes = torch.randn(2, 3, 8, 8), torch.tensor([4, 1])
    _, g = features_and_gradients(model, "conv", images, classes)  # then the gradient is the layer's row
    torch.testing.assert_close(g, (model.fc.weight[classes] / 64)[:, :, None, None].expand_as(g))


@pytest.mark.parametrize("name", NOT_LINEAR)
def test_anything_else_is_not_and_is_named(name):
    pool, named = NOT_LINEAR[name]
    reason = why(Pooled(pool).eval(), "conv", (8, 8))
    assert reason is not None
    assert reason.startswith("behind 'conv' come")
    assert named in reason


def test_what_stands_in_the_way_is_counted():
    assert why(torchvision.models.alexnet(), "features.11") == (
        "behind 'features.11' come 1 MaxPool2d, 1 AdaptiveAvgPool2d, 3 linear layers and 2 ReLUs, "
        "without pooling over all of space"
    )
    squeezenet = torchvision.models.squeezenet1_1()
    assert why(squeezenet, "features.12") == "behind 'features.12' come 1 Conv2d and 1 ReLU"
    assert why(squeezenet, "classifier.2") == "behind 'classifier.2' comes no linear layer"
    assert why(torchvision.models.mobilenet_v3_small(), "features.12") == (
        "behind 'features.12' come 2 linear layers and 1 Hardswish"
    )


def test_a_covering_pool_covers_one_size_only():
    model = Pooled(nn.Sequential(nn.AvgPool2d(8), nn.AdaptiveMaxPool2d(1), nn.Flatten())).eval()
    assert "AdaptiveMaxPool2d" in str(why(model, "conv", (8, 8)))
    model = Pooled(nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(16, 4))).eval()
    assert why(model, "conv", (16, 16)) == (
        "behind 'conv' come 1 AvgPool2d and 2 linear layers, without pooling over all of space"
    )


def test_networks():
    assert why(torchvision.models.resnet18(), "layer4") is None
    assert why(torchvision.models.mobilenet_v2(), "features.18") is None
    assert why(tiny_densenet(), "relu") is None
    assert why(small(), "blocks.1") is None
    assert why(small(), "blocks.0.conv1") == "values that skip 'blocks.0.conv1' reach the output"
    assert why(small(), "fc") == "'fc' is the output itself, or does not lead to it"
    assert "2 BatchNorm2ds" in str(why(small(), "blocks.0"))


def test_transformers():
    assert why(tiny_swin(), "norm") is None  # channels-last: permuted, pooled, flattened
    assert "skip" in str(why(tiny_swin(), "features.3.1.norm1"))
    reason = why(tiny_vit(), "encoder.ln", (32, 32))
    assert reason is not None
    assert "selection of a part" in reason  # the class token is no mean


class Averaged(nn.Module):
    def __init__(self, axis: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 8, stride=8), nn.LayerNorm(4)
        self.fc = nn.Linear(4 if axis == 1 else 15, 5)
        self.axis = axis

    def forward(self, x):
        x = self.norm(self.conv(x).flatten(2).transpose(1, 2))
        return self.fc(x.mean(self.axis))


def test_tokens_that_are_averaged_are_linear():
    assert why(Averaged(1), "norm", (24, 40)) is None
    assert why(Averaged(1), "conv", (24, 40)) == "behind 'conv' come 1 LayerNorm and 1 linear layer"
    assert "1 mean" in str(why(Averaged(2), "norm", (24, 40)))  # over channels


def test_several_outputs_are_no_logits():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            x = self.conv(x)
            return {"out": x, "aux": x}

    assert why(Two(), "conv") == "the model returns several values, not one tensor of logits"


def test_applied_with_nothing_between_is_linear():
    def nothing(_model, x):
        return x

    graph = graph_of(Applied(nothing))
    reason = why_not_linear(graph, graph.outputs["conv"], (1, 3, 8, 8))
    assert reason is not None  # flatten(2).mean(2): cells in a row have lost their grid, which is not followed
    assert "mean" in reason
