"""The network in the package: small, right about held-out scenes, and looking where the things are."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models import RegNet

from funcam.scenes import CLASSES, Scene, scenes
from funcam.scenes.network import INPUT_SIZE, WEIGHTS, architecture, inputs, network


@pytest.fixture(scope="module")
def held_out() -> list[Scene]:
    return list(scenes(200, seed=10_000, size=INPUT_SIZE))


@pytest.fixture(scope="module")
def batch(held_out: list[Scene]) -> Tensor:
    return inputs([picture.image for picture in held_out])


def test_it_is_a_plain_torchvision_class_of_relus() -> None:
    model = network()
    assert type(model) is RegNet
    assert not model.training
    activations = [m for m in model.modules() if type(m).__module__ == nn.ReLU.__module__]
    assert activations
    assert all(type(m) is nn.ReLU for m in activations)


def test_the_weights_are_small_and_complete() -> None:
    assert WEIGHTS.stat().st_size < 3_000_000
    state = network().state_dict().values()
    assert all(t.isfinite().all() and t.dtype in (torch.float32, torch.int64) for t in state)


def test_shapes() -> None:
    model = network()
    x = inputs([np.zeros((90, 70, 3), np.uint8), np.full((256, 256, 3), 255, np.uint8)])
    assert x.shape == (2, 3, INPUT_SIZE, INPUT_SIZE)
    assert x.min() == -2
    assert x.max() == 2
    with torch.inference_mode():
        assert model(x).shape == (2, len(CLASSES))
        assert model.trunk_output(model.stem(x)).shape == (2, 144, 16, 16)


def test_each_call_gives_a_network_of_its_own() -> None:
    first, second = network(), network()
    with torch.no_grad():
        first.fc.weight.zero_()
    assert second.fc.weight.any()
    assert first is not second
    assert not torch.equal(architecture().fc.weight, second.fc.weight)


def test_accuracy_on_held_out_scenes(held_out: list[Scene], batch: Tensor) -> None:
    with torch.inference_mode():
        first = network()(batch).argmax(dim=1).tolist()
    right = np.mean([c == picture.things[0].label for c, picture in zip(first, held_out, strict=True)])
    assert right > 0.93


def test_grad_cam_points_at_the_thing(held_out: list[Scene], batch: Tensor) -> None:
    """Behind the last map lie only a mean and a linear layer: Grad-CAM is that layer applied to every position."""
    model = network()
    with torch.inference_mode():
        features = model.trunk_output(model.stem(batch))
    weights = model.fc.weight[[picture.things[0].label for picture in held_out]].detach()
    maps = torch.einsum("bchw,bc->bhw", features, weights).relu()
    heat = nn.functional.interpolate(maps[:, None], size=INPUT_SIZE, mode="bilinear")[:, 0]
    peaks = heat.flatten(1).argmax(dim=1).tolist()
    assert np.mean([hit(picture, peak) for picture, peak in zip(held_out, peaks, strict=True)]) > 0.88


def hit(picture: Scene, peak: int) -> bool:
    y, x = divmod(peak, INPUT_SIZE)
    x0, y0, x1, y1 = picture.things[0].box
    return x0 <= x < x1 and y0 <= y < y1


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "one image or more"),
        ([np.zeros((8, 8), np.uint8)], r"uint8 \[H, W, 3\], got uint8 \[8, 8\]"),
        ([np.zeros((8, 8, 3), np.float32)], r"uint8 \[H, W, 3\], got float32 \[8, 8, 3\]"),
    ],
)
def test_bad_images_are_named(images: list[NDArray[np.generic]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        inputs(images)  # type: ignore[arg-type]
