"""Pictures before a network: the same tensor whatever form they come in, and what is normalised stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import funcam
from funcam import FuncamError
from funcam.scenes import scene
from funcam.scenes.network import inputs

NET = funcam.load_net("scenes")
IMAGES = [scene(number).image[:128, :128] for number in (7, 8)]
READY = inputs(IMAGES)


@pytest.mark.parametrize(
    "images",
    [
        IMAGES,
        np.stack(IMAGES),
        [Image.fromarray(image) for image in IMAGES],
        torch.from_numpy(np.stack(IMAGES)).permute(0, 3, 1, 2),
        torch.from_numpy(np.stack(IMAGES)).permute(0, 3, 1, 2).double() / 255,
        READY,
        READY.numpy(),
        list(READY),
    ],
    ids=range(8),
)
def test_pictures_of_any_form_are_the_same_batch(images):
    batch = funcam.fit_images(NET, images)
    torch.testing.assert_close(batch.tensor, READY)
    assert len(batch) == 2
    np.testing.assert_allclose(np.stack(batch.images).astype(int), np.stack(IMAGES).astype(int), atol=1)
    result = funcam.explain(NET, images)
    torch.testing.assert_close(result.maps, funcam.explain(NET.model, READY).maps)
    torch.testing.assert_close(funcam.explain(NET.model, batch).maps, result.maps)


def test_a_batch_says_what_the_network_saw_of_each():
    wide = np.zeros((40, 80, 3), np.uint8)
    batch = funcam.fit_images(NET, [wide, wide], "crop")
    assert batch.tensor.shape == (2, 3, 128, 128)
    assert {view.box for view in batch.views} == {(20.0, 0.0, 60.0, 40.0)}


def test_a_network_and_a_batch_are_told_in_a_line():
    assert repr(NET) == "Net(scenes, weights: the package, 10 classes, takes [3, 128, 128])"
    assert repr(funcam.fit_images(NET, IMAGES)) == "Batch(2 for scenes, tensor [2, 3, 128, 128])"


@pytest.mark.parametrize("model", [NET.model, "scenes", None])
def test_what_does_not_say_how_it_takes_pictures_is_refused(model):
    with pytest.raises(FuncamError, match=r"does not say how it takes pictures; give funcam\.load_net"):
        funcam.fit_images(model, IMAGES)


@pytest.mark.parametrize("name", [None, 50, NET.model])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(FuncamError, match="is no name of a network; give one, as 'resnet50'"):
        funcam.load_net(name)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (255 * torch.rand(1, 3, 16, 16), "no floats in 0..1, and not normalised"),
        (torch.full((1, 3, 16, 16), float("nan")), "no floats in 0..1"),
        (torch.randn(1, 5, 16, 16).clamp(-1, 1), r"takes \[B, 3, 128, 128\]"),
        (torch.rand(1, 3, 16, 16, requires_grad=True), "gradients"),
        ([], "no picture"),
        ("nowhere.jpg", "does not exist"),
        (None, "no picture"),
    ],
)
def test_what_fits_no_network_is_refused(images, message):
    with pytest.raises(FuncamError, match=message):
        funcam.fit_images(NET, images)
    with pytest.raises(FuncamError, match=message):
        funcam.explain(NET, images)


def test_native_sizes_are_one_batch_only_where_they_are_equal():
    with pytest.raises(FuncamError, match="several sizes"):
        funcam.fit_images(NET, [IMAGES[0], IMAGES[0][:64]], "native")
    with pytest.raises(FuncamError, match="fit 'bent' is not known"):
        funcam.fit_images(NET, IMAGES, "bent")


@pytest.mark.parametrize(("mean", "channels"), [((0.4,), 1), ((0.5, 0.5, 0.5, 0.0), 4)])
def test_networks_of_other_channels(mean, channels):
    model = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    net = funcam.own_net(model, input_size=16, mean=mean, classes=["cat", "dog"])
    batch = funcam.fit_images(net, IMAGES[0])
    again = funcam.fit_images(net, batch.tensor)
    assert batch.tensor.shape == (1, channels, 16, 16)
    assert again.tensor is not None
    assert again.images[0].shape == (16, 16, 3)
    assert funcam.explain(net, IMAGES[0], "dog").targets.tolist() == [1]
