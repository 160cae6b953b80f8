"""Every method on no image, on NaN and infinity, under autocast and in half precision; by a graph and by taps."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from small import Small, randomised, tiny_vit
from torch import nn
from torchvision.models import resnet18

import funcam
from funcam import FuncamError
from funcam.methods import METHODS

IMAGES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(2))
GRAPH_ONLY = {"cam", "full-grad", "guided-backprop", "guided-grad-cam"}
BF16 = {"dtype": torch.bfloat16, "device_type": "cpu"}


class Moody(Small):
    """Code that depends on values, so that it is tapped; a sum with NaN is not above -inf."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) if x.nan_to_num().abs().sum() >= 0 else x


def plain() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3, 2, padding=1), nn.ReLU()]
    return randomised(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5))).eval()


MODELS: dict[str, Callable[[], nn.Module]] = {"fx": plain, "tap": lambda: randomised(Moody()).eval()}
EVERY = [
    (way, method)
    for way in MODELS
    for method in METHODS
    if method != "le-grad" and not (way == "tap" and method in GRAPH_ONLY)
]
# By tap every method goes through tests/models/test_every_method.py; here one of each way to go through a network.
TAPPED = {
    *("grad-cam", "finer-cam", "ablation-cam", "score-cam", "prototype-cam", "smooth-grad-cam++", "gradient"),
    "eigen-cam",
}
every_method = pytest.mark.parametrize(
    ("way", "method"),
    [
        *(
            pytest.param(way, method, marks=pytest.mark.slow)
            if way == "tap" and method not in TAPPED
            else (way, method)
            for way, method in EVERY
        ),
        ("vit", "le-grad"),
    ],
)


def model_of(way: str) -> nn.Module:
    return tiny_vit() if way == "vit" else MODELS[way]()


@every_method
def test_no_image_has_no_maps(way: str, method: str) -> None:
    model = model_of(way)
    alone = funcam.explain(model, IMAGES[:1], [[0, 1]], method=method)
    none = funcam.explain(model, IMAGES[:0], torch.zeros(0, 2, dtype=torch.long), method=method)
    assert none.maps.shape == (0, *alone.maps.shape[1:])
    assert none.scores.shape == (0, 2)
    assert (none.maps.dtype, none.layer) == (alone.maps.dtype, alone.layer)


@pytest.mark.parametrize("smooth", ["aug", "eigen"])
def test_no_image_can_be_smoothed(smooth: str) -> None:
    assert funcam.explain(plain(), IMAGES[:0], smooth=smooth).maps.shape == (0, 16, 16)
    assert funcam.explain(plain(), IMAGES[:0], 0, layer=["1", "3"], method=lambda A, g: A.sum(0)).maps.shape[0] == 0


@every_method
@pytest.mark.parametrize("value", [torch.nan, pytest.param(torch.inf, marks=pytest.mark.slow)])
def test_an_image_that_is_not_finite_is_named(way: str, method: str, value: float) -> None:
    model, images = model_of(way), IMAGES.clone()
    images[1, 0, 4, 4] = value
    with pytest.raises(FuncamError, match=r"not finite.* for image 1: image 1 holds some; .*nan_to_num\(images\)"):
        funcam.explain(model, images, 0, method=method)
    mended = funcam.explain(model, images.nan_to_num(posinf=9.0), 0, method=method)  # the ways out
    without = funcam.explain(model, images[[0, 2]], 0, method=method)
    torch.testing.assert_close(mended.maps[[0, 2]], without.maps, rtol=1e-3, atol=1e-4)


def test_an_error_of_the_models_own_names_the_image_too() -> None:
    class Careful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = plain()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if bool(x.isnan().any()):
                raise ValueError("what is this")
            return self.inner(x)

    images = IMAGES.clone()
    images[2, 0, 0, 0] = torch.nan
    with pytest.raises(FuncamError, match=r"what is this.*\(image 2 holds NaN or infinity\)"):
        funcam.explain(randomised(Careful()).eval(), images)


def test_a_model_that_mends_its_images_is_explained() -> None:
    class Mending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = plain()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(torch.nan_to_num(x))

    model, images = Mending(), IMAGES.clone()
    images[1, 0, 0, 0] = torch.nan
    torch.testing.assert_close(funcam.explain(model, images).maps, funcam.explain(model, images.nan_to_num()).maps)


@every_method
def test_under_autocast_the_model_is_cast_and_the_method_is_not(way: str, method: str) -> None:
    model = model_of(way)
    with torch.autocast(**BF16):
        ours = funcam.explain(model, IMAGES, 0, method=method)
        outputs = model(IMAGES)
    assert ours.maps.dtype == ours.scores.dtype == torch.float32
    assert ours.logits.dtype == torch.bfloat16
    torch.testing.assert_close(ours.logits, outputs, rtol=2e-2, atol=2e-2)
    wanted = funcam.explain(model, IMAGES, 0, method=method).maps.flatten(1)
    likeness = torch.cosine_similarity(ours.maps.flatten(1), wanted).min()
    assert likeness > 0.9 or not wanted.any()
    assert not torch.is_autocast_enabled("cpu")


def test_under_autocast_the_gradient_is_that_of_the_cast_model() -> None:
    model, images = plain(), IMAGES.clone().requires_grad_()
    with torch.autocast(**BF16):
        ours = funcam.explain(model, IMAGES, 0, method="gradient").maps
        scores = model(images)[:, 0].sum()
    assert torch.equal(ours, torch.autograd.grad(scores, images)[0])


@every_method
@pytest.mark.parametrize("dtype", [torch.float16, pytest.param(torch.bfloat16, marks=pytest.mark.slow)])
def test_half_precision_gives_single_maps(way: str, method: str, dtype: torch.dtype) -> None:
    result = funcam.explain(model_of(way).to(dtype), IMAGES.to(dtype), 0, method=method)
    assert result.maps.dtype == result.scores.dtype == torch.float32
    assert bool(result.maps.isfinite().all())


@pytest.mark.parametrize("smooth", ["eigen", "aug"])
def test_smoothing_under_autocast(smooth: str) -> None:
    with torch.autocast(**BF16):
        ours = funcam.explain(plain(), IMAGES, 0, smooth=smooth).maps
    wanted = funcam.explain(plain(), IMAGES, 0, smooth=smooth).maps
    assert ours.dtype == torch.float32
    assert torch.cosine_similarity(ours.flatten(1), wanted.flatten(1)).min() > 0.95


@pytest.mark.parametrize("name", ["eigen_cam", "kpca_cam"])
def test_the_functions_themselves_give_nan_for_nan(name: str) -> None:
    A = torch.rand(4, 5, 5)
    A[0, 0, 0] = torch.nan
    assert bool(getattr(funcam, name)(A).isnan().all())
    batch = torch.vmap(getattr(funcam, name))(torch.stack([A, A.nan_to_num()]))
    assert batch.isnan().flatten(1).all(1).tolist() == [True, False]
    assert bool(funcam.deep_feature_factorization(A[None]).maps.isnan().all())


MORE_THAN_A_PAIR = {*GRAPH_ONLY, "finer-cam", "le-grad"}


class Detector(nn.Module):
    """As detectors are behind their backbone: proposals by value, lists of dicts; `vmap` can't follow it."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Conv2d(3, 6, 5, stride=4)
        self.score = nn.Conv2d(6, 1, 1)

    def head(self, A: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        detections = []
        for scores in self.score(A).sigmoid()[:, 0]:
            y, x = torch.nonzero(scores > 0.0).T
            corners = torch.stack([x, y, x + 1, y + 1], 1) * 4.0
            detections.append({"boxes": corners, "labels": torch.ones_like(x), "scores": scores[y, x]})
        return detections


@pytest.mark.parametrize("method", METHODS)
def test_every_method_on_a_pair_that_detects(method: str) -> None:
    """A map, the one that each image has alone, or a clear error: detections have no classes, a pair has no modules."""
    model = randomised(Detector()).eval()
    target = funcam.box_score([8.0, 8.0, 12.0, 12.0], 1)
    if method in MORE_THAN_A_PAIR:
        with pytest.raises(FuncamError, match=r"a pair|contrasts classes"):
            funcam.explain((model.backbone, model.head), IMAGES, target, method=method)
        return
    result = funcam.explain((model.backbone, model.head), IMAGES, target, method=method)
    assert result.maps.dtype == torch.float32
    alone = funcam.explain((model.backbone, model.head), IMAGES[1:2], target, method=method)
    torch.testing.assert_close(result.maps[1:2], alone.maps)


def test_ablation_of_a_pair_that_detects_is_the_definition() -> None:
    model = randomised(Detector()).eval()
    target = funcam.box_score([8.0, 8.0, 12.0, 12.0], 1)
    result = funcam.explain((model.backbone, model.head), IMAGES[:1], target, method="ablation-cam")
    with torch.no_grad():
        A = model.backbone(IMAGES[:1])
        whole = target(model.head(A))
        ablated = torch.stack([A.index_fill(1, torch.tensor(k), 0.0) for k in range(6)])
        weights = torch.stack([(whole - target(model.head(one))) / whole.abs() for one in ablated])
        wanted = (weights.view(6, 1, 1) * A[0]).sum(0).relu()
    torch.testing.assert_close(result.maps[0], wanted)


@pytest.mark.parametrize(
    "method", ["gradient", "input-x-gradient", "guided-backprop", "smooth-grad", "guided-grad-cam"]
)
def test_under_autocast_several_classes_of_several_images(method: str) -> None:
    """A convolution's derivative in mixed types, for which torch has no `vmap`."""
    model, classes = plain(), [[0, 1], [2, 1], [1, 0]]
    options = {"samples": 2} if method == "smooth-grad" else {}
    with torch.autocast(**BF16):
        ours = funcam.explain(model, IMAGES, classes, method=method, **options)
        single = [funcam.explain(model, IMAGES, classes[0][k], method=method, **options) for k in range(2)]
    for k, one in enumerate(single):
        torch.testing.assert_close(ours.maps[0, k], one.maps[0])


def test_shapley_cam_under_autocast_works_or_says_so() -> None:
    model, images = resnet18().eval(), IMAGES[:1].repeat(1, 1, 2, 2)
    with torch.autocast(**BF16):
        assert funcam.explain(plain(), IMAGES, 0, method="shapley-cam").maps.any()
        with pytest.raises(FuncamError, match=r"second derivative.*outside of torch.autocast"):
            funcam.explain(model, images, 0, method="shapley-cam", layer="layer3")
    assert funcam.explain(model, images, 0, method="shapley-cam", layer="layer3").maps.isfinite().all()
