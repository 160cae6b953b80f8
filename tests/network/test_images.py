"""Images that a model can't take: the message says what helps, and what it says helps."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from PIL import Image
from small import Applied, Dense, small, tiny_vit
from torch import nn

import funcam
from funcam import FuncamError

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


class Normalising(nn.Module):
    """Some take their images as they are, and shift them before the first convolution."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 0.1))

    def forward(self, x):
        return self.inner((x - self.mean) / 2)


def flat(dimensions: int, channels: int) -> nn.Module:
    conv = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
    pool = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}[dimensions]
    return nn.Sequential(conv(channels, 4, 3, padding=1), nn.ReLU(), pool(1), nn.Flatten(), nn.Linear(4, 5)).eval()


SIDES = (8, 9, 10)


@pytest.mark.parametrize(
    ("make", "shape", "step"),
    [
        (small, (3, 32, 32), "image[None]"),
        (small, (32, 40, 3), "image.permute(2, 0, 1)[None]"),
        (small, (2, 32, 40, 3), "images.permute(0, 3, 1, 2)"),
        (small, (2, 32, 3, 40), "images.permute(0, 2, 1, 3)"),
        (small, (3, 2, 32, 40), "images.transpose(0, 1)"),
        (small, (2, 1, 32, 32), "images.expand(-1, 3, -1, -1)"),
        (small, (2, 4, 32, 32), "images[:, :3]"),
        (small, (2, 1, 3, 32, 32), "images.flatten(0, 1)"),
        (tiny_vit, (3, 32, 32), "image[None]"),
        (tiny_vit, (2, 32, 32, 3), "images.permute(0, 3, 1, 2)"),
        (lambda: Normalising(small()).eval(), (3, 32, 32), "image[None]"),
        (lambda: Normalising(small()).eval(), (2, 32, 32, 3), "images.permute(0, 3, 1, 2)"),
        (lambda: flat(2, 1), (1, 28, 28), "image[None]"),
        (lambda: flat(2, 1), (5, 28, 28), "images[:, None]"),
        (lambda: flat(2, 1), (28, 28, 1), "image.permute(2, 0, 1)[None]"),
        (lambda: flat(3, 2), (2, *SIDES), "image[None]"),
        (lambda: flat(3, 2), (*SIDES, 2), "image.permute(3, 0, 1, 2)[None]"),
        (lambda: flat(3, 1), (4, *SIDES), "images[:, None]"),
        (lambda: flat(3, 2), (4, *SIDES, 2), "images.permute(0, 4, 1, 2, 3)"),
        (lambda: flat(1, 2), (4, 16, 2), "images.permute(0, 2, 1)"),
    ],
)
@pytest.mark.parametrize("named", [False, True])
def test_the_step_that_is_named_helps(make, shape, step, named):
    model = make()
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    helped = eval(step, {"image": images, "images": images})
    layer = min(layer.name for layer in funcam.list_layers(model, helped)) if named else None
    with pytest.raises(FuncamError, match=re.escape(f"images have shape {list(shape)}")) as caught:
        funcam.explain(model, images, layer=layer)
    message = str(caught.value)
    assert step in message
    assert "\n" not in message
    with pytest.raises(FuncamError, match=re.escape(step)):
        funcam.split(model, layer)(images)
    assert torch.isfinite(funcam.explain(model, helped, layer=layer).maps).all()


class Given(nn.Module):
    """A network behind something that is done to its images."""

    def __init__(self, inner: nn.Module, change) -> None:
        super().__init__()
        self.inner, self.change = inner, change

    def forward(self, x):
        return self.inner(self.change(x))


@pytest.mark.parametrize(
    ("inner", "change", "shape"),
    [
        (flat(2, 3), lambda x: x.permute(0, 3, 1, 2), (2, 12, 14, 3)),
        (flat(2, 1), lambda x: x.mean(1, keepdim=True), (2, 3, 12, 14)),
        (Normalising(flat(2, 3)), lambda x: x, (2, 1, 12, 14)),
        (flat(2, 3), lambda x: x.expand(-1, 3, -1, -1), (2, 1, 12, 14)),
    ],
    ids=["channels last", "grey", "a mean of three channels", "expanded"],
)
def test_a_network_that_turns_its_images_round_is_left_alone(inner, change, shape):
    model, images = Given(inner, change).eval(), torch.randn(shape, generator=torch.Generator().manual_seed(0))
    layer = next(name for name, module in model.named_modules() if isinstance(module, nn.ReLU))
    A, head = funcam.split(model, layer, example=images)(images)
    assert A.shape == (2, 4, 12, 14)
    torch.testing.assert_close(head(A), model(images))


def test_a_model_without_convolutions_is_not_blamed_on_one():
    model = nn.Sequential(nn.Unflatten(3, (4, 8)), nn.Flatten(3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 32 * 32, 5))
    with pytest.raises(
        FuncamError, match=r"can't take images of shape \[3, 32, 32\].*if it is one image: image\[None\]"
    ):
        funcam.explain(model.eval(), IMAGES[0])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([IMAGES[0], IMAGES[1]], r"type list; expected a float tensor \[B, channels, \*size\].*torch.stack\(images\)"),
        (IMAGES.numpy(), r"shape \[2, 3, 32, 32\] and type float32.*torch.from_numpy\(images\)"),
        (np.zeros((32, 32, 3), np.uint8), r"shape \[32, 32, 3\] and type uint8.*torch.from_numpy"),
        (Image.new("RGB", (8, 6)), r"type Image.*transforms\(\)\(image\)\[None\]"),
        ((IMAGES * 9).byte(), r"type torch.uint8; expected a float tensor.*images / 255"),
        (IMAGES > 0, "type torch.bool"),
        (IMAGES * 1j, "type torch.complex64"),
        (IMAGES[0, 0], r"shape \[32, 32\].*one grey image: image\[None, None\]"),
        (IMAGES[0, 0, 0], r"shape \[32\] and type torch.float32; expected a float tensor \[B, channels, \*size\]$"),
        (None, "type NoneType"),
        ("cat.jpg", "type str"),
        (3, "type int"),
    ],
    ids=["list", "numpy", "bytes", "PIL", "uint8", "bool", "complex", "grey", "line", "None", "str", "int"],
)
def test_what_are_no_images(images, message):
    for call in (
        lambda: funcam.explain(small(), images),
        lambda: funcam.split(small())(images),
        lambda: funcam.explain((lambda x: x, lambda A: A), images),
        lambda: funcam.explain_methods(small(), images, methods=["fem"], layer=["stem", "blocks"]),
    ):
        with pytest.raises(FuncamError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
        assert "channel" not in str(caught.value).replace("channels, *size", "").replace("channels in front", "")


def test_what_is_not_at_fault_is_not_blamed():
    """Bytes are no matter of axes, another type none of shape, a size that is too small none of channels."""
    for model, images, words in (
        (small(), IMAGES.byte(), ("None]", "permute")),
        (small(), IMAGES.double(), ("None]", "permute")),
        (Applied(lambda m, x: x).eval(), IMAGES[..., :0], ("None]", "permute")),
    ):
        with pytest.raises(FuncamError) as caught:
            funcam.explain(model, images, layer=None)
        assert not any(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_empty_batches_are_images(dimensions):
    images = torch.zeros(0, 2, *[5, 4, 3][:dimensions])
    assert funcam.explain(Dense(dimensions), images).maps.shape == images.shape[:1] + images.shape[2:]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (3, r"image is 3; expected the images' shape \[B, channels, \*size\]"),
        ((3, 32), "expected the images' shape"),
        ("1,3,32,32", "expected the images' shape"),
        ((1, 3, 32, 2.5), "a side in image is 2.5; expected a whole number"),
        ((1, 3, 32, -1), "a side in image is -1"),
        ((3, 32, 32), r"images have shape \[3, 32, 32\].*image\[None\]"),
        ((1, 32, 32, 3), r"images.permute\(0, 3, 1, 2\)"),
    ],
)
def test_list_layers_takes_a_shape(image, message):
    with pytest.raises(FuncamError, match=message):
        funcam.list_layers(small(), image)


def test_list_layers_takes_images():
    assert funcam.list_layers(small(), IMAGES) == funcam.list_layers(small(), (2, 3, 32, 32))


class Widening(nn.Module):
    """It gives its network eight channels of an image's three, as some accelerators want them."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.sizes = sizes
        self.inner = nn.Sequential(
            nn.Conv2d(8, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.inner(nn.functional.pad(images, self.sizes))


def test_a_network_that_pads_channels_is_cut_by_its_graph():
    model = Widening((0, 0, 0, 0, 0, 5)).eval()
    assert funcam.split(model, example=IMAGES).way == "fx"
    with pytest.raises(FuncamError, match="can't take images"):
        funcam.explain(model, IMAGES[:, :2])


def test_one_that_pads_pixels_still_says_what_it_takes():
    with pytest.raises(FuncamError, match="first convolution"):
        funcam.explain(Widening((1, 1, 1, 1)).eval(), IMAGES)
