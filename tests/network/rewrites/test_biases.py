"""FullGrad's terms: each against plain autograd and the bias's own formula, and all together against the score."""

from __future__ import annotations

import math

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from small import Dense, Tokens, features_and_gradients, randomised, small, state_of, tiny_densenet, tiny_swin, tiny_vit
from torch import nn
from torch.nn import functional

from funcam import FuncamError
from funcam.network.rewrites.biases import FullGradient, full_gradient

MEMORY = 2**28


def images_of(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def whole(found: FullGradient) -> torch.Tensor:
    """The sum of all terms, [B, K]."""
    return torch.stack([term.flatten(2).sum(2) for term in (found.image, *found.biases)]).sum(0).T


def assert_complete(model: nn.Module, images: torch.Tensor) -> FullGradient:
    """The sum of all terms is the score, none of them is trivial, and the image alone is not enough."""
    with torch.no_grad():
        want = model(images)[:, :3]
        found = full_gradient(model, images, lambda logits: logits[:, :3], memory=MEMORY)
    torch.testing.assert_close(whole(found), want, rtol=1e-9, atol=1e-9 * float(1 + want.abs().max()))
    assert (found.image.flatten(2).sum(2).T - want).abs().max() > 1e-3
    assert found.image.shape == (3, *images.shape)
    assert all(term.shape[:2] == (3, len(images)) and term.ndim >= 3 for term in found.biases)
    return found


def vgg(num_classes: int) -> nn.Module:
    """VGG-11 with BatchNorm, and fewer neurons between its linear layers."""
    model = torchvision.models.vgg11_bn(init_weights=False)
    model.classifier = nn.Sequential(nn.Linear(25088, 8), nn.ReLU(True), nn.Dropout(), nn.Linear(8, num_classes))
    return model


NETWORKS = {
    "vgg11_bn": (vgg, 32),
    "resnet18": (torchvision.models.resnet18, 48),
    "mobilenet_v2": (torchvision.models.mobilenet_v2, 48),
    "mobilenet_v3": (torchvision.models.mobilenet_v3_small, 48),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "vgg11_bn" else name for name in NETWORKS]
)
def test_the_terms_add_up_to_the_score_on_torchvisions_networks(name):
    make, side = NETWORKS[name]
    model = randomised(make(num_classes=5)).double().eval()
    assert_complete(model, images_of(2, 3, side, side))


@pytest.mark.parametrize("make", [small, tiny_densenet, tiny_vit, tiny_swin, Tokens])
def test_the_terms_add_up_to_the_score_on_small_networks(make):
    model = randomised(make()).double().eval()
    size = (24, 40) if make is Tokens else (32, 32)
    assert_complete(model, images_of(2, 3, *size))


class Scaled(nn.Module):
    """What a normalisation in the model, a constant, and parameters that are added, appended and padded with add."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(5, 5)
        self.position, self.register = nn.Parameter(torch.zeros(1, 4, 8, 8)), nn.Parameter(torch.zeros(1, 1, 8, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.pad((x - 0.4) / 0.2, (1, 1, 1, 1), value=2.0)
        x = 1 - torch.add(input=self.conv(x), other=self.position)
        x = torch.cat([torch.relu(x), self.register.expand(x.shape[0], -1, -1, -1)], 1)
        return self.fc((x * x.sigmoid() / 3).mean((2, 3)) ** 2)


def test_whatever_is_added_is_counted():
    model = randomised(Scaled()).double().eval()
    found = assert_complete(model, images_of(2, 3, 8, 8))
    # minus, pad, conv, position, 1 minus, register, sigmoid, product, square, linear
    assert len(found.biases) == 10


ACTIVATIONS = {
    "relu": functional.relu,
    "leaky relu": lambda x: functional.leaky_relu(x, 0.2),
    "relu6": lambda x: functional.relu6(5 * x),
    "gelu": functional.gelu,
    "silu": nn.SiLU(),
    "hardswish": functional.hardswish,
    "tanh": torch.tanh,
    "method": lambda x: x.relu_(),
}


@settings(max_examples=24)
@given(
    name=st.sampled_from(sorted(ACTIVATIONS)), dimensions=st.integers(1, 3), side=st.integers(2, 5), seed=st.integers(0)
)
def test_in_one_to_three_dimensions_the_terms_add_up(name, dimensions, side, seed):
    model = randomised(Dense(dimensions, ACTIVATIONS[name]), seed % 1000).double().eval()
    images = images_of(2, 2, *[side] * dimensions, seed=seed % 1000)
    found = full_gradient(model, images, lambda logits: logits, memory=MEMORY)
    want = model(images).detach()
    torch.testing.assert_close(whole(found).detach(), want, rtol=1e-9, atol=1e-9 * float(1 + want.abs().max()))
    spatial = [term.shape[3:] for term in found.biases]
    assert spatial[0] == (side,) * dimensions
    assert spatial[-1] == ()


def bias_of(module: nn.Module) -> torch.Tensor:
    """What a layer adds, by the paper's formula."""
    if isinstance(module, nn.BatchNorm2d):
        return module.bias - module.weight * module.running_mean / torch.sqrt(module.running_var + module.eps)
    return module.bias


def test_each_term_is_the_bias_times_its_gradient():
    model, images, classes = small().double(), images_of(2, 3, 32, 32), torch.tensor([3, 1])
    found = full_gradient(model, images, lambda logits: logits.gather(1, classes[:, None]), memory=MEMORY)
    layers = ["stem.0", "stem.1"]
    layers += [f"blocks.{i}.{name}" for i in (0, 1) for name in ("bn1", "bn2")] + ["fc"]
    assert len(found.biases) == len(layers)
    for path, term in zip(layers, found.biases, strict=True):
        _, g = features_and_gradients(model, path, images, classes)
        b = bias_of(model.get_submodule(path)).detach()
        torch.testing.assert_close(term[0], b.view(1, -1, *[1] * (g.ndim - 2)) * g)
        assert term.abs().max() > 0
    plain = images.clone().requires_grad_()
    (g,) = torch.autograd.grad(model(plain).gather(1, classes[:, None]).sum(), plain)
    torch.testing.assert_close(found.image[0], images * g)


def test_an_implicit_bias_is_what_the_tangent_leaves_over():
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.GELU(), nn.Flatten(), nn.Linear(4, 1, bias=False)).double()
    images = images_of(1, 1, 2, 2)
    found = full_gradient(model, images, lambda out: out, memory=MEMORY)
    z = (model[0].weight * images).flatten().tolist()
    want = []
    for value, weight in zip(z, model[3].weight[0].tolist(), strict=True):
        cdf = (1 + math.erf(value / math.sqrt(2))) / 2
        slope = cdf + value * math.exp(-(value**2) / 2) / math.sqrt(2 * math.pi)
        want.append((value * cdf - slope * value) * weight)
    (term,) = found.biases
    assert term.shape == (1, 1, 1, 2, 2)
    assert term.flatten().tolist() == pytest.approx(want)


def test_a_relu6_that_is_cut_off_adds_six():
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.ReLU6(), nn.AvgPool2d(2), nn.Flatten()).double()
    with torch.no_grad():
        model[0].weight.fill_(1.0)
    found = full_gradient(model, torch.tensor([[[[9.0, 7.0], [3.0, -2.0]]]]).double(), lambda x: x, memory=MEMORY)
    assert found.image.flatten().tolist() == [0, 0, 0.75, 0]
    assert [term.flatten().tolist() for term in found.biases] == [[1.5, 1.5, 0, 0]]


def test_class_tokens_are_kept_apart_from_the_grid():
    model, images = randomised(Tokens(registers=2)).double().eval(), images_of(2, 3, 24, 40)
    found = full_gradient(model, images, lambda logits: logits[:, :1], memory=MEMORY)
    shapes = [tuple(term.shape[2:]) for term in found.biases]
    assert shapes[0] == (8, 3, 5)  # the convolution
    assert shapes[1:3] == [(3 * 8,), (8, 3, 5)]  # the tokens that are appended
    assert {len(shape) for shape in shapes} == {1, 3}
    torch.testing.assert_close(whole(found), model(images)[:, :1])
    appended = found.biases[2]
    assert appended.abs().max() == 0  # to the grid nothing is appended
    assert found.biases[1].abs().max() > 0


def test_chunks_of_scores_and_single_images_are_the_same():
    model, images = small().double(), images_of(3, 3, 32, 32)
    at_once = full_gradient(model, images, lambda logits: logits, memory=MEMORY)
    one_by_one = full_gradient(model, images, lambda logits: logits, memory=1)
    last = full_gradient(model, images[2:], lambda logits: logits, memory=MEMORY)
    rows = [(f.image, *f.biases) for f in (at_once, one_by_one, last)]
    for a, b, c in zip(*rows, strict=True):
        torch.testing.assert_close(a, b)
        torch.testing.assert_close(a[:, 2:], c)


def test_it_is_differentiable_and_leaves_the_model_alone():
    model = small().double().train()
    model.stem.requires_grad_(False)
    before, images = state_of(model), images_of(1, 3, 16, 16).requires_grad_()
    found = full_gradient(model, images, lambda logits: logits[:, :1], memory=MEMORY)
    (g,) = torch.autograd.grad(whole(found).sum(), images)
    (want,) = torch.autograd.grad(model.eval()(images)[:, 0].sum(), images)
    model.train()
    torch.testing.assert_close(g, want)
    assert state_of(model) == before


class Windowed(nn.Module):
    """Two halves of each image in the place of images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.inner, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 4), nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x).flatten(2).transpose(1, 2)
        return self.fc(self.inner(x.reshape(-1, 32, 4)).relu().reshape(-1, 64, 4).mean(1))


def test_images_that_lose_their_axis_are_explained_one_at_a_time():
    model = randomised(Windowed()).double()
    found = assert_complete(model, images_of(1, 3, 8, 8))
    assert [tuple(term.shape[2:]) for term in found.biases] == [(4, 8, 8), (256,), (5,)]
    with pytest.raises(FuncamError, match=r"can't tell 2 images apart in 'linear' .*\[4, 32, 4\]; explain them one"):
        full_gradient(model, images_of(2, 3, 8, 8), lambda logits: logits, memory=MEMORY)


def test_an_operation_without_a_tangent_is_refused():
    class Opaque(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x):
            return x.sin()

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0].cos()

    class Leaf(nn.Module):
        def forward(self, x):
            return Opaque.apply(x)

    Leaf.__module__ = "torch.nn.opaque"  # a leaf for the tracer, as torch's own modules are
    model = nn.Sequential(nn.Conv2d(3, 2, 3), Leaf(), nn.Flatten())
    with pytest.raises(FuncamError, match=r"full-grad can't linearise 'leaf' .*forward derivative; use gradient"):
        full_gradient(model, torch.randn(1, 3, 4, 4), lambda out: out, memory=MEMORY)


class Several(nn.Module):
    """A head behind an operation that returns several tensors."""

    def __init__(self, operation: nn.Module) -> None:
        super().__init__()
        self.conv, self.operation, self.fc = nn.Conv2d(3, 6, 3, 2), operation, nn.Linear(6, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, *_ = self.operation(self.conv(x).relu().flatten(2).mT)
        return self.fc(first.mean(1))


class Topmost(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        values, indices = x.topk(3, 1)
        return values, indices


@pytest.mark.parametrize("make", [nn.GRU, nn.LSTM])
def test_several_tensors_that_something_is_added_to_are_refused(make):
    model = randomised(Several(make(6, 6, batch_first=True))).double()
    with torch.no_grad(), pytest.raises(FuncamError, match=r"full-grad can't .*use gradient, or grad-cam"):
        full_gradient(model, images_of(1, 3, 12, 12), lambda logits: logits, memory=MEMORY)


def test_several_tensors_that_nothing_is_added_to_are_followed():
    assert_complete(randomised(Several(Topmost())).double(), images_of(2, 3, 12, 12))
