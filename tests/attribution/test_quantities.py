"""What methods are made of, against what it is defined as: finite differences, loops, a formula written out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from small import Dense, small, tiny_densenet, tiny_vit
from torch import nn
from torch.nn import functional

import funcam
from funcam import FuncamError
from funcam.attribution.batch_run import run_batch
from funcam.attribution.quantities import PER_SCORE, Chunk
from funcam.methods import METHODS
from funcam.network.tap import Inputs

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def quantity(name, method, run, columns, **options):
    return PER_SCORE[name](Chunk(run, torch.tensor(columns)), 0, METHODS[method], options)


def case_of(model, images, targets, layer=None):
    return run_batch(model, Inputs(images), targets, [layer], memory=2**28, output=None, gradient=True)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_the_hessian_times_the_features_is_a_difference_of_gradients(dimensions):
    model = Dense(dimensions, functional.softplus).double()
    images = torch.randn(2, 2, *[5, 4, 3][:dimensions], dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    classes = torch.tensor([[0, 1], [2, 3]])
    run = case_of(model, images, classes, "second")
    found = quantity("h", "shapley-cam", run, [0, 1])
    A, head = funcam.split(model, "second")(images)

    def gradient(A, k):
        A = A.clone().requires_grad_()
        logits = head(A)
        score = logits + logits.log_softmax(1)  # the residual softmax of arXiv:2501.06261
        return torch.autograd.grad(score.gather(1, classes[:, k : k + 1]).sum(), A)[0]

    step = 1e-5
    for k in range(2):
        difference = (gradient(A * (1 + step), k) - gradient(A * (1 - step), k)) / (2 * step)
        assert difference.abs().max() > 1e-3
        torch.testing.assert_close(found[k], difference, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("activation", [functional.softplus, functional.silu, functional.mish])
def test_shapley_cam_is_its_equation(activation):
    """Of SiLU's and Mish's derivative torch has no forward derivative."""
    model = Dense(2, activation).double()
    images = torch.randn(1, 2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    A, head = funcam.split(model, "second")(images)

    def score(A):
        logits = head(A)[0]
        return logits[1] + logits.log_softmax(0)[1]

    g = torch.autograd.functional.jacobian(score, A)[0]
    hessian = torch.autograd.functional.hessian(score, A).reshape(A.numel(), A.numel())
    weights = (g - 0.5 * (hessian @ A.flatten()).view(A.shape)[0]).mean((1, 2))
    want = (weights[:, None, None] * A[0]).sum(0).relu()
    found = funcam.explain(model, images, 1, method="shapley-cam", layer="second").maps[0]
    torch.testing.assert_close(found, want.detach(), rtol=1e-6, atol=1e-9)
    assert not torch.allclose(found, funcam.explain(model, images, 1, layer="second").maps[0], rtol=0.01)
    several = funcam.explain(model, images, [[0, 1]], method="shapley-cam", layer="second").maps[0]
    torch.testing.assert_close(several[1], found)


def test_shapley_cam_of_a_head_without_a_second_derivative_is_refused():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.cells = nn.Conv2d(3, 4, 3, 2), nn.LSTM(4, 5, batch_first=True)

        def forward(self, x):
            return self.cells(self.conv(x).flatten(2).mT)[0][:, -1]

    with pytest.raises(funcam.FuncamError, match=r"second derivative, and torch has none of this head; name a later"):
        funcam.explain(Recurrent(), torch.rand(1, 3, 8, 8), 1, method="shapley-cam", layer="conv")


def test_noisy_gradients_are_those_of_noisy_images():
    model = small()
    run = case_of(model, IMAGES, [[0, 1], [2, 3]])
    found = quantity("noisy_g", "smooth-grad-cam++", run, [0, 1], samples=3, noise=0.2, seed=7)
    assert found.shape == (2, 2, 3, 6, 8, 8)
    unit = torch.randn((3, 1, 3, 32, 32), generator=torch.Generator().manual_seed(7))
    spread = (IMAGES.flatten(1).amax(1) - IMAGES.flatten(1).amin(1)).view(2, 1, 1, 1)
    for sample, k in itertools.product(range(3), range(2)):
        A, head = funcam.split(model)(IMAGES + 0.2 * spread * unit[sample])
        A = A.requires_grad_()
        (g,) = torch.autograd.grad(
            head(A)[[0, 1], [[0, 1], [2, 3]][0][k : k + 1] + [[0, 1], [2, 3]][1][k : k + 1]].sum(), A
        )
        torch.testing.assert_close(found[k, :, sample], g)


def test_no_noise_is_grad_cam_pp():
    smooth = funcam.explain(small(), IMAGES, "all", method="smooth-grad-cam++", noise=0.0, samples=2).maps
    torch.testing.assert_close(
        smooth, funcam.explain(small(), IMAGES, "all", method="grad-cam++").maps, rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("make", [tiny_vit, tiny_densenet])
def test_finer_cam_is_grad_cam_of_a_contrast(make):
    """Against ``S_c - gamma mean(S_d)`` over the nearest logits, chosen by NumPy."""
    model = make()
    logits = model(IMAGES).detach()
    result = funcam.explain(model, IMAGES, [[0, 3], [1, 2]], method="finer-cam", similar=2, gamma=0.7).maps
    for b, k in itertools.product(range(2), range(2)):
        c = [[0, 3], [1, 2]][b][k]
        distance = np.abs(logits[b].numpy() - float(logits[b, c]))
        distance[c] = np.inf
        nearest = np.argsort(distance)[:2].tolist()
        want = funcam.explain(model, IMAGES[b : b + 1], lambda z, c=c, d=nearest: z[:, c] - 0.7 * z[:, d].mean(1)).maps[
            0
        ]
        torch.testing.assert_close(result[b, k], want, rtol=1e-3, atol=1e-5)


def test_random_weights_depend_on_the_seed_and_the_class_only():
    first, again, other = (
        funcam.explain(small(), IMAGES, [[0, 1], [1, 0]], method="random-cam", seed=seed).maps for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    run = case_of(small(), IMAGES, [[0, 1], [1, 0]])
    weights = quantity("random", "random-cam", run, [0, 1], seed=3)
    assert weights.abs().max() <= 1
    assert torch.equal(weights[0, 0], weights[1, 1])
    assert not torch.equal(weights[0, 0], weights[0, 1])


def test_guided_grad_cam_takes_any_map_as_its_mask():
    guided = funcam.explain(small(), IMAGES, [1, 2], method="guided-backprop").maps
    for cam in ("grad-cam", "layer-cam", "ablation-cam", "eigen-cam"):
        result = funcam.explain(small(), IMAGES, [1, 2], method="guided-grad-cam", cam=cam).maps
        mask = funcam.upsample(funcam.explain(small(), IMAGES, [1, 2], method=cam).maps, (32, 32))
        torch.testing.assert_close(result, guided * mask[:, None], rtol=1e-4, atol=1e-6)
    with pytest.raises(FuncamError, match=r"takes a map as its mask and 'gradient' is none; nearest: .*'grad-cam'"):
        funcam.explain(small(), IMAGES, method="guided-grad-cam", cam="gradient")


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("grad-cam", {"strongest": 3}, r"grad-cam has no option 'strongest'; it has none"),
        ("score-cam", {"stronger": 3}, r"score-cam has no option 'stronger'; it has 'strongest'"),
        ("smooth-grad-cam++", {"chunk": 3}, r"no option 'chunk'; it has 'samples', 'noise', 'seed'"),
        ("finer-cam", {"similar": 5}, r"5 similar classes were asked for; the model has 4 others"),
        ("score-cam", {"strongest": 0}, r"strongest"),
        ("smooth-grad-cam++", {"samples": 0}, r"samples"),
        ("finer-cam", {"similar": "many"}, r"similar"),
    ],
)
def test_wrong_options(method, options, message):
    with pytest.raises(FuncamError, match=message):
        funcam.explain(small(), IMAGES, method=method, **options)


def test_methods_that_the_model_cannot_have():
    for method, layer, message in [
        ("cam", "stem", r"cam is defined where the head is pooling and one linear layer; .*use grad-cam"),
        ("le-grad", None, r"le-grad is for Vision Transformers: .*use grad-cam"),
    ]:
        with pytest.raises(FuncamError, match=message):
            funcam.explain(small(), IMAGES, method=method, layer=layer)
    with pytest.raises(FuncamError, match=r"guided backpropagation is undefined for VisionTransformer.*use grad-cam"):
        funcam.explain(tiny_vit(), IMAGES, method="guided-backprop")
    with pytest.raises(FuncamError, match=r"finer-cam contrasts classes and the target is a function; use grad-cam"):
        funcam.explain(small(), IMAGES, lambda z: z[:, 0], method="finer-cam")


@pytest.mark.parametrize("dimensions", [1, pytest.param(2, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize(
    "method", [name for name in METHODS if name not in ("le-grad", "guided-backprop", "guided-grad-cam")]
)
def test_every_method_works_in_one_two_and_three_dimensions(method, dimensions):
    model = Dense(dimensions)
    images = torch.rand(2, 2, *[9, 8, 7][:dimensions], generator=torch.Generator().manual_seed(2))
    layer = "second"
    if method == "cam":
        pool = {1: torch.nn.AdaptiveAvgPool1d, 2: torch.nn.AdaptiveAvgPool2d, 3: torch.nn.AdaptiveAvgPool3d}[dimensions]
        model = torch.nn.Sequential(model.first, torch.nn.ReLU(), pool(1), torch.nn.Flatten(), torch.nn.Linear(4, 4))
        layer = "1"
    result = funcam.explain(model, images, [[0, 1], [2, 3]], method=method, layer=layer)
    want = images.shape[2:] if METHODS[method].gives != "pixels" else images.shape[1:]
    assert result.maps.shape == (2, 2, *want)
    assert torch.isfinite(result.maps).all()
