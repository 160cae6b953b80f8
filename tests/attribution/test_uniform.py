"""Behind the mean over space and one linear layer: each method against itself, of gradients by plain autograd."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import pytest
import torch
from small import randomised, small
from torch import nn
from torch.func import vmap
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

import funcam
from funcam.attribution.products import OF_UNIFORM
from funcam.methods import METHODS
from funcam.methods.reduce import at_least_single
from funcam.targets.target import bind

CLASSES = 7


class Net(nn.Module):
    """A convolution, a ReLU, a pooling that is given, and one linear layer."""

    def __init__(self, pool, *, channels=5, fc=None):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, channels, 3, padding=1), fc or nn.Linear(channels, CLASSES)
        self.pool = pool
        randomised(self).eval()

    def forward(self, x):
        return self.fc(self.pool(torch.relu(self.conv(x))))


def net(pool=None, **options):
    return Net(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()) if pool is None else pool, **options)


def images(batch, dtype=torch.float32, size=8):
    generator = torch.Generator().manual_seed(batch)
    return torch.randn(batch, 3, size, size, generator=generator).to(dtype)


def gradients(model, A, score):
    """Of each score `[B, K]` of the logits: `[K, B, C, h, w]`."""
    return gradients_at(A, lambda A: score(model.fc(model.pool(A))))


def gradients_at(A, function):
    """By plain autograd."""
    A = A.detach().clone().requires_grad_()
    with torch.enable_grad():
        return torch.stack([torch.autograd.grad(score.sum(), A, retain_graph=True)[0] for score in function(A).T])


def by_hand(model, x, score, method, *more):
    """The method's own function for one image and one score, of these gradients."""
    A = torch.relu(model.conv(x)).detach()
    gs = [gradients(model, A, each) for each in (score, *more)]
    gs = [gs[0], *(g.view(len(gs[0]), -1, *g.shape[1:]).transpose(1, 2) for g in gs[1:])]
    function = METHODS[method].function()
    return vmap(vmap(function), in_dims=(None, *[0] * len(gs)))(*map(at_least_single, (A, *gs))).transpose(0, 1)


def assert_same(found, want, tolerance):
    torch.testing.assert_close(found, want, rtol=0, atol=tolerance * float(want.abs().max()))


TARGETS = {
    "one logit": (lambda b: [3] * b, lambda z: z[:, 3:4]),
    "several": (lambda b: [[1, 4, 1]] * b, lambda z: z[:, [1, 4, 1]]),
    "all": (lambda _: "all", lambda z: z),
    "probabilities": (lambda b: funcam.probability([[0, 6]] * b), lambda z: z.softmax(1)[:, [0, 6]]),
    "log-probabilities": (lambda b: funcam.log_probability("all"), lambda z: z.log_softmax(1)),
    "against": (lambda _: funcam.counterfactual(2), lambda z: -z[:, 2:3]),
    "contrast": (lambda _: funcam.contrast(2, 5, gamma=0.5), lambda z: z[:, 2:3] - 0.5 * z[:, 5:6]),
    "function": (lambda _: lambda z: z.square().sum(1), lambda z: z.square().sum(1, keepdim=True)),
    "functions": (lambda _: lambda z: z[:, :2].tanh(), lambda z: z[:, :2].tanh()),
    "of nothing": (lambda _: lambda z: z[:, :2] * 0, lambda z: z[:, :2] * 0),
}


OTHER_TYPES = ((torch.float64, 1e-14), (torch.bfloat16, 1e-2))


@pytest.mark.filterwarnings("ignore:.*zero everywhere:funcam.errors.FuncamWarning")
@pytest.mark.parametrize(
    ("target", "dtype", "tolerance"),
    [
        *((target, torch.float32, 1e-6) for target in TARGETS),
        *(("log-probabilities", *other) for other in OTHER_TYPES),
        *(
            pytest.param(target, *other, marks=pytest.mark.slow)
            for target in TARGETS
            for other in OTHER_TYPES
            if target != "log-probabilities"
        ),
    ],
)
@pytest.mark.parametrize("method", [name for name in OF_UNIFORM if METHODS[name].takes == ("A", "g")])
def test_each_method_is_what_it_is_of_the_gradient(method, target, dtype, tolerance):
    model = net().to(dtype)
    given, score = TARGETS[target]
    for batch in (1, 3):
        x = images(batch, dtype)
        maps = funcam.explain(model, x, given(batch), method=method, layer="relu").maps
        want = by_hand(model, x, score, method)
        assert_same(maps if maps.ndim == 4 else maps[:, None], want, tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 1e-2)])
@pytest.mark.parametrize("similar", [1, 3])
def test_finer_cam_is_what_it_is_of_the_gradients(similar, dtype, tolerance):
    model = net().to(dtype)
    for batch in (1, 3):
        x = images(batch, dtype)
        logits = model(x).detach()
        distance = (logits[:, None] - logits[:, :, None]).abs() + torch.eye(CLASSES, dtype=dtype) * 1e6
        others = distance.argsort(dim=2, stable=True)[..., :similar].flatten(1)
        maps = funcam.explain(model, x, "all", method="finer-cam", similar=similar, layer="relu").maps
        want = by_hand(model, x, lambda z: z, "finer-cam", lambda z, others=others: z.gather(1, others))
        assert_same(maps, want, tolerance)


@pytest.mark.parametrize("memory", [1, 3000, 2**28])
@pytest.mark.parametrize("method", OF_UNIFORM)
def test_chunks_give_the_same(method, memory):
    model, x = net(), images(2)
    maps = funcam.explain(model, x, "all", method=method, layer="relu", memory=memory).maps
    for k in range(CLASSES):
        alone = funcam.explain(model, x, k, method=method, layer="relu").maps
        torch.testing.assert_close(maps[:, k], alone, rtol=1e-5, atol=1e-6)


def test_before_a_relu_where_features_are_negative():
    model = net()
    for method in ("grad-cam++", "grad-cam++-normalised", "element-wise-grad-cam", "layer-cam"):
        A = model.conv(images(2)).detach()
        plain = nn.Sequential(model.conv, model.pool, model.fc)
        maps = funcam.explain(plain, images(2), "all", method=method, layer="0").maps
        g = gradients(model, A, lambda z: z)
        want = vmap(vmap(METHODS[method].function()), in_dims=(None, 0))(A, g).transpose(0, 1)
        assert_same(maps, want, 1e-5)


@pytest.mark.parametrize("target", TARGETS)
def test_noise_is_drawn_only_where_it_changes_the_gradient(target):
    model, given = net(), TARGETS[target][0]
    for batch in (1, 2):
        options = {"method": "smooth-grad-cam++", "layer": "relu", "samples": 3, "noise": 0.5}
        found = funcam.explain(model, images(batch), given(batch), **options).maps
        sampled = funcam.explain(model, images(batch), given(batch), differentiable=True, **options).maps
        assert_same(found, sampled.detach(), 1e-5)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("output", [None, lambda z: z * 2])
def test_channels_are_ablated_one_by_one(target, output):
    model, (given, _) = net(), TARGETS[target]
    for batch in (1, 3):
        x = images(batch)
        result = funcam.explain(model, x, given(batch), method="ablation-cam", layer="relu", output=output)
        shown = (lambda z: z) if output is None or callable(given(batch)) else output
        A = torch.relu(model.conv(x)).detach()
        without = torch.stack([A * (torch.arange(5) != k)[:, None, None] for k in range(5)])
        bound = bind(given(batch), shown(model.fc(model.pool(A))), batch)
        S = bound(shown(model.fc(model.pool(A))))
        lost = torch.stack([S - bound(shown(model.fc(model.pool(each)))) for each in without], -1)  # [B, K, C]
        weights = lost / torch.where(S == 0, 1.0, S.abs())[..., None]
        want = torch.einsum("bkc,bchw->bkhw", weights, A).relu().detach()
        assert_same(result.maps if result.maps.ndim == 4 else result.maps[:, None], want, 1e-5)


class Largest(TorchDispatchMode):
    """The most numbers that any one operation returned."""

    def __init__(self):
        super().__init__()
        self.most = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, list | tuple) else [result]:
            if isinstance(tensor, torch.Tensor) and tensor._base is None:
                self.most = max(self.most, tensor.numel())
        return result


@pytest.mark.parametrize("target", [lambda b: "all", lambda b: funcam.probability("all"), lambda b: torch.sin])
@pytest.mark.parametrize("method", [name for name in OF_UNIFORM if "noisy_g" not in METHODS[name].takes])
def test_no_gradient_of_the_size_of_the_features_is_made_for_each_class(method, target):
    if method == "finer-cam" and target(1) is torch.sin:
        pytest.skip("it contrasts classes")
    model = Net(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), channels=16, fc=nn.Linear(16, 40))
    for batch in (1, 2):
        x = images(batch)
        funcam.explain(model, x, target(batch), method=method, layer="relu")  # is settled
        with Largest() as largest:
            maps = funcam.explain(model, x, target(batch), method=method, layer="relu").maps
        assert maps.shape == (batch, 40, 8, 8)
        assert largest.most < batch * 40 * 16 * 64 / 4


POOLS = {
    "mean of two": lambda x: x.mean((2, 3)),
    "adaptive": lambda x: functional.adaptive_avg_pool2d(x, 1).flatten(1),
    "all of the grid": nn.Sequential(nn.AvgPool2d(8), nn.Flatten()),
    "a part of the grid": nn.Sequential(nn.AvgPool2d(7), nn.Flatten()),
    "padded": nn.Sequential(nn.AvgPool2d(8, padding=1, stride=9), nn.Flatten()),
    "another divisor": nn.Sequential(nn.AvgPool2d(8, divisor_override=10), nn.Flatten()),
    "dropout": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout()),
    "largest": lambda x: x.amax((2, 3)),
    "generalised mean": lambda x: x.clamp(min=1e-3).pow(3).mean((2, 3)).pow(1 / 3),
    "a norm behind": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(5), nn.Flatten()),
    "sum": lambda x: x.sum((2, 3)),
    "other axes": lambda x: x.view(len(x), 8, 8, 5).permute(0, 3, 1, 2).mean((2, 3)),
    "weighed cells": lambda x: (x * torch.linspace(0, 1, 8)).mean((2, 3)),
}


class Computed(nn.Linear):
    """A linear layer of other weights than it holds."""

    def forward(self, x):
        return functional.linear(x, self.weight * 2, self.bias)


class Plain(nn.Linear):
    """A linear layer that a graph holds as a function."""

    def forward(self, x):
        return functional.linear(x, self.weight, self.bias)


def hooked():
    fc = nn.Linear(5, CLASSES)
    fc.register_forward_hook(lambda _module, _given, logits: logits * 3)
    return fc


LINEARS = {
    "computed": lambda: Computed(5, CLASSES),
    "function": lambda: Plain(5, CLASSES),
    "without bias": lambda: nn.Linear(5, CLASSES, bias=False),
    "parametrised": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(5, CLASSES)),
    "spectral": lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(5, CLASSES)),
    "hooked": hooked,
    "two": lambda: nn.Sequential(nn.Linear(5, 6), nn.Linear(6, CLASSES)),
    "activated": lambda: nn.Sequential(nn.Linear(5, CLASSES), nn.Sigmoid()),
    "rows turned": lambda: nn.Sequential(nn.Linear(5, CLASSES), nn.Unflatten(1, (1, CLASSES)), nn.Flatten()),
}


@pytest.mark.parametrize("pool", POOLS)
def test_whatever_pools_the_maps_are_autograds(pool):
    model = net(POOLS[pool])
    for batch in (1, 3):
        maps = funcam.explain(model, images(batch), "all", layer="conv").maps
        A = model.conv(images(batch)).detach()
        A_g = gradients_at(A, lambda A: model.fc(model.pool(torch.relu(A))))
        assert_same(maps, vmap(vmap(funcam.grad_cam), in_dims=(None, 0))(A, A_g).transpose(0, 1), 2e-6)
        plain = nn.Sequential(model.conv, Applied(model.pool), model.fc)
        maps = funcam.explain(plain, images(batch), "all", layer="0", method="hires-cam").maps
        A_g = gradients(model, A, lambda z: z)
        assert_same(maps, vmap(vmap(funcam.hires_cam), in_dims=(None, 0))(A, A_g).transpose(0, 1), 2e-6)


class Applied(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize("linear", LINEARS)
def test_whatever_is_linear_the_maps_are_autograds(linear):
    torch.manual_seed(0)
    model = net(fc=LINEARS[linear]())
    plain = nn.Sequential(model.conv, model.pool, model.fc)
    A = model.conv(images(2)).detach()
    for method in ("grad-cam", "layer-cam"):
        maps = funcam.explain(plain, images(2), "all", layer="0", method=method).maps
        g = gradients(model, A, lambda z: z)
        assert_same(maps, vmap(vmap(METHODS[method].function()), in_dims=(None, 0))(A, g).transpose(0, 1), 2e-6)


def test_changed_weights_are_seen():
    model, x = net(), images(2)
    funcam.explain(model, x, "all", layer="relu")
    with torch.no_grad():
        model.fc.weight.mul_(-2)
    assert_same(funcam.explain(model, x, "all", layer="relu").maps, by_hand(model, x, lambda z: z, "grad-cam"), 1e-6)
    model.fc.weight = nn.Parameter(torch.randn(CLASSES, 5))
    assert_same(funcam.explain(model, x, "all", layer="relu").maps, by_hand(model, x, lambda z: z, "grad-cam"), 1e-6)
    model.fc = nn.Linear(5, 4)
    assert_same(funcam.explain(model, x, "all", layer="relu").maps, by_hand(model, x, lambda z: z, "grad-cam"), 1e-6)
    model.fc = nn.Sequential(nn.ReLU(), nn.Linear(5, 4))
    assert_same(funcam.explain(model, x, "all", layer="relu").maps, by_hand(model, x, lambda z: z, "grad-cam"), 1e-6)


def test_the_weights_are_only_read():
    model = net()
    before = copy.deepcopy(model.state_dict())
    for target in (None, "all", funcam.probability("all")):
        funcam.explain(model, images(2), target, layer="relu")
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


def test_logits_that_a_function_makes_of_the_outputs():
    model, x = net(), images(2)
    maps = funcam.explain(model, x, "all", layer="relu", output=lambda z: z[:, 2:] * 3).maps
    assert_same(maps, by_hand(model, x, lambda z: z[:, 2:] * 3, "grad-cam"), 1e-6)


def test_under_autocast_as_without_to_its_precision():
    model, x = net(), images(2)
    for target in ("all", funcam.probability("all")):
        want = funcam.explain(model, x, target, layer="relu").maps
        with torch.autocast("cpu", dtype=torch.bfloat16):
            maps = funcam.explain(model, x, target, layer="relu").maps
        assert maps.dtype == torch.float32
        assert_same(maps, want, 3e-2)


def test_differentiable_maps_are_differentiated_through_the_weights_too():
    model, x = net().double(), images(1, torch.float64)
    maps = funcam.explain(model, x, 2, layer="relu", differentiable=True).maps
    (found,) = torch.autograd.grad(maps.sum(), model.fc.weight)
    A = torch.relu(model.conv(x)).detach()[0]
    inside = ((model.fc.weight[2] @ A.flatten(1)) > 0).to(A)
    torch.testing.assert_close(found[2], A.flatten(1) @ inside / math.prod(A.shape[1:]))
    assert not found[:2].any()


def test_the_others_are_given_gradients_of_the_features_size():
    model, x = small(), images(2, size=32)
    together = funcam.explain_methods(model, x, "all", methods=["grad-cam", "eigen-grad-cam", "shapley-cam"])
    for result in together:
        alone = funcam.explain(model, x, "all", method=result.method)
        torch.testing.assert_close(result.maps, alone.maps, rtol=1e-4, atol=1e-6)
    smoothed = funcam.explain(model, x, "all", smooth="eigen").maps
    assert (smoothed - together[0].maps).abs().max() > 1e-3


@dataclass
class Wrapped:
    """What some models return."""

    logits: torch.Tensor


@pytest.mark.parametrize("wrap", [Wrapped, lambda z: (z, z), lambda z: {"logits": z}, lambda z: z.to_sparse()])
def test_logits_that_are_wrapped(wrap):
    model = net()
    plain = nn.Sequential(model.conv, nn.ReLU(), model.pool, model.fc, Applied(wrap))
    maps = funcam.explain(plain, images(2), "all", layer="1").maps
    assert_same(maps, by_hand(model, images(2), lambda z: z, "grad-cam"), 1e-6)


def test_what_is_explained_may_write_into_the_logits():
    def clamped(z):
        z.clamp_(min=0)
        return z[:, :3].square()

    model = net()
    maps = funcam.explain(model, images(2), clamped, layer="relu").maps
    assert_same(maps, by_hand(model, images(2), lambda z: z[:, :3].relu().square(), "grad-cam"), 1e-6)


def test_what_is_explained_without_torch_is_refused_in_words():
    with pytest.raises(funcam.FuncamError, match="failed on what the model returned"):
        funcam.explain(net(), images(2), lambda z: torch.from_numpy(z.numpy()[:, 0]), layer="relu")


@pytest.mark.parametrize("scores", ["softmax", "sigmoid", "none"])
@pytest.mark.parametrize("method", ["grad-cam", "layer-cam", "grad-cam++"])
def test_probabilities_are_what_the_outputs_mean(scores, method):
    meant = {"softmax": lambda z: z.softmax(1), "sigmoid": torch.sigmoid, "none": lambda z: z}[scores]
    model, x = net(), images(3)
    maps = funcam.explain(model, x, funcam.probability("all"), method=method, layer="relu", scores=scores).maps
    assert_same(maps, by_hand(model, x, meant, method), 1e-6)
