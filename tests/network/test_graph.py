"""Traced graphs compute what the model computes, overwrite nothing, and carry torchvision's names."""

from __future__ import annotations

import copy
import operator
import warnings

import pytest
import torch
import torchvision
from graph_cases import IN_PLACE, VIEWS
from hypothesis import given, settings
from hypothesis import strategies as st
from small import Applied, randomised, small, state_of, tiny_densenet, tiny_swin, tiny_vit
from torch import nn
from torch.nn import functional
from torchvision.models.feature_extraction import get_graph_node_names

import funcam
from funcam.errors import FuncamError
from funcam.network.graph import trace

IMAGES = torch.randn(2, 3, 12, 10, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("middle", IN_PLACE)
@torch.no_grad()
def test_in_place_operations_compute_the_same_and_overwrite_nothing(middle):
    model, images = Applied(middle).double(), IMAGES.double()
    want, before = model(images.clone()), model.conv(images)
    A, head = funcam.split(model, "conv")(images)
    torch.testing.assert_close(A, before)
    torch.testing.assert_close(head(A), want)
    torch.testing.assert_close(A, before)  # the head did not write into its argument

    # the derivative, against differences of the model itself with something added to what the layer returns
    direction, cotangent = torch.randn_like(A), torch.randn_like(want)
    (g,) = torch.func.vjp(head, A)[1](cotangent)
    step, scores = 1e-6, []
    for sign in (1, -1):
        moved = copy.deepcopy(model)
        moved.conv.register_forward_hook(lambda _m, _i, out, sign=sign: out + sign * step * direction)
        scores.append((moved(images.clone()) * cotangent).sum())
    torch.testing.assert_close((g * direction).sum(), (scores[0] - scores[1]) / (2 * step), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("middle", VIEWS)
def test_in_place_on_shared_memory_has_no_graph(middle):
    """Its own code is run, then, or the exporter's graph of it."""
    model = Applied(middle)
    before = state_of(model)
    with pytest.raises(FuncamError, match=r"Applied writes in place \(\w+\) into memory that \w+ shares.*out-of-place"):
        trace(model)
    with torch.no_grad():
        A, head = funcam.split(model, "conv", example=IMAGES)(IMAGES)
        torch.testing.assert_close(A, model.conv(IMAGES))
        torch.testing.assert_close(head(A), model(IMAGES.clone()))
    assert state_of(model) == before


OPERATIONS = {
    "relu": lambda m, a, b: functional.relu(a),
    "relu_": lambda m, a, b: functional.relu(a, inplace=True),
    "method_": lambda m, a, b: a.clamp_(-1, 1),
    "module_": lambda m, a, b: m.relu(a),
    "add": lambda m, a, b: a + b,
    "iadd": lambda m, a, b: operator.iadd(a, b),
    "imul": lambda m, a, b: operator.imul(a, b),
    "ignored_": lambda m, a, b: (a.mul_(0.5), a)[1],
    "copy_": lambda m, a, b: a.copy_(b),
    "out": lambda m, a, b: torch.maximum(a, b, out=a),
    "conv": lambda m, a, b: m.conv2(a),
}


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(OPERATIONS)), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=8
    )
)
@torch.no_grad()
def test_any_program_of_in_place_operations_on_shared_names(program):
    """Random programs over a growing list of names, several of which stand for one tensor."""

    def run(m, x):
        names = [x]
        for name, first, second in program:
            names.append(OPERATIONS[name](m, names[first % len(names)], names[second % len(names)]))
        return sum(names[1:], names[0])

    model = Applied(run).double()
    images = IMAGES.double()
    want = model(images.clone())
    torch.testing.assert_close(trace(model).module(images), want)
    A, head = funcam.split(model, "conv")(images)
    torch.testing.assert_close(head(A), want)
    torch.testing.assert_close(A, model.conv(images))


def test_images_written_into_by_the_model_stay_as_they_are():
    class Normalising(nn.Sequential):
        def forward(self, x):
            x -= 0.5
            return super().forward(x)

    model = randomised(Normalising(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(320, 2)))
    images = IMAGES.clone()
    A, head = funcam.split(model, "0")(images)
    assert torch.equal(images, IMAGES)
    torch.testing.assert_close(head(A), model(IMAGES.clone()))


# --- tracing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [small, tiny_densenet, tiny_swin, tiny_vit, torchvision.models.squeezenet1_1])
def test_a_graph_equals_its_model_and_leaves_it_alone(make):
    model = make().eval()
    images = torch.randn(2, 3, 32, 32)
    want = model(images)
    model.train()
    before = state_of(model)
    graph = trace(model)
    torch.testing.assert_close(graph.module(images), want)
    assert state_of(model) == before
    assert not any(getattr(module, "inplace", False) for module in graph.module.modules())
    assert {id(p) for p in graph.module.parameters()} <= {id(p) for p in model.parameters()}


@pytest.mark.filterwarnings("ignore:NOTE. The nodes obtained by tracing:UserWarning")  # by torchvision, of GoogLeNet
@pytest.mark.parametrize(
    "name", ["resnet18", "densenet121", "vgg11_bn", "googlenet", "shufflenet_v2_x0_5", "swin_t", "vit_b_16"]
)
def test_node_names_are_torchvisions(name):
    options = {"init_weights": False} if name == "googlenet" else {}
    with torch.device("meta"):
        model = torchvision.models.get_model(name, weights=None, **options).eval()
    graph = trace(model)
    known = {*graph.nodes, *graph.outputs}
    _, names = get_graph_node_names(model)
    assert set(names) - known <= {n for n in names if n.rpartition(".")[2].startswith("stochastic_depth")}
    if name not in ("swin_t", "vit_b_16"):  # without modules of torchvision.ops the order is the same, too
        assert [n for n in graph.nodes if n in names] == [n for n in names if n in graph.nodes]


def test_it_looks_inside_the_modules_of_torchvision_ops():
    with torch.device("meta"):
        model = torchvision.models.mobilenet_v2()
    graph = trace(model)
    assert {"features.18.0", "features.18.1", "features.18.2"} <= set(graph.nodes)
    assert graph.outputs["features.18"] is graph.nodes["features.18.2"]
    assert graph.inputs["features.18"] is graph.nodes["features.17.conv.3"]


def test_a_model_whose_code_depends_on_values_is_refused_with_the_reason():
    class Moody(Applied):
        def forward(self, x):
            return super().forward(x if x.sum() > 0 else -x)

    model = Moody(lambda m, x: x)
    before = state_of(model)
    with pytest.raises(
        FuncamError, match=r"Moody can't be traced: .*control flow.*test_graph\.py:\d+ in forward"
    ) as caught:
        trace(model)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value.__cause__, torch.fx.proxy.TraceError)
    assert state_of(model) == before


def test_item_assignment_is_refused():
    def middle(m, x):
        x[:, 0] = 0
        return x

    with pytest.raises(FuncamError, match="item assignment"):
        trace(Applied(middle))


def test_torchscript_is_refused():
    with warnings.catch_warnings(action="ignore"):
        scripted = torch.jit.script(small())
    with pytest.raises(FuncamError, match="TorchScript"):
        funcam.split(scripted)


def test_a_forward_assigned_to_the_model_is_the_one_that_is_traced():
    model = small()
    model.forward = (lambda self, x: self.fc(self.stem(x).mean((2, 3)))).__get__(model)
    A, head = funcam.split(model, "stem")(IMAGES)
    torch.testing.assert_close(head(A), model(IMAGES))
    model.forward = (lambda self, x: self.fc(self.stem(x).amax((2, 3)))).__get__(model)
    A, head = funcam.split(model, "stem")(IMAGES)
    torch.testing.assert_close(head(A), model(IMAGES))
    assert type(model).__name__ == "Small"


@pytest.mark.parametrize("order", ["before", "behind", "never"])
def test_an_operation_has_no_name_of_a_module(order):
    """`torch.relu` beside a `self.relu` that is called before it, behind it or never: a name means one layer."""

    class Beside(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.relu, self.fc, self.last = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x):
            A = self.conv(self.relu(x) if order == "before" else x)
            y = self.fc(torch.relu(A).mean((2, 3)))
            return self.last(self.relu(y) if order == "behind" else y)

    model, images = Beside().eval(), torch.randn(2, 3, 8, 8)
    graph = trace(model)
    assert set(graph.nodes) & set(dict(model.named_modules())) == set(dict(model.named_modules())) - (
        {"", "relu"} if order == "never" else {""}
    )
    result = funcam.explain(model, images, 1, method="hires-cam")
    A = torch.relu(model.conv(model.relu(images) if order == "before" else images)).detach().requires_grad_()
    y = model.fc(A.mean((2, 3)))
    (g,) = torch.autograd.grad(model.last(model.relu(y) if order == "behind" else y)[:, 1].sum(), A)
    torch.testing.assert_close(result.maps, (g * A).sum(1).relu().detach())
    (line,) = [line for line in funcam.list_layers(model, images) if line.default]
    assert line.name == result.layer == "relu_1"
