"""Prototype CAM against its formula in NumPy, its bounds, and the layer that it looks at besides."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import funcam
from funcam.methods.prototypes import prototype_cam
from funcam.network.finer import finer_layer

seeds = st.integers(0, 2**32 - 1)


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(np.linalg.norm(vector), 1e-12)


def likeness(F: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """Cell by cell, as the docstring's formula reads."""
    seed = seed / max(seed.max(), 1e-12)
    cells = [unit(np.sqrt(np.maximum(F[:, y, x], 0))) for y, x in np.ndindex(*seed.shape)]
    weights = [seed[y, x] for y, x in np.ndindex(*seed.shape)]
    object_ = unit(sum(w**2 * f for w, f in zip(weights, cells, strict=True)))
    rest = unit(sum((1 - w) ** 2 * f for w, f in zip(weights, cells, strict=True)))
    return np.array([f @ object_ - f @ rest for f in cells]).reshape(seed.shape)


def by_hand(A: np.ndarray, g: np.ndarray, M: np.ndarray | None, k: float, slope: float, floor: float) -> np.ndarray:
    weights = [(a > a.mean() + k * a.std()).mean() * max(d.mean(), 0) for a, d in zip(A, g, strict=True)]
    seed = np.maximum(sum(w * a for w, a in zip(weights, A, strict=True)), 0)
    if seed.max() <= 0:
        return np.zeros(A.shape[1:] if M is None else M.shape[1:])
    found = likeness(A, seed)
    if M is not None:
        size = M.shape[1:]
        grow = lambda m: funcam.upsample(torch.from_numpy(m)[None], size)[0].numpy()  # noqa: E731
        finer, found = likeness(M, grow(seed)), grow(found)
        found = (found + finer * found.std(ddof=1) / finer.std(ddof=1)) / 2
    return np.maximum(1 / (1 + np.exp(-slope * found)) - floor, 0) / (1 - floor)


@settings(max_examples=40)
@given(seeds, st.booleans(), st.sampled_from([0.5, 1.0, 2.0]), st.sampled_from([0.0, 0.3]))
def test_it_is_the_formula(seed: int, finer: bool, k: float, floor: float) -> None:
    generator = np.random.default_rng(seed)
    A, g, M = generator.gamma(0.5, size=(6, 4, 5)), generator.normal(0.2, 1, (6, 4, 5)), generator.random((3, 8, 10))
    given_m = M if finer else M[:0]
    found = prototype_cam(*map(torch.from_numpy, (A, g, given_m)), k=k, slope=4.0, floor=floor)
    expected = by_hand(A, g, M if finer else None, k, 4.0, floor)
    np.testing.assert_allclose(found, expected, atol=1e-9)


@settings(max_examples=30)
@given(seeds, st.floats(0.01, 100))
def test_it_lies_in_0_to_1_and_scale_means_nothing(seed: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    A, g = torch.rand(5, 6, 6, generator=generator) ** 3, torch.randn(5, 6, 6, generator=generator)
    M = torch.rand(4, 12, 12, generator=generator)
    found = prototype_cam(A, g, M)
    assert found.min() >= 0
    assert found.max() <= 1
    torch.testing.assert_close(prototype_cam(scale * A, scale * g, scale * M), found, atol=1e-4, rtol=1e-4)


def test_what_speaks_against_the_class_everywhere_is_zero() -> None:
    A = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert not prototype_cam(A, -torch.ones(3, 4, 4), A[:0]).any()


def test_two_kinds_of_cells_are_told_apart() -> None:
    """The seed stands on one cell of the object; the map lies on all that look like it, and on nothing else."""
    A = torch.full((2, 8, 8), 0.01)
    A[0, 2:6, 2:4] = 1.0  # the object's channel
    A[0, 2, 2] = 20.0
    A[1, A[0] < 0.5] = 1.0
    found = prototype_cam(A, torch.stack([torch.ones(8, 8), torch.zeros(8, 8)]), A[:0])
    assert found[2:6, 2:4].min() > 0.8
    found[2:6, 2:4] = 0
    assert found.max() < 0.1


@pytest.mark.parametrize(
    ("build", "layer", "expected"),
    [
        ("resnet18", "layer4", "layer3"),
        ("vgg11", "features.19", "features.14"),  # the ReLU before the last but one pooling
        ("densenet121", "features.norm5", "features.transition3.relu"),
        ("mobilenet_v2", "features.18", "features.14.conv.0"),  # behind a ReLU6, not the linear bottleneck before
        ("shufflenet_v2_x0_5", "conv5", "stage3"),
        ("squeezenet1_1", "features.12", "features.7"),
    ],
)
def test_the_finer_layer_is_the_last_active_one_of_the_next_larger_grid(build: str, layer: str, expected: str) -> None:
    model = getattr(torchvision.models, build)(num_classes=4).eval()
    assert finer_layer(model, layer, torch.zeros(1, 3, 224, 224)) == expected


def test_one_grid_has_no_finer_layer() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert finer_layer(model, "1", torch.zeros(1, 3, 8, 8)) is None


def test_explain_gives_it_both_layers_in_one_pass() -> None:
    """Against the parts taken one by one: features at both layers, the gradient by autograd."""
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=5).eval()
    images = torch.rand(2, 3, 128, 128)
    A, head = funcam.split(model, "layer4")(images)
    M, _ = funcam.split(model, "layer3")(images)
    A = A.detach().requires_grad_()
    (g,) = torch.autograd.grad(head(A)[:, 3].sum(), A)
    expected = torch.stack([prototype_cam(A[i].detach(), g[i], M[i].detach()) for i in range(2)])
    alone = funcam.explain(model, images, 3, method="prototype-cam")
    torch.testing.assert_close(alone.maps, expected, atol=1e-5, rtol=1e-4)
    assert alone.maps.shape == (2, 8, 8)  # layer3's grid
    assert alone.layer == "layer4"
    beside = funcam.explain_methods(model, images, 3, methods=["grad-cam", "prototype-cam", "ablation-cam"])
    torch.testing.assert_close(beside[1].maps, alone.maps)
    torch.testing.assert_close(beside[0].maps, funcam.explain(model, images, 3).maps)
    ablated = funcam.explain(model, images, 3, method="ablation-cam").maps
    rounding = 1e-6 * float(ablated.max()) * A.shape[1] / 5  # weights are small differences of logits
    torch.testing.assert_close(beside[2].maps, ablated, rtol=0, atol=rounding)


def test_fine_features_are_averaged_to_cells_of_16_pixels() -> None:
    """VGG's finer layer has cells of 8 pixels."""
    model = torchvision.models.vgg11(num_classes=3).eval()
    assert funcam.explain(model, torch.rand(1, 3, 64, 64), method="prototype-cam").maps.shape == (1, 4, 4)


def test_a_pair_of_functions_is_explained_at_its_own_layer() -> None:
    model = torchvision.models.resnet18(num_classes=5).eval()
    pair = (nn.Sequential(*list(model.children())[:-2]), lambda A: model.fc(A.mean((2, 3))))
    maps = funcam.explain(pair, torch.rand(1, 3, 128, 128), 1, method="prototype-cam").maps
    assert maps.shape == (1, 4, 4)
